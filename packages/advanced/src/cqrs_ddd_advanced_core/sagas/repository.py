"""The port of the store that sagas of every kind live in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from cqrs_ddd_advanced_core.sagas.instance import (
    JournalEntry,
    SagaInstance,
    SagaKind,
    SagaStatus,
)
from cqrs_ddd_core.ports import IUnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaFilter:
    """Which sagas are meant; what is left out does not narrow it.

    Attributes:
        statuses: where they stand.
        kinds: how they are driven.
        saga_types: the stored names of their definitions.
        correlation_id: the conversation.
        tenant_id: whose they are.
        updated_before: for longer than since then, nothing has happened to them.
    """

    statuses: Collection[SagaStatus] | None = None
    kinds: Collection[SagaKind] | None = None
    saga_types: Collection[str] | None = None
    correlation_id: str | None = None
    tenant_id: str | None = None
    updated_before: datetime | None = None


@runtime_checkable
class ISagaRepository(Protocol):
    """Keeps sagas with their journals, and gives each to one worker at a time.

    ``add``, ``find``, ``find_by_key``, ``history``, ``was_handled`` and ``save`` join the unit of
    work that is given or current, and see what it has saved before; without one, each is a
    transaction of its own, as are all others.

    Two guards keep a saga from being moved by two at once. ``save`` is refused when the version is
    not the stored one. A lease says who runs it, by the store's clock; a claim raises version and
    ``epoch``, so whoever held it before saves nothing any more.
    """

    # -- moving a saga --------------------------------------------------------------------------

    async def add(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        lease: float | None = None,
    ) -> SagaInstance:
        """Add a saga and return it at version 1.

        Args:
            saga: the saga, at version 0.
            journal: its first entries.
            uow: the unit of work to join.
            lease: seconds for which ``saga.worker`` holds it; None when nobody does.

        Raises:
            SagaExistsError: now or at commit, when its id, or its type and key, are taken.
        """
        ...

    async def find(self, saga_id: str, uow: IUnitOfWork | None = None) -> SagaInstance | None:
        """Return the saga with this id."""
        ...

    async def find_by_key(
        self,
        saga_type: str,
        key: str,
        *,
        tenant_id: str | None = None,
        uow: IUnitOfWork | None = None,
    ) -> SagaInstance | None:
        """Return the saga of this type and tenant with this key, whatever its status."""
        ...

    async def was_handled(
        self, saga_id: str, message_id: str, uow: IUnitOfWork | None = None
    ) -> bool:
        """Return whether the journal has an EVENT entry with this ``message_id``."""
        ...

    async def history(self, saga_id: str, uow: IUnitOfWork | None = None) -> Sequence[JournalEntry]:
        """Return the saga's journal in order; empty for a saga that is not there."""
        ...

    async def save(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        release: bool = False,
    ) -> SagaInstance:
        """Save a changed saga with further entries, and return it, one version on.

        ``epoch``, ``lease_until`` and ``worker`` are not changed by it, whatever ``saga`` says.

        Args:
            saga: the saga as it is to be, with the version that it was read with.
            journal: the entries that are new; ``entries`` counts them.
            uow: the unit of work to join.
            release: whether the lease ends with this.

        Raises:
            ConcurrencyError: now or at commit, when somebody else saved or claimed it meanwhile.
        """
        ...

    # -- running sagas --------------------------------------------------------------------------

    async def claim(
        self, saga_types: Collection[str], *, worker: str, lease: float, limit: int = 10
    ) -> Sequence[SagaInstance]:
        """Lease sagas whose ``wake_at`` has come and that nobody holds, the longest due first.

        Their version and epoch are one higher than before.
        """
        ...

    async def renew(self, leases: Mapping[str, int], *, lease: float) -> Collection[str]:
        """Renew leases, by saga and epoch; return the ids of the sagas still held."""
        ...

    async def release(self, saga_id: str, epoch: int) -> None:
        """Give up a lease, if it still holds; when the saga wakes is left as it is."""
        ...

    async def next_due_in(self, saga_types: Collection[str]) -> float | None:
        """Return the seconds until the next saga can be claimed; None without one."""
        ...

    # -- looking after them ---------------------------------------------------------------------

    async def search(
        self, wanted: SagaFilter | None = None, *, limit: int = 100, after: str | None = None
    ) -> Sequence[SagaInstance]:
        """Return sagas, the latest begun first.

        Args:
            wanted: which ones; all by default.
            limit: how many, at most.
            after: the id of the last saga of the page before; nothing comes after one that has
                been purged.
        """
        ...

    async def statistics(self) -> Mapping[str, Mapping[SagaStatus, int]]:
        """Return how many sagas of each type stand where."""
        ...

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` sagas that finished longer ago; return how many."""
        ...
