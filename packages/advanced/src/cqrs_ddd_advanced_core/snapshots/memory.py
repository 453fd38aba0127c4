"""The snapshot store in memory."""

from collections.abc import Callable

from cqrs_ddd_advanced_core.snapshots.snapshot import Snapshot
from cqrs_ddd_core import IUnitOfWork, StreamId
from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage


class InMemorySnapshotStore:
    """Keeps snapshots in a dict; joins an ``InMemoryUnitOfWork`` (see ``ISnapshotStore``)."""

    def __init__(self) -> None:
        self._snapshots: dict[StreamId, Snapshot] = {}

    async def save_snapshot(self, snapshot: Snapshot, uow: IUnitOfWork | None = None) -> None:
        """Keep ``snapshot`` instead of an earlier one of its stream."""

        def apply() -> None:
            known = self._snapshots.get(snapshot.stream)
            if known is None or known.version <= snapshot.version:
                self._snapshots[snapshot.stream] = snapshot

        self._change(snapshot.stream, (snapshot,), apply, uow)

    async def get_latest_snapshot(
        self, stream: StreamId, uow: IUnitOfWork | None = None
    ) -> Snapshot | None:
        """Return the snapshot of ``stream``, or None."""
        transaction = joined_transaction(uow)
        pending = transaction.pending.get((self, stream)) if transaction is not None else None
        if pending is not None:
            return pending[0] if pending else None
        return self._snapshots.get(stream)

    async def delete_snapshot(self, stream: StreamId, uow: IUnitOfWork | None = None) -> None:
        """Forget the snapshot of ``stream``, if there is one."""
        self._change(stream, (), lambda: self._snapshots.pop(stream, None), uow)

    def _change(
        self,
        stream: StreamId,
        pending: tuple[Snapshot, ...],
        apply: Callable[[], object],
        uow: IUnitOfWork | None,
    ) -> None:
        def run() -> None:
            apply()

        transaction = joined_transaction(uow, to_write=True)
        if transaction is not None:
            transaction.pending[self, stream] = pending
        run_or_stage(transaction, run, lambda: None)
