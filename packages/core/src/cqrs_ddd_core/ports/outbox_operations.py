"""The port through which people look after an outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.ports.outbox_storage import OutboxMessage


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    """How an outbox stands.

    Attributes:
        waiting: messages that are not delivered yet, all together.
        parked: those of them that wait behind a failed one.
        retrying: keys whose first message has failed and is tried again.
        dead_letters: keys whose first message is tried no more until it is redriven.
        archived: messages delivered and kept.
        oldest_age: seconds since the oldest message that is neither failed nor parked was saved;
            None when there is none.
        relays: relays with a lease.
    """

    waiting: int
    parked: int
    retrying: int
    dead_letters: int
    archived: int
    oldest_age: float | None
    relays: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that is tried no more, and what is known of it.

    Attributes:
        message: as it was saved.
        error: what kept it back the last time.
        attempts: how often it was tried.
        failed_at: when it failed first.
        parked_behind: how many messages of its key wait for it.
    """

    message: OutboxMessage
    error: str
    attempts: int
    failed_at: datetime
    parked_behind: int


@dataclass(frozen=True, slots=True)
class RetryingMessage:
    """A message that has failed and is tried again, and what is known of it.

    Attributes:
        message: as it was saved.
        error: what kept it back the last time.
        attempts: how often it was tried.
        failed_at: when it failed first.
        parked_behind: how many messages of its key wait for it.
        retry_in: seconds until it is tried again; below 0 when that is due.
    """

    message: OutboxMessage
    error: str
    attempts: int
    failed_at: datetime
    parked_behind: int
    retry_in: float


@runtime_checkable
class IOutboxOperations(Protocol):
    """What people and their tools need of an outbox; safe while relays are at work."""

    async def statistics(self) -> OutboxStatistics:
        """Return how the outbox stands."""
        ...

    async def dead_letters(self, limit: int = 100) -> Sequence[DeadLetter]:
        """Return at most ``limit`` dead letters, the longest dead first."""
        ...

    async def retrying(self, limit: int = 100) -> Sequence[RetryingMessage]:
        """Return at most ``limit`` messages that have failed and are tried again, soonest first."""
        ...

    async def redrive(self, message_ids: Sequence[str] | None = None) -> int:
        """Have dead letters tried again as if they had never failed; return how many.

        What waits behind one follows in order once it has been delivered.

        Args:
            message_ids: which; all of them by default.
        """
        ...

    async def discard(self, message_ids: Sequence[str]) -> int:
        """Remove dead letters for good, so that what waits behind goes on; return how many.

        Messages that are no dead letters are left alone.
        """
        ...

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` archived messages delivered before that; return how many."""
        ...
