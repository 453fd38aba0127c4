"""Keys with an event that failed, and the events that wait behind it."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, delete, select

from cqrs_ddd_core.ports import (
    FailedEvent,
    IUnitOfWork,
    ProjectionVersion,
    WaitingKey,
    partition_of,
)
from cqrs_ddd_persistence_sqlalchemy.conditions import is_one_of
from cqrs_ddd_persistence_sqlalchemy.outbox.base import now_plus
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import digest_of, epoch_now, insert_missing
from cqrs_ddd_persistence_sqlalchemy.projections.base import ProjectionBase, is_of
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork


class BlockedKeys(ProjectionBase):
    """Blocked keys (see ``IProjectionStorage``)."""

    async def blocked(
        self, version: ProjectionVersion, partitions: Collection[int]
    ) -> Sequence[WaitingKey]:
        """Return the keys of ``partitions`` whose events wait."""
        return await self._keys(self._blocked_in(version, partitions))

    async def due(
        self, version: ProjectionVersion, partitions: Collection[int], limit: int = 100
    ) -> Sequence[WaitingKey]:
        """Return those blocked keys whose event is to be tried again now."""
        columns = self._tables.blocked.c
        found = self._blocked_in(version, partitions).where(columns.due_at <= epoch_now())
        return await self._keys(found.order_by(columns.due_at, columns.position).limit(limit))

    def _blocked_in(self, version: ProjectionVersion, partitions: Collection[int]) -> Select[Any]:
        table = self._tables.blocked
        columns = table.c
        wanted: list[Column[Any]] = [
            columns.partition_key,
            columns.number,
            columns.position,
            columns.attempts,
        ]
        return select(*wanted).where(
            is_of(table, version), is_one_of(columns.number, partitions, self._dialect)
        )

    async def _keys(self, statement: Select[Any]) -> Sequence[WaitingKey]:
        return [WaitingKey(*row) for row in await self._query(statement)]

    async def waiting(
        self, version: ProjectionVersion, key: str, limit: int = 100
    ) -> Sequence[int]:
        """Return the positions of the events of a blocked key, in order."""
        columns = self._tables.waiting.c
        found = select(columns.position).where(self._behind(version, key))
        rows = await self._query(found.order_by(columns.position).limit(limit))
        return list(rows.scalars())

    async def block(
        self, version: ProjectionVersion, failed: FailedEvent, uow: IUnitOfWork | None = None
    ) -> None:
        """Block a key at an event that failed, or note that it failed again."""
        table, digest = self._tables.blocked, digest_of(failed.key)
        values: dict[str, Any] = {
            "position": failed.position,
            "attempts": failed.attempts,
            "due_at": None if failed.retry_in is None else now_plus(failed.retry_in),
            "failed_at": epoch_now(),
            "error": failed.error.replace("\0", "\N{SYMBOL FOR NULL}"),
        }
        key = {
            "projection": version.projection,
            "version": version.version,
            "key_digest": digest,
            "number": partition_of(failed.key, version.partitions),
            "partition_key": failed.key,
        }
        async with self._joined(uow) as transaction:
            await transaction.execute(
                insert_missing(table, self._dialect).values({**key, **values})
            )
            again = table.update().where(is_of(table, version), table.c.key_digest == digest)
            await transaction.execute(again.values(values))
            await self._note(version, [(failed.position, failed.key)], transaction)

    async def wait_behind(
        self,
        version: ProjectionVersion,
        events: Sequence[tuple[int, str]],
        uow: IUnitOfWork | None = None,
    ) -> None:
        """Have events wait behind the failed ones of their keys."""
        if events:
            async with self._joined(uow) as transaction:
                await self._note(version, events, transaction)

    async def _note(
        self,
        version: ProjectionVersion,
        events: Sequence[tuple[int, str]],
        transaction: SQLAlchemyUnitOfWork,
    ) -> None:
        rows = [
            {
                "projection": version.projection,
                "version": version.version,
                "position": position,
                "key_digest": digest_of(key),
            }
            for position, key in events
        ]
        await transaction.execute(insert_missing(self._tables.waiting, self._dialect), rows)

    async def settle(
        self,
        version: ProjectionVersion,
        key: str,
        positions: Sequence[int],
        uow: IUnitOfWork | None = None,
    ) -> bool:
        """Forget events of a blocked key that were applied; return whether the key is free."""
        waiting, blocked = self._tables.waiting, self._tables.blocked
        applied = waiting.c.position.in_(list(positions))
        async with self._joined(uow) as transaction:
            await transaction.execute(delete(waiting).where(is_of(waiting, version), applied))
            left = select(waiting.c.position).where(self._behind(version, key)).limit(1)
            if (await transaction.execute(left)).first() is not None:
                return False
            own = blocked.c.key_digest == digest_of(key)
            await transaction.execute(delete(blocked).where(is_of(blocked, version), own))
            return True

    def _behind(self, version: ProjectionVersion, key: str) -> ColumnElement[bool]:
        table = self._tables.waiting
        return and_(is_of(table, version), table.c.key_digest == digest_of(key))
