"""The port that turns messages into bytes and back."""

from typing import Any, Protocol, TypeVar, runtime_checkable

M = TypeVar("M")


@runtime_checkable
class IMessageCodec(Protocol):
    """Encodes messages of any class; what comes back equals what went in."""

    @property
    def content_type(self) -> str:
        """The media type of the bytes, such as ``application/json``."""
        ...

    def encode(self, message: Any) -> bytes:
        """Return ``message`` as bytes.

        Raises:
            MessageCodecError: the message's class cannot be encoded.
        """
        ...

    def decode(self, message_type: type[M], data: bytes) -> M:
        """Return the message that ``data`` holds.

        Raises:
            MessageCodecError: the bytes do not fit the class.
        """
        ...
