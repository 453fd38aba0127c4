"""Sagas in memory."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from cqrs_ddd_advanced_core.sagas.errors import SagaExistsError
from cqrs_ddd_advanced_core.sagas.instance import (
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaStatus,
)
from cqrs_ddd_advanced_core.sagas.repository import SagaFilter
from cqrs_ddd_core.adapters.memory.database import InMemoryTransaction
from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError

_Identity = tuple[str, str | None, str | None]
"""Type, key and tenant."""


class _Write(NamedTuple):
    """A saga that a unit of work has written, and the version that it found."""

    saga: SagaInstance
    journal: tuple[JournalEntry, ...]
    base: int
    releases: bool = False


class InMemorySagaRepository:
    """Keeps sagas; joins an ``InMemoryUnitOfWork`` (see ``ISagaRepository``).

    Leases and wake-up times go by the clock in force.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_advanced_core.sagas import SagaKind
        >>> sagas, now = InMemorySagaRepository(), utc_now()
        >>> saga = SagaInstance(
        ...     saga_id="s-1", saga_type="trip", kind=SagaKind.TCC, created_at=now, updated_at=now
        ... )
        >>> asyncio.run(sagas.add(saga)).version
        1
    """

    def __init__(self) -> None:
        self._sagas: dict[str, SagaInstance] = {}
        self._journals: dict[str, list[JournalEntry]] = {}
        self._ids: dict[_Identity, str] = {}

    # -- moving a saga --------------------------------------------------------------------------

    async def add(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        lease: float | None = None,
    ) -> SagaInstance:
        """Add a saga and return it at version 1."""
        transaction = joined_transaction(uow, to_write=True)
        self._refuse_known(saga, transaction)
        until = None if lease is None else utc_now() + timedelta(seconds=lease)
        added = replace(saga, version=1, epoch=0 if lease is None else 1, lease_until=until)

        def check() -> None:
            self._refuse_known(saga, None)

        self._write(transaction, _Write(added, tuple(journal), 0), check)
        return added

    async def find(self, saga_id: str, uow: IUnitOfWork | None = None) -> SagaInstance | None:
        """Return the saga with this id."""
        return self._seen(joined_transaction(uow), saga_id)

    async def find_by_key(
        self,
        saga_type: str,
        key: str,
        *,
        tenant_id: str | None = None,
        uow: IUnitOfWork | None = None,
    ) -> SagaInstance | None:
        """Return the saga of this type and tenant with this key, whatever its status."""
        return self._seen_by((saga_type, key, tenant_id), joined_transaction(uow))

    async def was_handled(
        self, saga_id: str, message_id: str, uow: IUnitOfWork | None = None
    ) -> bool:
        """Return whether the journal has an EVENT entry with this ``message_id``."""
        return any(
            entry.action is SagaAction.EVENT and entry.message_id == message_id
            for entry in await self.history(saga_id, uow)
        )

    async def history(self, saga_id: str, uow: IUnitOfWork | None = None) -> Sequence[JournalEntry]:
        """Return the saga's journal in order."""
        entries = list(self._journals.get(saga_id, ()))
        for write in self._pending(joined_transaction(uow)):
            if write.saga.saga_id == saga_id:
                entries += write.journal
        return entries

    async def save(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        release: bool = False,
    ) -> SagaInstance:
        """Save a changed saga with further entries, and return it, one version on."""
        transaction = joined_transaction(uow, to_write=True)
        found = self._seen(transaction, saga.saga_id)
        _refuse_moved(saga.saga_id, saga.version, found)
        assert found is not None
        saved = replace(
            saga,
            version=saga.version + 1,
            worker=found.worker,
            epoch=found.epoch,
            lease_until=None if release else found.lease_until,
        )
        own = [w for w in self._pending(transaction) if w.saga.saga_id == saga.saga_id]
        base = own[0].base if own else saga.version

        def check() -> None:
            if base:
                _refuse_moved(saga.saga_id, base, self._sagas.get(saga.saga_id))

        self._write(transaction, _Write(saved, tuple(journal), base, release), check)
        return saved

    # -- running sagas --------------------------------------------------------------------------

    async def claim(
        self, saga_types: Collection[str], *, worker: str, lease: float, limit: int = 10
    ) -> Sequence[SagaInstance]:
        """Lease sagas whose ``wake_at`` has come and that nobody holds."""
        now = utc_now()
        due = sorted(
            (wake_at, saga.created_at, saga.saga_id)
            for saga in self._sagas.values()
            if saga.saga_type in saga_types
            and (wake_at := saga.wake_at) is not None
            and wake_at <= now
            and (saga.lease_until is None or saga.lease_until <= now)
        )
        claimed: list[SagaInstance] = []
        for *_, saga_id in due[:limit]:
            saga = self._sagas[saga_id]
            claimed.append(
                replace(
                    saga,
                    version=saga.version + 1,
                    epoch=saga.epoch + 1,
                    worker=worker,
                    lease_until=now + timedelta(seconds=lease),
                )
            )
            self._sagas[saga_id] = claimed[-1]
        return claimed

    async def renew(self, leases: Mapping[str, int], *, lease: float) -> Collection[str]:
        """Renew leases, by saga and epoch; return the ids of the sagas still held."""
        held = {saga_id for saga_id, epoch in leases.items() if self._holds(saga_id, epoch)}
        until = utc_now() + timedelta(seconds=lease)
        for saga_id in held:
            self._sagas[saga_id] = replace(self._sagas[saga_id], lease_until=until)
        return held

    async def release(self, saga_id: str, epoch: int) -> None:
        """Give up a lease, if it still holds."""
        if self._holds(saga_id, epoch):
            self._sagas[saga_id] = replace(self._sagas[saga_id], lease_until=None)

    async def next_due_in(self, saga_types: Collection[str]) -> float | None:
        """Return the seconds until the next saga can be claimed."""
        times = [
            max(saga.wake_at, saga.lease_until or saga.wake_at)
            for saga in self._sagas.values()
            if saga.wake_at is not None and saga.saga_type in saga_types
        ]
        return max(0.0, (min(times) - utc_now()).total_seconds()) if times else None

    # -- looking after them ---------------------------------------------------------------------

    async def search(
        self, wanted: SagaFilter | None = None, *, limit: int = 100, after: str | None = None
    ) -> Sequence[SagaInstance]:
        """Return sagas, the latest begun first."""
        found = [s for s in self._sagas.values() if _fits(s, wanted or SagaFilter())]
        found.sort(key=_begun, reverse=True)
        if after is not None:
            last = self._sagas.get(after)
            found = [saga for saga in found if last is not None and _begun(saga) < _begun(last)]
        return found[:limit]

    async def statistics(self) -> Mapping[str, Mapping[SagaStatus, int]]:
        """Return how many sagas of each type stand where."""
        counts: defaultdict[str, Counter[SagaStatus]] = defaultdict(Counter)
        for saga in self._sagas.values():
            counts[saga.saga_type][saga.status] += 1
        return counts

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` sagas that finished longer ago."""
        before = utc_now() - older_than
        old = [
            saga.saga_id
            for saga in self._sagas.values()
            if saga.finished_at is not None and saga.finished_at < before
        ][:limit]
        for saga_id in old:
            self._ids.pop(_identity(self._sagas.pop(saga_id)), None)
            self._journals.pop(saga_id, None)
        return len(old)

    # -- inside ---------------------------------------------------------------------------------

    def _pending(self, transaction: InMemoryTransaction | None) -> tuple[_Write, ...]:
        return () if transaction is None else transaction.pending.get(self, ())

    def _seen(self, transaction: InMemoryTransaction | None, saga_id: str) -> SagaInstance | None:
        """Return a saga as a unit of work sees it: its own writes above the stored ones."""
        own = [w.saga for w in self._pending(transaction) if w.saga.saga_id == saga_id]
        return own[-1] if own else self._sagas.get(saga_id)

    def _seen_by(
        self, identity: _Identity, transaction: InMemoryTransaction | None
    ) -> SagaInstance | None:
        own = [w.saga for w in self._pending(transaction) if _identity(w.saga) == identity]
        return own[-1] if own else self._sagas.get(self._ids.get(identity, ""))

    def _refuse_known(self, saga: SagaInstance, transaction: InMemoryTransaction | None) -> None:
        """Refuse a saga whose id, or whose key, is taken.

        Raises:
            SagaExistsError: it is.
        """
        by_key = self._seen_by(_identity(saga), transaction) if saga.key is not None else None
        if by_key is not None or self._seen(transaction, saga.saga_id) is not None:
            raise SagaExistsError(saga.saga_type, saga.saga_id, saga.key)

    def _holds(self, saga_id: str, epoch: int) -> bool:
        saga = self._sagas.get(saga_id)
        return (
            saga is not None
            and saga.epoch == epoch
            and saga.lease_until is not None
            and saga.lease_until > utc_now()
        )

    def _write(
        self,
        transaction: InMemoryTransaction | None,
        write: _Write,
        check: Callable[[], None],
    ) -> None:
        def apply() -> None:
            saga, stored = write.saga, self._sagas.get(write.saga.saga_id)
            if stored is not None and not write.releases:  # it may have been renewed meanwhile
                saga = replace(saga, lease_until=stored.lease_until)
            self._sagas[saga.saga_id] = saga
            self._journals.setdefault(saga.saga_id, []).extend(write.journal)
            if saga.key is not None:
                self._ids[_identity(saga)] = saga.saga_id

        if transaction is not None:
            transaction.pending[self] = (*self._pending(transaction), write)
        run_or_stage(transaction, apply, check)


def _identity(saga: SagaInstance) -> _Identity:
    return saga.saga_type, saga.key, saga.tenant_id


def _begun(saga: SagaInstance) -> tuple[object, str]:
    return saga.created_at, saga.saga_id


def _refuse_moved(saga_id: str, expected: int, found: SagaInstance | None) -> None:
    """Refuse a version that is not the stored one.

    Raises:
        ConcurrencyError: it is not.
    """
    actual = None if found is None else found.version
    if actual != expected:
        raise ConcurrencyError(f"Saga {saga_id!r}", expected=expected, actual=actual)


def _fits(saga: SagaInstance, wanted: SagaFilter) -> bool:
    return (
        (wanted.statuses is None or saga.status in wanted.statuses)
        and (wanted.kinds is None or saga.kind in wanted.kinds)
        and (wanted.saga_types is None or saga.saga_type in wanted.saga_types)
        and wanted.correlation_id in (None, saga.correlation_id)
        and wanted.tenant_id in (None, saga.tenant_id)
        and (wanted.updated_before is None or saga.updated_at < wanted.updated_before)
    )
