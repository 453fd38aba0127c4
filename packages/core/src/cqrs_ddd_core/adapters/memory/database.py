"""A database in memory: tables, transactions, optimistic versions."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.primitives.instants import give_zones


class Row(NamedTuple):
    """One aggregate as stored: a copy nobody else holds, and its version."""

    aggregate: Any
    version: int


class InMemoryTable:
    """The committed aggregates of one type."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[Any, Row] = {}


class InMemoryDatabase:
    """What units of work in memory share: give the same one to all that belong together.

    Example:
        >>> from cqrs_ddd_core import AggregateRoot, InMemoryUnitOfWork, repository
        >>> class Order(AggregateRoot[str]):
        ...     total: int
        >>> class ShopUnitOfWork(InMemoryUnitOfWork):
        ...     orders = repository(Order)
        >>> database = InMemoryDatabase()
        >>> uow_factory = lambda: ShopUnitOfWork(database)
    """

    def __init__(self) -> None:
        self._tables: dict[type, InMemoryTable] = {}

    def table(self, aggregate_type: type) -> InMemoryTable:
        """Return the table for aggregates of this type."""
        found = self._tables.get(aggregate_type)
        if found is None:
            found = self._tables[aggregate_type] = InMemoryTable(aggregate_type.__name__)
        return found

    def clear(self) -> None:
        """Forget all aggregates."""
        for table in self._tables.values():
            table.rows.clear()


class InMemoryTransaction:
    """Writes that nobody else sees until ``commit`` applies them all, without a pause between.

    What it read is what it wrote itself, else what is committed now. A version that somebody else
    has changed in the meantime refuses the whole commit.
    """

    def __init__(self) -> None:
        self._written: dict[tuple[InMemoryTable, Any], tuple[int, Row | None]] = {}
        self._staged: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self.pending: dict[Any, tuple[Any, ...]] = {}
        """What stores other than tables have staged, so that they can read it back."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written since the last commit."""
        return not (self._written or self._staged or self.pending)

    def rows(self, table: InMemoryTable) -> dict[Any, Row]:
        """Return the rows of ``table`` as this transaction sees them."""
        rows = dict(table.rows)
        for (written_table, entity_id), (_, row) in self._written.items():
            if written_table is table:
                rows.pop(entity_id, None)
                if row is not None:
                    rows[entity_id] = row
        return rows

    def row(self, table: InMemoryTable, entity_id: Any) -> Row | None:
        """Return one row as this transaction sees it."""
        written = self._written.get((table, entity_id))
        return table.rows.get(entity_id) if written is None else written[1]

    def write(self, table: InMemoryTable, entity_id: Any, expected: int, row: Row | None) -> None:
        """Replace the row at version ``expected`` (0: there is none) by ``row`` (None: delete).

        Raises:
            ConcurrencyError: this transaction sees another version.
        """
        _check(table, entity_id, expected, self.row(table, entity_id))
        base = self._written.get((table, entity_id), (expected, None))[0]
        self._written[table, entity_id] = (base, row)

    def stage(self, apply: Callable[[], None], check: Callable[[], None] = lambda: None) -> None:
        """Have ``apply`` called at commit, once every ``check`` has passed."""
        self._staged.append((check, apply))

    def commit(self) -> None:
        """Apply everything, or nothing.

        Raises:
            ConcurrencyError: somebody else committed another version of a row first.
        """
        for (table, entity_id), (base, _) in self._written.items():
            _check(table, entity_id, base, table.rows.get(entity_id))
        for check, _ in self._staged:
            check()
        for (table, entity_id), (_, row) in self._written.items():
            if row is None:
                table.rows.pop(entity_id, None)
            else:
                table.rows[entity_id] = row
        for _, apply in self._staged:
            apply()
        self.rollback()

    def rollback(self) -> None:
        """Forget everything written."""
        self._written.clear()
        self._staged.clear()
        self.pending.clear()

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Forget, when the block raises, what was written inside it."""
        written, staged, pending = dict(self._written), list(self._staged), dict(self.pending)
        try:
            yield
        except BaseException:
            self._written, self._staged, self.pending = written, staged, pending
            raise


def _check(table: InMemoryTable, entity_id: Any, expected: int, row: Row | None) -> None:
    actual = 0 if row is None else row.version
    if actual != expected:
        target = f"{table.name} {entity_id!r}"
        raise ConcurrencyError(target, expected=expected, actual=actual or None)


def stored_copy(aggregate: Any) -> Any:
    """Return a copy as a database would keep it: with a zone for every instant."""
    copied = copy_of(aggregate)
    give_zones(copied)
    return copied


def copy_of(aggregate: Any) -> Any:
    """Return a copy that shares nothing with ``aggregate`` and has no pending events."""
    copied = deepcopy(aggregate)
    copied.clear_events()
    return copied
