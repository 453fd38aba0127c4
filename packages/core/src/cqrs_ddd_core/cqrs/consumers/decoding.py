"""Makes messages of what arrived: by the name of its type and the kind of its bytes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from cqrs_ddd_core.cqrs.codec import JsonMessageCodec, MessageCodecError
from cqrs_ddd_core.domain.event import event_type_of
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.message_consumer import UnreadableMessageError
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage


class UnknownMessageTypeError(UnreadableMessageError):
    """A message arrived whose type has no class here.

    Attributes:
        event_type: the name of its type.
    """

    def __init__(self, message_id: str, event_type: str) -> None:
        self.event_type = event_type
        super().__init__(message_id, f"no class is known for its type {event_type!r}.")


class MessageDecoder:
    """Decodes messages of the types it knows.

    Args:
        message_types: classes, each under the name it gives itself, or by name.
        codecs: who reads which kind of bytes; JSON by default. The first also reads what does not
            say what it is.

    Example:
        >>> from cqrs_ddd_core import DomainEvent, OutboxMessage, utc_now
        >>> class Shipped(DomainEvent):
        ...     carrier: str
        >>> message = OutboxMessage(
        ...     message_id="m-1",
        ...     event_type="Shipped",
        ...     payload=b'{"carrier": "ACME"}',
        ...     occurred_at=utc_now(),
        ... )
        >>> MessageDecoder([Shipped]).decode(message).carrier
        'ACME'
    """

    def __init__(
        self,
        message_types: Iterable[type] | Mapping[str, type],
        codecs: Sequence[IMessageCodec] = (),
    ) -> None:
        self._types: dict[str, type[Any]] = (
            dict(cast("Mapping[str, type]", message_types))
            if isinstance(message_types, Mapping)
            else {event_type_of(each): each for each in message_types}
        )
        codecs = codecs or (JsonMessageCodec(),)
        self._codecs = {codec.content_type: codec for codec in codecs}
        self._codecs.setdefault("", codecs[0])

    def knows(self, event_type: str) -> bool:
        """Whether there is a class for this name."""
        return event_type in self._types

    def decode(self, message: OutboxMessage) -> Any:
        """Return the message that ``message`` carries.

        Raises:
            UnknownMessageTypeError: no class has this name.
            UnreadableMessageError: the bytes do not fit the class, or no codec reads them.
        """
        message_type = self._types.get(message.event_type)
        if message_type is None:
            raise UnknownMessageTypeError(message.message_id, message.event_type)
        codec = self._codecs.get(message.content_type.partition(";")[0].strip().lower())
        if codec is None:
            raise UnreadableMessageError(
                message.message_id, f"there is no codec for {message.content_type!r}."
            )
        try:
            return codec.decode(message_type, message.payload)
        except MessageCodecError as error:
            raise UnreadableMessageError(message.message_id, str(error)) from error
