"""The port through which the relay hands outgoing messages on: to a broker, or to handlers here."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.ports.outbox_storage import OutboxMessage


@runtime_checkable
class IMessagePublisher(Protocol):
    """Hands messages on, and says of each whether it has arrived.

    It may be asked again for a message that has arrived already: the relay was killed before it
    could note that. Receivers recognise the repetition by ``message_id``.
    """

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Publish ``messages`` in order and return, for each, None or what kept it back.

        None means confirmed: the receiver has made the message durable. The order holds for each
        partition key: after a message that failed, later ones with its key are not published, and
        their outcome is an error too. Messages without a key (``""``) are independent.

        Args:
            messages: at least one; of one key in the order they were saved.

        Raises:
            Exception: nothing at all can be said of any message, because the broker is away. All
                count as not published; the relay tries again later without holding it against
                them.
        """
        ...
