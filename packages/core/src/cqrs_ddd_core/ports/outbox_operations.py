"""The port through which people look after an outbox."""

from collections.abc import Collection, Sequence
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
        position: where it stands in the outbox; later messages stand higher.
    """

    message: OutboxMessage
    error: str
    attempts: int
    failed_at: datetime
    parked_behind: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant: those that meet every condition; all of them without any.

    An empty collection is met by none, so that an empty choice never means everything.

    Attributes:
        message_ids: one of these.
        event_types: of one of these types.
        partition_keys: with one of these keys.
        older_than: failed first longer ago than this.
        newer_than: failed first no longer ago than this.
        error: a text in the error, in upper and lower case as it is written.

    Example:
        >>> DeadLetterFilter(event_types=["OrderPlaced"], error="TimeoutError").narrows
        True
    """

    message_ids: Collection[str] | None = None
    event_types: Collection[str] | None = None
    partition_keys: Collection[str] | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    error: str = ""

    @property
    def narrows(self) -> bool:
        """Whether there is any condition."""
        return self != _EVERY


_EVERY = DeadLetterFilter()


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

    async def dead_letters(
        self, limit: int = 100, *, matching: DeadLetterFilter = _EVERY, after: int = 0
    ) -> Sequence[DeadLetter]:
        """Return at most ``limit`` dead letters, in the order in which they were saved.

        Args:
            limit: how many.
            matching: which; all of them by default.
            after: the position of the last one of the page before.
        """
        ...

    async def count_dead_letters(self, matching: DeadLetterFilter = _EVERY) -> int:
        """Return how many dead letters match."""
        ...

    async def retrying(self, limit: int = 100) -> Sequence[RetryingMessage]:
        """Return at most ``limit`` messages that have failed and are tried again, soonest first."""
        ...

    async def redrive(self, matching: DeadLetterFilter = _EVERY) -> int:
        """Have dead letters tried again as if they had never failed; return how many.

        What waits behind one follows in order once it has been delivered. Many are redriven in
        several short transactions: after an error, those before it are redriven, and to do it
        again is no harm.

        Args:
            matching: which; all of them by default.
        """
        ...

    async def discard(self, matching: DeadLetterFilter) -> int:
        """Remove dead letters for good, so that what waits behind goes on; return how many.

        Messages that are no dead letters are left alone. Many are removed in several short
        transactions.
        """
        ...

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` archived messages delivered before that; return how many."""
        ...
