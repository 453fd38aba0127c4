"""The event store on PostgreSQL, MariaDB, MySQL and SQLite."""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core.cqrs.scope import unit_of_work_to_join
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports import (
    AppendCondition,
    EventQuery,
    ExpectedVersion,
    FeedPage,
    FeedSignal,
    IUnitOfWork,
    IUpcaster,
    StoredEvent,
    StreamAppend,
    StreamId,
)
from cqrs_ddd_core.ports.event_query import refuse_untagged
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_persistence_sqlalchemy.connecting import connect
from cqrs_ddd_persistence_sqlalchemy.engine import READ_ONLY
from cqrs_ddd_persistence_sqlalchemy.errors import translated
from cqrs_ddd_persistence_sqlalchemy.event_store.append import AppendBatch, has_tags
from cqrs_ddd_persistence_sqlalchemy.event_store.boundary import check_support
from cqrs_ddd_persistence_sqlalchemy.event_store.feed import (
    Stretch,
    latest_position,
    read_stretch,
)
from cqrs_ddd_persistence_sqlalchemy.event_store.matching import matching_query
from cqrs_ddd_persistence_sqlalchemy.event_store.rows import COLUMNS, stored_event
from cqrs_ddd_persistence_sqlalchemy.event_store.sequencer import advance
from cqrs_ddd_persistence_sqlalchemy.event_store.streams import (
    of_given_stream,
    stream_parameters,
    version_query,
)
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables, event_tables
from cqrs_ddd_persistence_sqlalchemy.greenlets import in_greenlet
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared, Row, Values
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork, engine_of

R = TypeVar("R")
_NO_END = 2**62
_VERSION = COLUMNS.index("version")
_WINDOW = 10_000  # positions that a page looks through for events of some types


class SQLAlchemyEventStore:
    """Events, their feed and their tags in five tables (see ``ITaggedEventStore``).

    An append waits for the end of the unit of work and goes to the server with its other writes.
    Positions in the feed are given after the commit, by whoever reads the feed.

    Args:
        session_factory: the one that the units of work are made with.
        upcaster_registry: brings old events to the schema of today as they are read.
        table: the name of the table of events; the others begin with it.
        batch_size: how many events a read fetches at once.
        signal: told of commits, such as a ``PostgreSQLSignal``; else one for this process alone.
    """

    def __init__(
        self,
        session_factory: async_sessionmaker[AsyncSession],
        *,
        upcaster_registry: IUpcaster | None = None,
        table: str = "events",
        batch_size: int = 1000,
        signal: FeedSignal | None = None,
    ) -> None:
        self._session_factory, self._upcasters = session_factory, upcaster_registry
        self._tables, self._batch_size = event_tables(table), batch_size
        self.signal = signal or FeedSignal()

    @property
    def tables(self) -> EventTables:
        """The tables, for ``create_schema``, Alembic and queries of your own."""
        return self._tables

    def unit_of_work(self) -> SQLAlchemyUnitOfWork:
        """Return a unit of work that this store takes part in, without repositories."""
        return SQLAlchemyUnitOfWork(self._session_factory)

    # -- appends -------------------------------------------------------------------------------

    async def append(
        self,
        stream: StreamId,
        events: Sequence[StoredEvent],
        expected_version: int = ExpectedVersion.ANY,
        uow: IUnitOfWork | None = None,
    ) -> int:
        """Append ``events`` and return the stream's new version.

        Inside a unit of work, an exact version is checked when its writes run; any other is
        looked up at once.

        Raises:
            ConcurrencyError: now or at commit, when the stream is not at ``expected_version``.
        """
        stands_alone = uow is None and unit_of_work_to_join() is None
        append = StreamAppend(stream, events, expected_version)
        async with joined(self._session_factory, uow) as transaction:
            batch = await self._gather(transaction, append)
            if batch is None or not (expected_version >= 0 or stands_alone):
                return await self._version(transaction, stream)
        return expected_version + len(events) if expected_version >= 0 else batch.version_of(stream)

    async def append_many(
        self,
        appends: Sequence[StreamAppend],
        uow: IUnitOfWork | None = None,
        *,
        condition: AppendCondition | None = None,
    ) -> None:
        """Append to several streams, all or nothing, if ``condition`` holds until the commit."""
        async with joined(self._session_factory, uow) as transaction:
            if condition is not None:
                check_support(transaction.engine.dialect.name)
                refuse_untagged(event for append in appends for event in append.events)
                self._begin_batch(transaction, with_tags=True, condition=condition)
            for append in appends:
                await self._gather(transaction, append)

    async def _gather(
        self, transaction: SQLAlchemyUnitOfWork, append: StreamAppend
    ) -> AppendBatch | None:
        """Put ``append`` into the batch that waits in ``transaction``; None when it is empty."""
        transaction.ensure_writable()
        if not append.events:
            await self._check(transaction, append)
            return None
        batch: AppendBatch | None = transaction.transaction.writes.gathered.get(self)
        if batch is not None and not batch.accepts(append):
            await transaction.send_writes()  # a flush may be what appends
            batch = None
        if batch is None or (not batch.takes_tags and has_tags(append)):
            batch = self._begin_batch(transaction, with_tags=has_tags(append))
        batch.add(append)
        return batch

    def _begin_batch(
        self,
        transaction: SQLAlchemyUnitOfWork,
        *,
        with_tags: bool,
        condition: AppendCondition | None = None,
    ) -> AppendBatch:
        """Have a new batch written behind what waits in ``transaction``."""
        batch = AppendBatch(self._tables, with_tags=with_tags, condition=condition)
        transaction.write(batch.write())
        transaction.on_commit(self._committed)
        transaction.transaction.writes.gathered[self] = batch
        return batch

    async def _check(self, transaction: SQLAlchemyUnitOfWork, append: StreamAppend) -> None:
        """Refuse an append of no events to a stream that is not as it expects."""
        stream, _, expected = append
        actual = await self._version(transaction, stream)
        missing = expected == ExpectedVersion.STREAM_EXISTS and actual == 0
        if missing or (expected >= 0 and actual != expected):
            raise ConcurrencyError(f"Stream {stream}", expected=expected, actual=actual)

    async def _committed(self) -> None:
        self.signal.notify()

    # -- streams -------------------------------------------------------------------------------

    async def read_stream(
        self,
        stream: StreamId,
        *,
        after_version: int = 0,
        before_version: int | None = None,
        backwards: bool = False,
        uow: IUnitOfWork | None = None,
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events of one stream between two versions, both exclusive."""
        statement = _stream_query(self._tables, backwards, self._batch_size)
        low, high = after_version, _NO_END if before_version is None else before_version
        while low < high:
            given = {**stream_parameters(stream), "low": low, "high": high}
            async with joined(self._session_factory, uow, read_only=True) as transaction:
                rows = await self._rows(transaction, statement, given)
            for row in rows:
                yield self._today(stored_event(row))
            if len(rows) < self._batch_size:
                return
            last = rows[-1][_VERSION]
            low, high = (low, last) if backwards else (last, high)

    async def read_matching(
        self, query: EventQuery, *, uow: IUnitOfWork | None = None
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events that ``query`` finds, each once, an event behind those it rests on."""
        behind = (0, -1)
        while True:
            statement, given = matching_query(self._tables, query, behind, self._batch_size)
            async with joined(self._session_factory, uow, read_only=True) as transaction:
                rows = (await self._read(transaction, statement, given)).all()
            for row in rows:
                yield self._today(stored_event(row[:-2]))
            if len(rows) < self._batch_size:
                return
            behind = (rows[-1][-2], rows[-1][-1])

    async def stream_version(self, stream: StreamId, uow: IUnitOfWork | None = None) -> int:
        """Return the version of the last event of ``stream``; 0 when it has none."""
        async with joined(self._session_factory, uow, read_only=True) as transaction:
            return await self._version(transaction, stream)

    async def streams_of(
        self, aggregate_id: str, *, tenant_id: str = "", uow: IUnitOfWork | None = None
    ) -> list[StreamId]:
        """Return the streams of aggregates with this id, one for each type that has one."""
        given = {"tenant_id": tenant_id, "aggregate_id": aggregate_id}
        async with joined(self._session_factory, uow, read_only=True) as transaction:
            rows = await self._rows(transaction, _types_query(self._tables), given)
        return [StreamId(aggregate_type, aggregate_id, tenant_id) for (aggregate_type,) in rows]

    async def _version(self, transaction: SQLAlchemyUnitOfWork, stream: StreamId) -> int:
        query = version_query(self._tables)
        return (await self._rows(transaction, query, stream_parameters(stream)))[0][0] or 0

    async def _read(
        self, transaction: SQLAlchemyUnitOfWork, statement: Any, parameters: Any = None
    ) -> Any:
        try:
            return await transaction.read(statement, parameters)
        except DBAPIError as error:
            raise self._translated(error) from error

    async def _rows(
        self, transaction: SQLAlchemyUnitOfWork, statement: Prepared, values: Values
    ) -> Sequence[Row]:
        try:
            return await transaction.rows(statement, values)
        except DBAPIError as error:
            raise self._translated(error) from error

    # -- the feed ------------------------------------------------------------------------------

    async def read_feed(
        self,
        *,
        after_position: int = 0,
        limit: int = 1000,
        event_types: Collection[str] | None = None,
    ) -> FeedPage:
        """Return the next stretch of the feed."""

        def read(connection: Connection) -> FeedPage:
            window = limit if event_types is None else max(limit, _WINDOW)
            last = min(after_position + window, self._latest(connection))
            if last <= after_position:
                return FeedPage([], after_position)
            stretch = Stretch(after_position + 1, last)
            events = read_stretch(
                connection, self._tables, stretch, event_types=event_types, limit=limit
            )
            is_cut = len(events) == limit
            return FeedPage(
                [self._today(event) for event in events], events[-1].position if is_cut else last
            )

        return await self._on_feed(read)

    async def read_all(
        self,
        *,
        after_position: int = 0,
        before_position: int | None = None,
        event_types: Collection[str] | None = None,
        backwards: bool = False,
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events of the feed between two positions, both exclusive, as of this call."""
        latest = await self.latest_position()
        end = latest if before_position is None else min(latest, before_position - 1)
        starts = range(after_position, end, self._batch_size)
        for start in reversed(starts) if backwards else starts:
            stretch = Stretch(start + 1, min(start + self._batch_size, end))

            def read(connection: Connection, stretch: Stretch = stretch) -> list[StoredEvent]:
                return read_stretch(
                    connection,
                    self._tables,
                    stretch,
                    event_types=event_types,
                    backwards=backwards,
                )

            for event in await self._on_feed(read):
                yield self._today(event)

    async def latest_position(self) -> int:
        """Return the position of the last event; 0 when there is none."""
        return await self._on_feed(self._latest)

    def _latest(self, connection: Connection) -> int:
        advance(connection, self._tables)
        return latest_position(connection, self._tables)

    async def _on_feed(self, work: Callable[[Connection], R]) -> R:
        """Run ``work`` on a connection of its own: the feed belongs to no unit of work."""
        engine = engine_of(self._session_factory).sync_engine
        is_postgresql, is_sqlite = (engine.dialect.name == n for n in ("postgresql", "sqlite"))

        def run() -> R:
            with connect(engine) as connection:
                if is_postgresql:
                    connection.execution_options(isolation_level="AUTOCOMMIT")
                else:
                    connection.execution_options(**{READ_ONLY: True})
                return work(connection)

        try:
            running = in_greenlet(run)
            return await (shielded(running) if is_sqlite else running)
        except DBAPIError as error:
            raise self._translated(error) from error

    def _today(self, event: StoredEvent) -> StoredEvent:
        return event if self._upcasters is None else self._upcasters.upcast_stored(event)

    def _translated(self, error: DBAPIError) -> Exception:
        return translated(error, f"The event store {self._tables.events.name}")


@lru_cache(maxsize=64)
def _stream_query(tables: EventTables, backwards: bool, limit: int) -> Prepared:
    columns = tables.events.c
    order = columns.version.desc() if backwards else columns.version
    return Prepared(
        select(*(columns[name] for name in COLUMNS))
        .where(of_given_stream(tables.events))
        .where(columns.version > bindparam("low"), columns.version < bindparam("high"))
        .order_by(order)
        .limit(limit)
    )


@lru_cache(maxsize=64)
def _types_query(tables: EventTables) -> Prepared:
    columns = tables.events.c
    return Prepared(
        select(columns.aggregate_type).where(
            columns.tenant_id == bindparam("tenant_id"),
            columns.aggregate_id == bindparam("aggregate_id"),
            columns.version == 1,
        )
    )
