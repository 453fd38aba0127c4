"""How a storage takes part in the unit of work that is given or current."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core.cqrs.scope import unit_of_work_to_join
from cqrs_ddd_core.primitives.errors import PersistenceError
from cqrs_ddd_persistence_sqlalchemy.unit_of_work import SQLAlchemyUnitOfWork, engine_of


@asynccontextmanager
async def joined(
    session_factory: async_sessionmaker[AsyncSession], uow: Any = None, *, read_only: bool = False
) -> AsyncGenerator[SQLAlchemyUnitOfWork]:
    """Yield ``uow``, else the current unit of work, else one that commits at the end.

    Args:
        session_factory: what the units of work are made with.
        uow: the one to join.
        read_only: one of its own is for reading alone; on SQLite it then waits for no writer.

    Raises:
        UnitOfWorkClosedError: the current one has ended.
        ForeignTaskError: another task opened the current one.
        PersistenceError: that unit of work is on another database, so what is written here would
            not be committed together with it.
    """
    if uow is None:
        uow = unit_of_work_to_join()
    if uow is None:
        own = SQLAlchemyUnitOfWork(session_factory)
        own.read_only = read_only
        try:
            yield own
            if not read_only:
                await own.commit()
        finally:
            await own.close()
        return
    if not isinstance(uow, SQLAlchemyUnitOfWork) or uow.engine is not engine_of(session_factory):
        raise PersistenceError(
            f"The unit of work is a {type(uow).__name__} on another database or engine, so the two "
            "cannot commit together. Make both with the same session factory."
        )
    yield uow
