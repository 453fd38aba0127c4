"""Writes that wait for the end of the transaction and then go to the server together."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    CTE,
    Connection,
    Delete,
    Insert,
    ScalarSelect,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from cqrs_ddd_persistence_sqlalchemy.counting import counted_part
from cqrs_ddd_persistence_sqlalchemy.errors import sqlstate_of
from cqrs_ddd_persistence_sqlalchemy.many_rows import ManyRows
from cqrs_ddd_persistence_sqlalchemy.prepared import Prepared

_DIVISION_BY_ZERO = "22012"
_ATTEMPTS = 64  # each one is lost to somebody who has committed
Row = Mapping[str, Any]


class Template(NamedTuple):
    """An INSERT, UPDATE or DELETE of one row, its values left open.

    Attributes:
        table: where.
        kind: "insert", "update" or "delete".
        columns: the columns to be set.
        key: the columns that say which row; their values are given as ``key_<column>``.
    """

    table: Table
    kind: str
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()

    def statement(self, prefix: str = "") -> Insert | Update | Delete:
        """Return the statement; ``prefix`` begins the names of its parameters."""
        columns = self.table.c
        values = {
            name: bindparam(f"{prefix}{name}", type_=columns[name].type) for name in self.columns
        }
        if self.kind == "insert":
            return insert(self.table).values(values)
        found = update(self.table).values(values) if self.kind == "update" else delete(self.table)
        for name in self.key:
            parameter = bindparam(f"{prefix}key_{name}", type_=columns[name].type)
            found = found.where(columns[name] == parameter)
        return found

    def counted(self, name: str) -> tuple[list[CTE], ScalarSelect[int]]:
        """Return the statement as a part of another, and how many rows it wrote."""
        return counted_part(self.statement(f"{name}_"), name)


class ITemplate(Protocol):
    """A statement to be filled with values; equal ones are compiled once."""

    @property
    def table(self) -> Table:
        """Where it writes."""
        ...

    @property
    def kind(self) -> str:
        """What it does, such as "insert"."""
        ...

    def counted(self, name: str) -> tuple[list[CTE], ScalarSelect[int]]:
        """Return its parts in another statement, and 1 there when it did what it should, else 0."""
        ...


class Write(NamedTuple):
    """Rows to be written by one template.

    Attributes:
        rows: the parameters of each row.
        on_error: returns what the database's error means.
        on_miss: raises, if the row is not as an UPDATE or DELETE expects it; runs on the same
            connection.
        prepare: returns the write with its rows, or None when there is nothing left to write;
            after ``on_miss`` has not raised, all is tried again.
        alone: runs it by itself in a transaction, for what is no single statement everywhere.
    """

    template: ITemplate
    rows: Sequence[Row]
    on_error: Callable[[DBAPIError], Exception]
    on_miss: Callable[[Connection], None] | None = None
    prepare: "Callable[[Connection], Write | None] | None" = None
    alone: Callable[[Connection], None] | None = None


class WriteQueue:
    """The writes of one unit of work that the database has not seen yet.

    On PostgreSQL, what goes to different tables goes in one statement: one round trip for an
    aggregate, its events and its outbox messages, or for all that a batch of messages has done.
    """

    def __init__(self) -> None:
        self._writes: list[Write] = []
        self.gathered: dict[object, Any] = {}
        """What storages add to before it is written; forgotten with the writes."""

    def __bool__(self) -> bool:
        return bool(self._writes)

    def add(self, write: Write) -> None:
        """Put ``write`` behind the others."""
        self._writes.append(write)

    def clear(self) -> None:
        """Forget all of them."""
        self._take()

    def _take(self) -> list[Write]:
        """Return all of them and forget them."""
        writes, self._writes, self.gathered = self._writes, [], {}
        return writes

    @property
    def are_one_statement(self) -> bool:
        """Whether all of them can go in one statement, on PostgreSQL."""
        groups = _groups(self._writes)
        return len(groups) == 1 and _may_be_a_part(groups[0][0])

    def run_at_once(self, connection: Connection) -> None:
        """Send all of them in one statement, which changes nothing if one of them misses its row.

        Raises:
            Exception: what ``on_error`` and ``on_miss`` say.
        """
        writes = self._take()
        for attempts_left in reversed(range(_ATTEMPTS)):
            ready = _prepared(writes, connection)
            if not ready:
                return
            try:
                _run_at_once(connection, ready)
            except DBAPIError as error:
                missed = sqlstate_of(error) == _DIVISION_BY_ZERO
                if missed:
                    for write in ready:
                        if write.on_miss is not None:
                            write.on_miss(connection)
                if not (missed and attempts_left and any(write.prepare for write in ready)):
                    raise _culprit(ready, error).on_error(error) from error
            else:
                return

    def run(self, connection: Connection) -> None:
        """Send all of them, in order.

        Raises:
            Exception: what ``on_error`` and ``on_miss`` say.
        """
        writes = self._take()
        if connection.dialect.name != "postgresql":
            for write in writes:
                _run_alone(connection, write)
            return
        for group in _groups(writes):
            mergeable = [write for write in group if write.alone is None]
            if len(mergeable) > 1:
                _run_together(connection, [_as_a_part(write) for write in mergeable])
            for write in group:
                if write.alone is not None or len(mergeable) == 1:
                    _run_alone(connection, write)


def _prepared(writes: Sequence[Write], connection: Connection) -> list[Write]:
    ready = [write.prepare(connection) if write.prepare else _as_a_part(write) for write in writes]
    return [write for write in ready if write is not None]


def _run_at_once(connection: Connection, writes: Sequence[Write]) -> None:
    guarded = tuple(write.on_miss is not None for write in writes)
    statement = _together(tuple(write.template for write in writes), guarded)
    statement.rows(connection, _parameters(writes))


def _groups(writes: Sequence[Write]) -> list[list[Write]]:
    """Put neighbours together that may go in one statement: no table twice."""
    groups: list[list[Write]] = []
    tables: set[str] = set()
    for write in writes:
        name, is_part = write.template.table.fullname, _may_be_a_part(write)
        if groups and is_part and tables and name not in tables:
            groups[-1].append(write)
        else:
            groups.append([write])
            tables = set()
        if is_part:
            tables.add(name)
    return groups


def _may_be_a_part(write: Write) -> bool:
    template = write.template
    return not _needs_python(template) and (len(write.rows) == 1 or _may_be_many(template))


@lru_cache(maxsize=1024)
def _may_be_many(template: ITemplate) -> bool:
    """Whether any number of its rows can go in one statement."""
    if not isinstance(template, Template) or template.kind != "insert":
        return False
    return ManyRows(template.table, template.columns).are_possible


def _as_a_part(write: Write) -> Write:
    """Return the write with one row; what has many becomes a row of arrays."""
    if len(write.rows) == 1 or not isinstance(write.template, Template):
        return write
    many = ManyRows(write.template.table, write.template.columns)
    return write._replace(template=many, rows=[many.values(write.rows)])


@lru_cache(maxsize=1024)
def _needs_python(template: ITemplate) -> bool:
    """Whether SQLAlchemy has to work out a value of a table of the user's own.

    Its parameter would be named after the column alone, and two parts would be mixed up.
    """
    if not isinstance(template, Template):
        return False
    left_open = [column for column in template.table.c if column.name not in template.columns]
    if template.kind == "insert":
        return any(column.default is not None for column in left_open)
    return template.kind == "update" and any(column.onupdate is not None for column in left_open)


@lru_cache(maxsize=1024)
def _alone(template: Any) -> Insert | Update | Delete:
    """Return the statement for rows by themselves.

    The columns of an INSERT are those of its rows: SQLAlchemy looks parameters that stand in the
    statement up for every row again.
    """
    return insert(template.table) if template.kind == "insert" else template.statement()


def _run_alone(connection: Connection, write: Write) -> None:
    if write.alone is not None:
        write.alone(connection)
        return
    if write.template.kind == "insert":
        rows = write.rows if len(write.rows) > 1 else write.rows[0]
        try:
            connection.execute(_alone(write.template), rows)
        except DBAPIError as error:
            raise write.on_error(error) from error
        return
    for row in write.rows:
        try:
            found = connection.execute(_alone(write.template), row).rowcount
        except DBAPIError as error:
            raise write.on_error(error) from error
        if found != 1 and write.on_miss is not None:
            write.on_miss(connection)


@lru_cache(maxsize=1024)
def _together(templates: tuple[ITemplate, ...], guarded: tuple[bool, ...]) -> Prepared:
    """Return one statement that does what all of them do and counts the rows of each.

    Where a guarded one finds no row, the statement divides by zero, so that nothing is written.
    """
    counts: list[Any] = []
    parts: list[CTE] = []
    for place, (template, is_guarded) in enumerate(zip(templates, guarded, strict=True)):
        own_parts, count = template.counted(f"w{place}")
        counts.append(literal_column("1").op("/")(count) if is_guarded else count)
        parts += own_parts
    return Prepared(select(*counts).add_cte(*parts))


def _parameters(writes: Sequence[Write]) -> dict[str, Any]:
    return {
        f"w{place}_{name}": value
        for place, write in enumerate(writes)
        for name, value in write.rows[0].items()
    }


def _run_together(connection: Connection, writes: Sequence[Write]) -> None:
    statement = _together(tuple(write.template for write in writes), (False,) * len(writes))
    try:
        counts = statement.rows(connection, _parameters(writes))[0]
    except DBAPIError as error:
        raise _culprit(writes, error).on_error(error) from error
    for write, found in zip(writes, counts, strict=True):
        if found != 1 and write.on_miss is not None:
            write.on_miss(connection)


def _culprit(writes: Sequence[Write], error: DBAPIError) -> Write:
    """Return the write that the error is about, by the table that the server names."""
    cause: Any = getattr(error.orig, "__cause__", None)
    diagnosis: Any = getattr(error.orig, "diag", cause)
    name: str | None = getattr(diagnosis, "table_name", None)
    return next((write for write in writes if write.template.table.name == name), writes[0])
