"""A repository that needs no unit of work around it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core import Repository, StandaloneRepository
from cqrs_ddd_persistence_sqlalchemy.joining import joined
from cqrs_ddd_persistence_sqlalchemy.mapping import mapping_of

T = TypeVar("T")
ID = TypeVar("ID")


class SQLAlchemyRepository(StandaloneRepository[T, ID]):
    """Aggregates of one type in a table, with or without a unit of work.

    Args:
        aggregate_type: the class of the aggregates.
        session_factory: the one that units of work on this database are made with.
        **options: ``table`` or ``mapping``, as for ``repository(...)``.
    """

    def __init__(
        self,
        aggregate_type: type[T],
        session_factory: async_sessionmaker[AsyncSession],
        **options: Any,
    ) -> None:
        self._aggregate_type, self._session_factory = aggregate_type, session_factory
        self._mapping = mapping_of(aggregate_type, options)

    @property
    def table(self) -> Any:
        """The table, for ``create_schema``."""
        return self._mapping.table

    @asynccontextmanager
    async def joined(self) -> AsyncGenerator[Repository[T, ID]]:
        """Return the repository of the current unit of work, or of one that commits at the end."""
        async with joined(self._session_factory) as uow:
            yield uow.repository_for(self._aggregate_type, key=self._mapping, mapping=self._mapping)
