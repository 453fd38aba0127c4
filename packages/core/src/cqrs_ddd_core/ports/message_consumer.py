"""The port through which messages come in from a broker."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from cqrs_ddd_core.ports.outbox_storage import OutboxMessage
from cqrs_ddd_core.primitives.errors import InfrastructureError


class BrokerUnavailableError(InfrastructureError):
    """The broker cannot be reached, or the connection to it is gone.

    Attributes:
        broker: where it should be.
    """

    def __init__(self, broker: str, problem: object = "") -> None:
        self.broker = broker
        said = f": {problem}" if str(problem) else ""
        super().__init__(
            f"The broker at {broker} cannot be reached{said}. Nothing is lost: what was not "
            "confirmed is sent, and what was not acknowledged delivered, when it is back."
        )


class UnreadableMessageError(InfrastructureError):
    """A message arrived that can never be handled as it is; it is parked with its bytes.

    Attributes:
        message_id: its id, where even that could be read.
        problem: what is wrong with it.
    """

    def __init__(self, message_id: str, problem: str) -> None:
        self.message_id, self.problem = message_id, problem
        super().__init__(
            f"Message {message_id or 'without an id'} cannot be read: {problem} It is among the "
            "dead letters, with its bytes; deploy what can read it and redrive it from there."
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Delivery:
    """One message as a broker handed it over, still in its envelope.

    Attributes:
        message_id: how a repeated delivery is recognised; ``""`` where it cannot be read.
        key: deliveries with the same key are handled in order; ``""`` for no order.
        headers: the attributes of the envelope, as text.
        body: the bytes it came with.
        topic: where it came from.
        attempt: which attempt at handling it this is; the first is 1.
        redeliveries: how often it was handed over before and never settled, which happens when
            consumers die or end.
        token: the adapter's own way to settle it.
        lost: whether the broker has taken it back, to deliver it again; it is not to be handled.
    """

    message_id: str
    key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    topic: str = ""
    attempt: int = 1
    redeliveries: int = 0
    token: Any = None
    lost: bool = False


@runtime_checkable
class ISubscription(Protocol):
    """A connection over which messages come in, each held until it is settled.

    What is not settled when it ends, for whatever reason, is delivered again. Every method raises
    when the connection is gone; whoever uses it opens another one then.
    """

    async def receive(self, limit: int) -> Sequence[Delivery]:
        """Wait for deliveries and return at least one, at most ``limit``, oldest first by key.

        Can be cancelled without losing one.

        Raises:
            BrokerUnavailableError: the connection is gone.
        """
        ...

    async def read(self, delivery: Delivery) -> OutboxMessage:
        """Take the message out of its envelope.

        Raises:
            UnreadableMessageError: that will never be possible.
            InfrastructureError: it is not possible now, such as when its payload is kept elsewhere.
        """
        ...

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Settle ``deliveries``: they are handled and will not come again."""
        ...

    async def retry_later(self, delivery: Delivery, delay: float) -> bool:
        """Have the broker keep ``delivery`` for ``delay`` seconds, then deliver it again.

        Its ``attempt`` is one higher then. Asked only for deliveries without a key, because later
        ones overtake it.

        Returns:
            Whether this broker can; when not, the delivery is still held by the caller.
        """
        ...

    async def dead_letter(self, delivery: Delivery, error: Exception) -> None:
        """Park ``delivery`` with its bytes and ``error``, confirmed, then settle it."""
        ...


@runtime_checkable
class IMessageConsumer(Protocol):
    """Where messages come from: a queue, topics, a subscription."""

    @property
    def name(self) -> str:
        """What it consumes, for logs."""
        ...

    def connect(self) -> AbstractAsyncContextManager[ISubscription]:
        """Connect and begin to consume; at the end of the block nothing is held any more.

        Raises:
            BrokerUnavailableError: the broker cannot be reached.
        """
        ...
