"""The inbox: which messages a consumer has handled, in the transaction of their effects."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property

from sqlalchemy import (
    ARRAY,
    Column,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core.ports import DuplicateMessageError, IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_persistence_sqlalchemy.errors import is_unique_violation, translated
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared
from cqrs_ddd_persistence_sqlalchemy.types import UtcDateTime, text_type
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import engine_of
from cqrs_ddd_persistence_sqlalchemy.writes import Template, Write

_AT_ONCE = 500  # messages in one DELETE, each of which needs two parameters


class SQLAlchemyInboxStorage:
    """Handled messages in a table (see ``IInboxStorage``).

    Args:
        session_factory: the one that the units of work are made with.
        table: the table's name.
    """

    def __init__(
        self, session_factory: async_sessionmaker[AsyncSession], *, table: str = "inbox"
    ) -> None:
        self._session_factory = session_factory
        self.table = Table(
            table,
            MetaData(),
            Column("consumer", text_type(key=True), primary_key=True),
            Column("message_id", text_type(key=True), primary_key=True),
            Column("recorded_at", UtcDateTime(), nullable=False, index=True),
        )
        self._insert = Template(self.table, "insert", ("consumer", "message_id", "recorded_at"))

    async def handled(
        self, consumer: str, message_ids: Sequence[str], uow: IUnitOfWork | None = None
    ) -> set[str]:
        """Return those of ``message_ids`` that ``consumer`` has handled."""
        if not message_ids:
            return set()
        values = {"by": consumer, "of": list(message_ids)}
        async with joined(self._session_factory, uow) as transaction:
            return {message_id for (message_id,) in await transaction.rows(self.query, values)}

    @cached_property
    def query(self) -> Prepared:
        """The query for those of the messages ``of`` that the consumer ``by`` has handled."""
        columns = self.table.c
        by_consumer = columns.consumer == bindparam("by")
        if engine_of(self._session_factory).dialect.name != "postgresql":
            some = columns.message_id.in_(bindparam("of", expanding=True))
            return Prepared(select(columns.message_id).where(by_consumer, some))
        # One by one, by the key: a plan that was made while the table was small, and is kept,
        # would read all that the consumer has ever handled.
        one = func.unnest(bindparam("of", type_=ARRAY(Text()))).column_valued("given")
        known = select(true()).where(by_consumer, columns.message_id == one).scalar_subquery()
        return Prepared(select(one).where(known))

    async def record(
        self, consumer: str, message_ids: Sequence[str], uow: IUnitOfWork | None = None
    ) -> None:
        """Note that ``consumer`` has handled ``message_ids``.

        Raises:
            DuplicateMessageError: now or at commit, when one of them is there already.
        """
        if not message_ids:
            return
        now = utc_now()
        rows = [
            {"consumer": consumer, "message_id": message_id, "recorded_at": now}
            for message_id in message_ids
        ]

        def refused(error: DBAPIError) -> Exception:
            if isinstance(error, IntegrityError) and is_unique_violation(error):
                return DuplicateMessageError(consumer, message_ids)
            return translated(error, f"The inbox {self.table.name}")

        async with joined(self._session_factory, uow) as transaction:
            transaction.write(Write(self._insert, rows, refused))

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` messages handled more than ``older_than`` ago."""
        columns = self.table.c
        old = (
            select(columns.consumer, columns.message_id)
            .where(columns.recorded_at < utc_now() - older_than)
            .order_by(columns.recorded_at)
            .limit(limit)
        )
        async with joined(self._session_factory) as transaction:
            found = (await transaction.read(old)).all()
        for start in range(0, len(found), _AT_ONCE):
            entries = [
                and_(columns.consumer == row.consumer, columns.message_id == row.message_id)
                for row in found[start : start + _AT_ONCE]
            ]
            async with joined(self._session_factory) as transaction:
                await transaction.execute(delete(self.table).where(or_(*entries)))
        return len(found)
