"""How a store in memory takes part in the unit of work that is given or current."""

from collections.abc import Callable
from typing import Any

from cqrs_ddd_core.adapters.memory.database import InMemoryTransaction
from cqrs_ddd_core.adapters.memory.unit_of_work import InMemoryUnitOfWork
from cqrs_ddd_core.cqrs.scope import current_scope


def joined_transaction(uow: Any, *, to_write: bool = False) -> InMemoryTransaction | None:
    """Return the transaction of ``uow``, else of the current unit of work; None without one.

    Raises:
        UnitOfWorkClosedError: it has ended.
        ForeignTaskError: another task opened it.
        ReadOnlyUnitOfWorkError: it was opened for a query, and ``to_write`` is set.
    """
    if uow is None:
        scope = current_scope()
        uow = scope.uow if scope is not None else None
    if not isinstance(uow, InMemoryUnitOfWork):
        return None
    if to_write:
        uow.ensure_writable()
    else:
        uow.ensure_usable()
    return uow.transaction


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
