"""Statements that are built once and run often."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.selectable import SelectBase
from sqlalchemy.util import await_only

Values = Mapping[str, Any]
Row = Sequence[Any]
_EVENTS = ("before_execute", "after_execute", "before_cursor_execute", "after_cursor_execute")


class Prepared:
    """A SELECT, maybe around parts that write, with its values left open.

    Where a statement commits by itself on asyncpg, it goes to the driver at once: SQLAlchemy's
    execution costs more than the driver's. Everywhere else, and where somebody listens to what is
    executed or has it logged, SQLAlchemy runs it. Values and errors are the same.

    Args:
        statement: its parameters are named, and none of them is a list but for arrays.
    """

    def __init__(self, statement: SelectBase) -> None:
        self.statement: Any = statement
        self._on_asyncpg: WeakKeyDictionary[Dialect, _OnAsyncpg] = WeakKeyDictionary()

    def rows(self, connection: Connection, values: Values | None = None) -> Sequence[Row]:
        """Run it inside a greenlet; return all rows, values in the order of the columns.

        Raises:
            DBAPIError: it failed; as SQLAlchemy has it.
        """
        if not _may_pass_by(connection):
            return connection.execute(self.statement, values).all()
        known = self._on_asyncpg.get(connection.dialect)
        if known is None:
            known = _OnAsyncpg(self.statement, connection.dialect)
            self._on_asyncpg[connection.dialect] = known
        return known.rows(connection, values or {})

    def scalar(self, connection: Connection, values: Values | None = None) -> Any:
        """Run it inside a greenlet; return the first value of the first row, else None."""
        rows = self.rows(connection, values)
        return rows[0][0] if rows else None


def _may_pass_by(connection: Connection) -> bool:
    """Whether a statement may go past SQLAlchemy's execution without anybody missing it."""
    engine, options = connection.engine, connection.get_execution_options()
    return (
        options.get("isolation_level") == "AUTOCOMMIT"
        and engine.dialect.driver == "asyncpg"
        and "schema_translate_map" not in options
        and not engine.logger.isEnabledFor(logging.INFO)
        and not any(getattr(engine.dispatch, name) for name in _EVENTS)
        and not engine.dialect.dispatch.do_execute
    )


class _OnAsyncpg:
    """A statement in asyncpg's words."""

    def __init__(self, statement: SelectBase, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql: str = compiled.string
        self._dialect = dialect
        self._kinds = [column.type.dialect_impl(dialect) for column in statement.selected_columns]
        self._parameters: list[tuple[str, Any, Callable[[Any], Any] | None]] = [
            (
                name,
                compiled.params[name],
                compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect),
            )
            for name in compiled.positiontup
        ]
        self._processors: list[tuple[int, Callable[[Any], Any]]] | None = None

    def rows(self, connection: Connection, values: Values) -> Sequence[Row]:
        if not connection.in_transaction():
            connection.begin()  # sends nothing; by it, the loss of the connection is remembered
        wrapped: Any = connection.connection
        arguments: list[Any] | None = None
        try:
            arguments = self._arguments(values)
            return await_only(self._fetched(wrapped.driver_connection, arguments))
        except BaseException as error:  # noqa: BLE001 - raised again, as SQLAlchemy does it
            meant = _translated(error, wrapped.dbapi_connection)
            handle: Any = connection._handle_dbapi_exception  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
            return handle(meant, self._sql, arguments, None, None)

    def _arguments(self, values: Values) -> list[Any]:
        return [
            values.get(name, default) if process is None else process(values.get(name, default))
            for name, default, process in self._parameters
        ]

    async def _fetched(self, driver: Any, arguments: list[Any]) -> Sequence[Row]:
        processors = self._processors
        if processors is None:
            processors = self._processors = await self._result_processors(driver)
        rows: Sequence[Row] = await driver.fetch(self._sql, *arguments)
        return [_processed(row, processors) for row in rows] if processors else rows

    async def _result_processors(self, driver: Any) -> list[tuple[int, Callable[[Any], Any]]]:
        """Return what values of some columns go through; it may depend on the server's types."""
        attributes = (await driver.prepare(self._sql)).get_attributes()
        found = (
            kind.result_processor(self._dialect, attribute.type.oid)
            for kind, attribute in zip(self._kinds, attributes, strict=True)
        )
        return [(place, process) for place, process in enumerate(found) if process is not None]


def _processed(row: Row, processors: Sequence[tuple[int, Callable[[Any], Any]]]) -> Row:
    values = list(row)
    for place, process in processors:
        values[place] = process(values[place])
    return values


def _translated(error: BaseException, adapter: Any) -> BaseException:
    """Return asyncpg's error as an error of the DB-API, as SQLAlchemy's adapter of asyncpg does."""
    if isinstance(error, Exception):
        try:
            adapter._handle_exception(error)  # noqa: SLF001
        except Exception as translated:  # noqa: BLE001 - this is how it answers
            return translated
    return error
