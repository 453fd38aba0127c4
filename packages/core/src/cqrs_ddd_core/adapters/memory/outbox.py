"""The outbox in memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import nsmallest

from cqrs_ddd_core.adapters.memory.database import InMemoryTransaction
from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports.outbox_operations import (
    DeadLetter,
    DeadLetterFilter,
    OutboxStatistics,
    RetryingMessage,
)
from cqrs_ddd_core.ports.outbox_relay import (
    SLOTS,
    BlockedKey,
    DueKey,
    DueKeys,
    FailedKey,
    RelayLease,
    RelayLeaseLostError,
    Settlement,
    WaitingBatch,
    WaitingMessage,
    order_key_of,
    slot_of,
)
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import current_clock, utc_now
from cqrs_ddd_core.primitives.errors import PersistenceError

_EVERY = DeadLetterFilter()
_ALL_SEEN = 1  # positions are given at commit, so that a later message always stands higher


@dataclass(frozen=True)
class _Blocked:
    failed: FailedKey
    due_at: float | None
    since: datetime


class InMemoryOutboxStorage:
    """Keeps outgoing messages; joins an ``InMemoryUnitOfWork`` (see ``IOutboxStorage``).

    Relays and people find what they need as well (see ``IOutboxRelayStorage`` and
    ``IOutboxOperations``); leases and due times go by the clock in force.

    Args:
        archive: keep messages that have been delivered, until they are purged.
    """

    def __init__(self, *, archive: bool = False) -> None:
        self._archives = archive
        self._waiting: dict[int, WaitingMessage] = {}
        self._saved_at: dict[int, datetime] = {}
        self._positions: dict[str, int] = {}
        self._last_position = self._last_relay = 0
        self._relays: dict[int, float] = {}
        self._owners: dict[int, int] = {}
        self._blocked: dict[str, _Blocked] = {}
        self._parked: dict[int, str] = {}
        self._archive: list[tuple[datetime, OutboxMessage]] = []

    # -- writing (IOutboxStorage) --------------------------------------------------------------

    async def save_messages(
        self, messages: Sequence[OutboxMessage], uow: IUnitOfWork | None = None
    ) -> None:
        """Save ``messages`` behind those saved before."""
        transaction = joined_transaction(uow, to_write=True)
        own = self._own(transaction)
        new = {message.message_id: message for message in messages}
        taken = new.keys() & {message.message_id for message in own}
        if taken or len(new) < len(messages):
            raise _already_there(taken)

        def check() -> None:
            if taken := new.keys() & self._positions.keys():
                raise _already_there(taken)

        if transaction is not None:
            transaction.pending[self, "messages"] = (*own, *messages)
        run_or_stage(transaction, lambda: self._append(new.values()), check)

    async def get_pending(
        self, limit: int = 100, uow: IUnitOfWork | None = None
    ) -> list[OutboxMessage]:
        """Return at most ``limit`` messages that wait, oldest first."""
        committed = [waiting.message for waiting in self._waiting.values()]
        return [*committed, *self._own(joined_transaction(uow))][:limit]

    def _own(self, transaction: InMemoryTransaction | None) -> tuple[OutboxMessage, ...]:
        """Return what the joined transaction has saved and not yet committed."""
        return transaction.pending.get((self, "messages"), ()) if transaction is not None else ()

    def _append(self, messages: Iterable[OutboxMessage]) -> None:
        for message in messages:
            self._last_position += 1
            position, slot = self._last_position, slot_of(order_key_of(message))
            self._waiting[position] = WaitingMessage(position, slot, message)
            self._saved_at[position] = utc_now()
            self._positions[message.message_id] = position

    def _remove(self, position: int) -> OutboxMessage | None:
        removed = self._waiting.pop(position, None)
        if removed is None:
            return None
        del self._saved_at[position], self._positions[removed.message.message_id]
        return removed.message

    # -- relaying (IOutboxRelayStorage) --------------------------------------------------------

    async def renew(self, relay_id: int | None, name: str, ttl: float) -> RelayLease:  # noqa: ARG002
        """Extend the lease by ``ttl`` seconds, and take free slots up to a fair share."""
        now = current_clock().monotonic()
        self._relays = {relay: until for relay, until in self._relays.items() if until > now}
        if relay_id not in self._relays:
            self._last_relay += 1
            relay_id = self._last_relay
        self._relays[relay_id] = now + ttl
        free = [slot for slot in range(SLOTS) if self._owners.get(slot) not in self._relays]
        fair = -(-SLOTS // len(self._relays))
        for slot in free[: max(0, fair - len(self._slots_of(relay_id)))]:
            self._owners[slot] = relay_id
        return RelayLease(relay_id, self._slots_of(relay_id), len(self._relays))

    async def release(self, relay_id: int, slots: Collection[int]) -> None:
        """Give slots up, so that another relay takes them."""
        for slot in self._slots_of(relay_id).intersection(slots):
            del self._owners[slot]

    async def leave(self, relay_id: int) -> None:
        """Give everything up."""
        await self.release(relay_id, range(SLOTS))
        self._relays.pop(relay_id, None)

    async def read(
        self, slots: Collection[int], after: int, limit: int, *, without: Collection[str] = ()
    ) -> WaitingBatch:
        """Return at most ``limit`` messages of ``slots`` above position ``after``."""
        blocked = {entry.failed.position for entry in self._blocked.values()}
        found = (
            waiting
            for position, waiting in self._waiting.items()
            if position > after
            and waiting.slot in slots
            and position not in self._parked
            and position not in blocked
            and waiting.message.partition_key not in without
        )
        batch = [waiting for waiting, _ in zip(found, range(limit), strict=False)]
        return WaitingBatch(batch, _ALL_SEEN, _ALL_SEEN)

    async def blocked(self, slots: Collection[int]) -> Sequence[BlockedKey]:
        """Return all blocked keys of ``slots``, dead letters as well."""
        entries = self._blocked.values()
        return [self._as_blocked(entry) for entry in entries if entry.failed.slot in slots]

    async def due(self, slots: Collection[int], limit: int) -> DueKeys:
        """Return at most ``limit`` blocked keys of ``slots`` that are to be tried now."""
        now = current_clock().monotonic()
        waiting = sorted(
            (entry.due_at, key, entry)
            for key, entry in self._blocked.items()
            if entry.due_at is not None and entry.failed.slot in slots
        )
        due = [
            DueKey(self._as_blocked(entry), self._waiting.get(entry.failed.position))
            for due_at, _, entry in waiting
            if due_at <= now
        ]
        later = next((due_at - now for due_at, _, _ in waiting if due_at > now), None)
        return DueKeys(due[:limit], later)

    def _as_blocked(self, entry: _Blocked) -> BlockedKey:
        key, slot, position, attempts, *_ = entry.failed
        return BlockedKey(key, slot, position if position in self._waiting else None, attempts)

    async def settle(self, relay_id: int, settlement: Settlement) -> None:
        """Write what has become of messages, all or nothing."""
        now = current_clock().monotonic()
        if self._relays.get(relay_id, now) <= now:
            raise RelayLeaseLostError(relay_id)
        for position in settlement.delivered:
            message = self._remove(position)
            if message is not None and self._archives:
                self._archive.append((utc_now(), message))
        self._parked.update(settlement.parked)
        for key, failed in settlement.failed.items():
            known = self._blocked.get(key)
            due_at = None if failed.retry_in is None else now + failed.retry_in
            since = known.since if known is not None else utc_now()
            self._blocked[key] = _Blocked(failed, due_at, since)
        for key in settlement.healed:
            self._blocked.pop(key, None)
            self._parked = {
                where: behind for where, behind in self._parked.items() if behind != key
            }

    def _slots_of(self, relay_id: int) -> frozenset[int]:
        return frozenset(slot for slot, owner in self._owners.items() if owner == relay_id)

    # -- looking after it (IOutboxOperations) --------------------------------------------------

    async def statistics(self) -> OutboxStatistics:
        """Return how the outbox stands."""
        now, dead = current_clock().monotonic(), len(list(self._dead()))
        failed = {entry.failed.position for entry in self._blocked.values()}
        oldest = next((p for p in self._waiting if p not in self._parked and p not in failed), None)
        return OutboxStatistics(
            waiting=len(self._waiting),
            parked=len(self._parked),
            retrying=len(self._blocked) - dead,
            dead_letters=dead,
            archived=len(self._archive),
            oldest_age=(
                None if oldest is None else (utc_now() - self._saved_at[oldest]).total_seconds()
            ),
            relays=sum(until > now for until in self._relays.values()),
        )

    async def dead_letters(
        self, limit: int = 100, *, matching: DeadLetterFilter = _EVERY, after: int = 0
    ) -> Sequence[DeadLetter]:
        """Return at most ``limit`` dead letters, in the order in which they were saved."""
        behind = Counter(self._parked.values())
        found = (each for each in self._dead(matching) if each[1].failed.position > after)
        return [
            DeadLetter(
                self._waiting[entry.failed.position].message,
                entry.failed.error,
                entry.failed.attempts,
                entry.since,
                behind[key],
                entry.failed.position,
            )
            for key, entry in nsmallest(limit, found, key=lambda each: each[1].failed.position)
        ]

    async def count_dead_letters(self, matching: DeadLetterFilter = _EVERY) -> int:
        """Return how many dead letters match."""
        return sum(1 for _ in self._dead(matching))

    async def retrying(self, limit: int = 100) -> Sequence[RetryingMessage]:
        """Return at most ``limit`` messages that have failed and are tried again, soonest first."""
        behind, now = Counter(self._parked.values()), current_clock().monotonic()
        found = sorted(
            (entry.due_at, key, entry)
            for key, entry in self._blocked.items()
            if entry.due_at is not None and entry.failed.position in self._waiting
        )
        return [
            RetryingMessage(
                self._waiting[entry.failed.position].message,
                entry.failed.error,
                entry.failed.attempts,
                entry.since,
                behind[key],
                due_at - now,
            )
            for due_at, key, entry in found[:limit]
        ]

    async def redrive(self, matching: DeadLetterFilter = _EVERY) -> int:
        """Have dead letters tried again as if they had never failed; return how many."""
        found = list(self._dead(matching))
        for key, entry in found:
            self._blocked[key] = replace(
                entry, failed=entry.failed._replace(attempts=0), due_at=current_clock().monotonic()
            )
        return len(found)

    async def discard(self, matching: DeadLetterFilter) -> int:
        """Remove dead letters for good, so that what waits behind goes on; return how many."""
        found = list(self._dead(matching))
        for key, entry in found:
            self._remove(entry.failed.position)
            self._blocked[key] = replace(entry, due_at=current_clock().monotonic())
        return len(found)

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` archived messages delivered before that; return how many."""
        before = utc_now() - older_than
        purged = sum(settled_at < before for settled_at, _ in self._archive[:limit])
        del self._archive[:purged]
        return purged

    def _dead(self, matching: DeadLetterFilter = _EVERY) -> Iterator[tuple[str, _Blocked]]:
        now = utc_now()
        for key, entry in self._blocked.items():
            waiting = self._waiting.get(entry.failed.position)
            if entry.due_at is None and waiting is not None:
                age = now - entry.since
                if _matches(matching, waiting.message, entry.failed.error, age):
                    yield key, entry


def _matches(wanted: DeadLetterFilter, message: OutboxMessage, error: str, age: timedelta) -> bool:
    return (
        (wanted.message_ids is None or message.message_id in wanted.message_ids)
        and (wanted.event_types is None or message.event_type in wanted.event_types)
        and (wanted.partition_keys is None or message.partition_key in wanted.partition_keys)
        and (wanted.older_than is None or age > wanted.older_than)
        and (wanted.newer_than is None or age <= wanted.newer_than)
        and wanted.error in error
    )


def _already_there(taken: Iterable[str]) -> PersistenceError:
    return PersistenceError(
        f"The outbox holds {sorted(taken) or 'two of these messages'} already; a message_id must "
        "be unique."
    )
