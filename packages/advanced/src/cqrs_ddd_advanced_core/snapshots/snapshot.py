"""A snapshot, and the port of the store that keeps them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from cqrs_ddd_core import IUnitOfWork, StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of an aggregate as of one version of its stream.

    Attributes:
        stream: whose state.
        version: of the last event in it.
        event_id: of that event; a snapshot that another event follows is not believed.
        schema: names the form of ``payload``; another form is upcast or discarded.
        payload: the encoded state.
        taken_at: when.
    """

    stream: StreamId
    version: int
    event_id: str
    schema: str
    payload: bytes
    taken_at: datetime


@runtime_checkable
class ISnapshotStore(Protocol):
    """Keeps the latest snapshot of each stream.

    Joins the unit of work that is given or current; without one, each call is a transaction of its
    own. Losing snapshots costs time, never data.
    """

    async def save_snapshot(self, snapshot: Snapshot, uow: IUnitOfWork | None = None) -> None:
        """Keep ``snapshot`` instead of an earlier one of its stream."""
        ...

    async def get_latest_snapshot(
        self, stream: StreamId, uow: IUnitOfWork | None = None
    ) -> Snapshot | None:
        """Return the snapshot of ``stream``, or None."""
        ...

    async def delete_snapshot(self, stream: StreamId, uow: IUnitOfWork | None = None) -> None:
        """Forget the snapshot of ``stream``, if there is one."""
        ...
