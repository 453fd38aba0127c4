"""The port through which people look after what the consumers of a broker have parked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.ports.message_consumer import IMessageConsumer


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerDeadLetter:
    """A message that a consumer could not handle, as the broker keeps it.

    Attributes:
        message_id: its id; ``sha256:`` and the beginning of its bytes' digest where none is told.
        event_type: what it tells of; ``""`` where that cannot be read.
        partition_key: the key whose order it stands in; ``""`` for none.
        topic: the queue or topic that it came from, and goes back to.
        error: what it failed with last.
        attempts: how often it was tried.
        parked_at: when it was parked; None where the broker does not tell.
        body: its bytes, as they came.
    """

    message_id: str
    event_type: str
    partition_key: str
    topic: str
    error: str
    attempts: int
    parked_at: datetime | None
    body: bytes = field(repr=False)


@runtime_checkable
class IBrokerDeadLetters(Protocol):
    """What people and their tools need of a broker's dead letters; safe while consumers work.

    While somebody looks, a broker may hide from others what it shows here. Letters that are parked
    meanwhile are left for the next time.
    """

    async def count(self) -> int:
        """Return how many there are, as exactly as the broker tells.

        Raises:
            BrokerUnavailableError: the broker is away.
        """
        ...

    async def dead_letters(self, limit: int = 100) -> Sequence[BrokerDeadLetter]:
        """Return at most ``limit`` of them, those of a key in the order they were parked in.

        Raises:
            BrokerUnavailableError: the broker is away.
        """
        ...

    async def redrive(self, message_ids: Collection[str] | None = None) -> Sequence[str]:
        """Send letters back to where they came from, as if they had never failed.

        Each is confirmed there before it is removed here, those of a key in their order, behind
        whatever waits there already. Who dies in between sends it twice, which an inbox notices.

        Args:
            message_ids: which; all of them by default.

        Returns:
            The ids of those that were sent, in order.

        Raises:
            BrokerUnavailableError: the broker is away; letters that were not sent remain.
        """
        ...

    async def discard(self, message_ids: Collection[str]) -> Sequence[str]:
        """Remove letters for good and return their ids; ids that are not there are left out.

        Raises:
            BrokerUnavailableError: the broker is away.
        """
        ...


@runtime_checkable
class IParkingConsumer(IMessageConsumer, Protocol):
    """A consumer whose dead letters can be looked after; those of the toolkit all are."""

    def dead_letters(self) -> IBrokerDeadLetters:
        """Return what looks after them; it connects when it is asked for something."""
        ...
