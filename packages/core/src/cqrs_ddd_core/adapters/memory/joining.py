"""How a store in memory takes part in the unit of work that is given or current."""

from collections.abc import Callable
from typing import Any

from cqrs_ddd_core.adapters.memory.database import InMemoryTransaction
from cqrs_ddd_core.adapters.memory.unit_of_work import InMemoryUnitOfWork
from cqrs_ddd_core.cqrs.scope import unit_of_work_to_join
from cqrs_ddd_core.primitives.errors import PersistenceError


def joined_transaction(uow: Any, *, to_write: bool = False) -> InMemoryTransaction | None:
    """Return the transaction of ``uow``, else of the current unit of work; None without one.

    Raises:
        UnitOfWorkClosedError: it has ended.
        ForeignTaskError: another task opened it.
        ReadOnlyUnitOfWorkError: it was opened for a query, and ``to_write`` is set.
        PersistenceError: it is on another store, so the two could not commit together.
    """
    joined = joined_unit_of_work(uow)
    if joined is None:
        return None
    if to_write:
        joined.ensure_writable()
    else:
        joined.ensure_usable()
    return joined.transaction


def joined_unit_of_work(uow: Any = None) -> InMemoryUnitOfWork | None:
    """Return ``uow``, else the current unit of work; None without one.

    Raises:
        UnitOfWorkClosedError: the current one has ended.
        ForeignTaskError: another task opened the current one.
        PersistenceError: it is on another store, so the two could not commit together.
    """
    if uow is None:
        uow = unit_of_work_to_join()
    if uow is None or isinstance(uow, InMemoryUnitOfWork):
        return uow
    raise PersistenceError(
        f"The unit of work is a {type(uow).__name__}, so what is written in memory cannot commit "
        "together with it. Use the storage of the same store, or an InMemoryUnitOfWork."
    )


def run_or_stage(
    transaction: InMemoryTransaction | None,
    apply: Callable[[], None],
    check: Callable[[], None],
) -> None:
    """Apply a change at the commit of ``transaction``; at once without one."""
    if transaction is not None:
        transaction.stage(apply, check)
        return
    check()
    apply()
