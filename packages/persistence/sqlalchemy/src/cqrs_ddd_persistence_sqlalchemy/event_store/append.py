"""The append of one unit of work: all its events, to all their streams, in one statement."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from cqrs_ddd_core.ports import (
    AppendCondition,
    AppendConditionError,
    ExpectedVersion,
    StoredEvent,
    StreamAppend,
    StreamId,
)
from cqrs_ddd_core.primitives.clock import as_utc, utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_persistence_sqlalchemy.engine import FAILED
from cqrs_ddd_persistence_sqlalchemy.errors import is_unique_violation, translated
from cqrs_ddd_persistence_sqlalchemy.event_store.append_statement import (
    AppendTemplate,
    append_statement,
    array_parameters,
)
from cqrs_ddd_persistence_sqlalchemy.event_store.boundary import check, enter
from cqrs_ddd_persistence_sqlalchemy.event_store.matching import TaggedEvent, tag_rows
from cqrs_ddd_persistence_sqlalchemy.event_store.streams import (
    of_stream,
    stream_parameters,
    version_query,
)
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables
from cqrs_ddd_persistence_sqlalchemy.writes import Write

_ATTEMPTS = 64  # each one is lost to another append that has committed


@dataclass
class _Plan:
    """What one batch appends to one stream.

    Attributes:
        expected: as the caller has it.
        base: the version behind which the events go; unknown for ``ANY`` until it is looked up.
        stands: whether these very events were there already.
    """

    stream: StreamId
    expected: int
    base: int
    events: list[StoredEvent] = field(default_factory=list[StoredEvent])
    stands: bool = False

    @property
    def is_exact(self) -> bool:
        return self.expected >= 0

    @property
    def ids(self) -> list[str]:
        return [event.event_id for event in self.events]

    @property
    def version(self) -> int:
        return self.base if self.stands and not self.is_exact else self.base + len(self.events)

    def refused(self, actual: int) -> ConcurrencyError:
        return ConcurrencyError(f"Stream {self.stream}", expected=self.expected, actual=actual)


class AppendBatch:
    """Gathers the appends of a unit of work until its writes run.

    The unique key of the table decides who was first. What it refuses is then looked at: the very
    same events are a success, an append at ``ANY`` version is repeated, anything else is refused.

    Args:
        tables: of the store.
        with_tags: whether events may have tags; they go in a transaction, for they take locks.
        condition: what must hold of the events before this batch and until the commit.
    """

    def __init__(
        self,
        tables: EventTables,
        *,
        with_tags: bool = False,
        condition: AppendCondition | None = None,
    ) -> None:
        self._tables, self._condition = tables, condition
        self.takes_tags = with_tags or condition is not None
        self._plans: dict[StreamId, _Plan] = {}
        self._events: list[tuple[_Plan, StoredEvent]] = []

    def accepts(self, append: StreamAppend) -> bool:
        """Whether ``append`` can go with the others; else they must run first.

        What two appends do to one stream can be told without the database only where the second
        stands on the first.
        """
        plan = self._plans.get(append.stream)
        if plan is None:
            return True
        if append.expected_version >= 0:
            return plan.is_exact and append.expected_version >= plan.base
        ids = [event.event_id for event in append.events]
        return [event_id for event_id in plan.ids if event_id in set(ids)] == ids

    def add(self, append: StreamAppend) -> None:
        """Put ``append``, which this batch accepts, behind the others.

        Raises:
            ConcurrencyError: it contradicts what this batch does to the stream.
        """
        stream, events, expected = append
        plan = self._plans.get(stream)
        if plan is None:
            plan = self._plans[stream] = _Plan(stream, expected, max(expected, 0))
        elif expected < 0:
            return  # all of them are in the plan: a record of events that are stored anyway
        elif expected != plan.version:
            waiting = plan.ids[expected - plan.base :][: len(events)]
            if waiting == [event.event_id for event in events]:
                return
            raise ConcurrencyError(f"Stream {stream}", expected=expected, actual=plan.version)
        plan.events += events
        self._events += [(plan, event) for event in events]

    def version_of(self, stream: StreamId) -> int:
        """Return the version of a stream once this batch is written."""
        return self._plans[stream].version

    def write(self) -> Write:
        """Return this batch as one write of the queue."""
        write = Write(
            AppendTemplate(self._tables),
            [{}],
            self._failed,
            self._missed,
            prepare=self._prepared,
            alone=self._run_alone,
        )
        return write._replace(rows=(), alone=self._run_in_turn) if self.takes_tags else write

    # -- tags: in turn with those who depend on them -------------------------------------------

    def _run_in_turn(self, connection: Connection) -> None:
        """Append when nobody else checks or appends what this batch depends on."""
        try:
            enter(connection, self._tables, self._tagged(), self._condition)
            if self._condition is not None:
                self._check(connection, self._condition)
        except DBAPIError as error:
            raise self._failed(error) from error
        self._run_alone(connection)

    def _check(self, connection: Connection, condition: AppendCondition) -> None:
        try:
            check(connection, self._tables, condition)
        except AppendConditionError:
            plans = self._plans.values()
            was_lost = all(self._known(connection, plan) == plan.ids for plan in plans)
            if not (plans and was_lost):  # the answer to the same append, which went through
                raise

    def _tagged(self) -> list[TaggedEvent]:
        """Return what of each event that is to be written queries ask for."""
        return [
            TaggedEvent(plan.stream.tenant_id, event.event_type, event.tags)
            for plan, event in self._events
            if not plan.stands
        ]

    # -- PostgreSQL: one statement ---------------------------------------------------------------

    def _prepared(self, connection: Connection) -> Write | None:
        """Return the write with its rows, or None when all of it is there already."""
        self._look_up(connection, [plan for plan in self._plans.values() if not plan.is_exact])
        parameters = self._parameters()
        return self.write()._replace(rows=[parameters]) if parameters["size"] else None

    def _parameters(self) -> dict[str, Any]:
        rows = self._rows()
        plans = [plan for plan in self._plans.values() if not plan.stands and plan.base]
        prior = [(plan.stream, plan.base) for plan in plans]
        return array_parameters(rows, prior, tag_rows(self._tagged()) if self.takes_tags else None)

    def _rows(self) -> list[dict[str, Any]]:
        versions = {stream: plan.base for stream, plan in self._plans.items()}
        rows: list[dict[str, Any]] = []
        for plan, event in self._events:
            if not plan.stands:
                version = versions[plan.stream] = versions[plan.stream] + 1
                rows.append(_row(plan.stream, event, version))
        return rows

    def _run_alone(self, connection: Connection) -> None:
        """Append inside a transaction that goes on whatever the outcome."""
        on_postgresql = connection.dialect.name == "postgresql"
        append = self._append_at_once if on_postgresql else self._append_in_steps
        try:
            for _ in range(_ATTEMPTS):
                if append(connection):
                    return
                self._missed(connection)
        except DBAPIError as error:
            raise self._failed(error) from error
        raise self._lost()

    def _append_at_once(self, connection: Connection) -> bool:
        """Append in one statement; return False when nothing was written."""
        plans = list(self._plans.values())
        retries = len(plans) != 1 or not plans[0].is_exact
        with connection.begin_nested() if retries else nullcontext() as savepoint:
            write = self._prepared(connection)
            if write is None:
                return True
            try:
                found = append_statement(self._tables, with_tags=self.takes_tags).scalar(
                    connection, write.rows[0]
                )
            except DBAPIError as error:
                raise self._failed(error) from error
            if found == write.rows[0]["size"]:
                return True
            if savepoint is not None:
                savepoint.rollback()
            elif found:  # a part of it is there, which only the end of the transaction undoes
                self._missed(connection)
                raise self._lost()
            return False

    # -- other databases: pending row, then events -----------------------------------------------

    def _append_in_steps(self, connection: Connection) -> bool:
        """Append behind what is there; return False when somebody else was faster."""
        is_sqlite = connection.dialect.name == "sqlite"  # which has one writer, so nobody is faster
        with nullcontext() if is_sqlite else connection.begin_nested() as savepoint:
            self._look_up(connection, list(self._plans.values()))
            rows = self._rows()
            if not rows:
                return True
            place = self._place_on_sqlite if is_sqlite else self._place_as_pending
            try:
                append_id, recorded_at = place(connection, len(rows)), utc_now()
                connection.execute(
                    insert(self._tables.events),
                    [
                        {**row, "append_id": append_id, "place": n, "recorded_at": recorded_at}
                        for n, row in enumerate(rows)
                    ],
                )
                if index := tag_rows(self._tagged()):
                    tagged = [{**row, "append_id": append_id} for row in index]
                    connection.execute(insert(self._tables.tags), tagged)
            except IntegrityError as error:
                if savepoint is None or not is_unique_violation(error):
                    raise self._failed(error) from error
                savepoint.rollback()
                connection.info.pop(FAILED, None)  # undone, and tried again
                return False
            except DBAPIError as error:
                raise self._failed(error) from error
            return True

    def _place_as_pending(self, connection: Connection, size: int) -> int:
        """Have the append wait for its position; return its id."""
        done = connection.execute(insert(self._tables.pending).values(size=size))
        return int(done.lastrowid)

    def _place_on_sqlite(self, connection: Connection, size: int) -> int:
        """Give the append its position at once: a writer commits before the next one begins."""
        feed = self._tables.feed
        last = select(feed.c.position + feed.c.size).order_by(feed.c.position.desc()).limit(1)
        position = connection.execute(last).scalar() or 1
        connection.execute(insert(feed).values(position=position, append_id=position, size=size))
        return position

    # -- what stands already, and who was first --------------------------------------------------

    def _look_up(self, connection: Connection, plans: Sequence[_Plan]) -> None:
        """Find where these plans append.

        Raises:
            ConcurrencyError: a stream is not as its plan expects.
        """
        for plan in plans:
            if plan.stands:
                continue
            actual = self._version(connection, plan.stream)
            if plan.is_exact:
                if actual != plan.base:
                    self._judge(connection, plan, actual)
                continue
            if plan.expected == ExpectedVersion.STREAM_EXISTS and actual == 0:
                raise plan.refused(0)
            plan.base = actual
            known = self._known(connection, plan) if actual else []
            if known:
                plan.stands = known == plan.ids
                if not plan.stands:
                    raise plan.refused(actual)

    def _missed(self, connection: Connection) -> None:
        """See why the append wrote nothing; return when it is worth another try.

        Raises:
            ConcurrencyError: a stream is not as its plan expects.
        """
        for plan in self._plans.values():
            if plan.is_exact and not plan.stands:
                actual = self._version(connection, plan.stream)
                if actual != plan.base:
                    self._judge(connection, plan, actual)

    def _version(self, connection: Connection, stream: StreamId) -> int:
        """Return the version that the stream has now."""
        query = version_query(self._tables)
        return query.scalar(connection, stream_parameters(stream)) or 0

    def _judge(self, connection: Connection, plan: _Plan, actual: int) -> None:
        """Accept the very same events; refuse anything else."""
        events = self._tables.events
        behind = (
            select(events.c.event_id)
            .where(of_stream(events, plan.stream), events.c.version > plan.base)
            .order_by(events.c.version)
            .limit(len(plan.events))
        )
        plan.stands = list(connection.execute(behind).scalars()) == plan.ids
        if not plan.stands:
            raise plan.refused(actual)

    def _known(self, connection: Connection, plan: _Plan) -> list[str]:
        """Return which events of a plan are in its stream, in the order of the stream."""
        events = self._tables.events
        found = (
            select(events.c.event_id)
            .where(of_stream(events, plan.stream), events.c.event_id.in_(plan.ids))
            .order_by(events.c.version)
        )
        return list(connection.execute(found).scalars())

    def _failed(self, error: DBAPIError) -> Exception:
        return translated(error, ", ".join(f"Stream {stream}" for stream in self._plans))

    def _lost(self) -> ConcurrencyError:
        plan = next(iter(self._plans.values()))
        return ConcurrencyError(f"Stream {plan.stream}", expected=plan.expected, actual=None)


def _row(stream: StreamId, event: StoredEvent, version: int) -> dict[str, Any]:
    return {
        "tenant_id": stream.tenant_id,
        "aggregate_id": stream.aggregate_id,
        "aggregate_type": stream.aggregate_type,
        "version": version,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "schema_version": event.schema_version,
        "payload": event.payload,
        "occurred_at": as_utc(event.occurred_at),
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "metadata": event.metadata or None,
        "tags": list(event.tags) or None,
    }


def has_tags(append: StreamAppend) -> bool:
    """Whether one of the events has tags."""
    return any(event.tags for event in append.events)
