"""Looking after a table of sagas: search, statistics, retention."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cqrs_ddd_advanced_core.sagas import SagaFilter, SagaInstance, SagaStatus
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_persistence_sqlalchemy.own_transactions import OwnTransactions
from cqrs_ddd_persistence_sqlalchemy.sagas.rows import saga_of


class SagaLookups(OwnTransactions):
    """What people and their tools ask of a table of sagas (see ``ISagaRepository``)."""

    _table: Table
    _journal: Table

    async def search(
        self, wanted: SagaFilter | None = None, *, limit: int = 100, after: str | None = None
    ) -> Sequence[SagaInstance]:
        """Return sagas, the latest begun first."""
        columns = self._table.c
        statement = (
            select(self._table)
            .where(*_conditions(self._table, wanted or SagaFilter()))
            .order_by(columns.created_at.desc(), columns.saga_id.desc())
            .limit(limit)
        )
        if after is not None:
            last = self._table.alias("last")
            begun = select(last.c.created_at).where(last.c.saga_id == after).scalar_subquery()
            earlier = and_(columns.created_at == begun, columns.saga_id < after)
            statement = statement.where(or_(columns.created_at < begun, earlier))
        return [saga_of(row) for row in (await self._query(statement)).mappings()]

    async def statistics(self) -> Mapping[str, Mapping[SagaStatus, int]]:
        """Return how many sagas of each type stand where."""
        columns = self._table.c
        statement = select(columns.saga_type, columns.status, func.count().label("sagas")).group_by(
            columns.saga_type, columns.status
        )
        counts: defaultdict[str, dict[SagaStatus, int]] = defaultdict(dict)
        for row in (await self._query(statement)).mappings():
            counts[row["saga_type"]][SagaStatus(row["status"])] = row["sagas"]
        return counts

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` sagas that finished longer ago; return how many."""
        table, journal = self._table, self._journal
        is_old = table.c.finished_at < utc_now() - older_than
        old = select(table.c.saga_id).where(is_old).limit(limit)

        async def work(connection: AsyncConnection) -> int:
            ids = list((await connection.execute(old)).scalars())
            if not ids:
                return 0
            await connection.execute(delete(journal).where(journal.c.saga_id.in_(ids)))
            gone = delete(table).where(table.c.saga_id.in_(ids))
            return (await connection.execute(gone)).rowcount

        return await self._repeated(work)


def _conditions(table: Table, wanted: SagaFilter) -> list[ColumnElement[bool]]:
    columns, conditions = table.c, list[ColumnElement[bool]]()
    if wanted.statuses is not None:
        conditions.append(columns.status.in_([status.value for status in wanted.statuses]))
    if wanted.kinds is not None:
        conditions.append(columns.kind.in_([kind.value for kind in wanted.kinds]))
    if wanted.saga_types is not None:
        conditions.append(columns.saga_type.in_(list(wanted.saga_types)))
    if wanted.correlation_id is not None:
        conditions.append(columns.correlation_id == wanted.correlation_id)
    if wanted.tenant_id is not None:
        conditions.append(columns.tenant_id == wanted.tenant_id)
    if wanted.updated_before is not None:
        conditions.append(columns.updated_at < wanted.updated_before)
    return conditions
