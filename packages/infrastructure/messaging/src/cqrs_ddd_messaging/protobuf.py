"""Messages as protobuf: generated classes, or classes of your own that know their counterpart."""

from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from google.protobuf.message import DecodeError, EncodeError, Message

from cqrs_ddd_core import MessageCodecError

M = TypeVar("M")


@runtime_checkable
class ProtobufMessage(Protocol):
    """A class of your own with a counterpart in protobuf.

    ``proto_class`` is the generated class; ``to_proto`` and ``from_proto`` turn one into the other.
    """

    proto_class: Any

    def to_proto(self) -> Any:
        """Return this message as an instance of the generated class."""
        ...

    @classmethod
    def from_proto(cls, message: Any) -> Any:
        """Return the message that an instance of the generated class stands for."""
        ...


class ProtobufMessageCodec:
    """Encodes instances of generated classes, and of classes that follow ``ProtobufMessage``.

    Example:
        >>> from google.protobuf.wrappers_pb2 import StringValue
        >>> codec = ProtobufMessageCodec()
        >>> codec.decode(StringValue, codec.encode(StringValue(value="ACME"))).value
        'ACME'
    """

    content_type = "application/protobuf"

    def encode(self, message: Any) -> bytes:
        """Return ``message`` as protobuf's bytes, the same ones for equal messages.

        Raises:
            MessageCodecError: it has no counterpart in protobuf, or a value does not fit.
        """
        message_type = cast("type[Any]", type(message))
        try:
            proto = message.to_proto() if hasattr(message_type, "to_proto") else message
            if not isinstance(proto, Message):
                raise MessageCodecError(message_type, _ADVICE)
            return proto.SerializeToString(deterministic=True)
        except (EncodeError, ValueError, TypeError) as error:
            raise MessageCodecError(message_type, f"cannot be protobuf: {error}") from error

    def decode(self, message_type: type[M], data: bytes) -> M:
        """Return the message that ``data`` holds.

        Raises:
            MessageCodecError: the bytes do not fit the class.
        """
        own = cast("Any", message_type)
        generated: Any = getattr(own, "proto_class", own)
        proto_class: Any = generated
        if not issubclass(generated, Message):
            raise MessageCodecError(message_type, _ADVICE)
        try:
            proto: Any = proto_class.FromString(data)
            return proto if proto_class is own else own.from_proto(proto)
        except (DecodeError, ValueError, TypeError, KeyError, RuntimeWarning) as error:
            raise MessageCodecError(message_type, f"does not fit these bytes: {error}") from error


_ADVICE = (
    "is no protobuf message; give it proto_class, to_proto(self) and a class method "
    "from_proto(message)."
)
