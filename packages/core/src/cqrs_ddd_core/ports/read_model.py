"""The port of what projections write: rows or documents, in versions side by side."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork


@runtime_checkable
class IReadModelWriter(Protocol):
    """Writes to one version of a read model, in one transaction.

    Writes wait for ``flush`` and go to the store together; what is read sees them. A collection is
    a table, or a set of documents; ``key`` names one of its rows.
    """

    async def get(self, collection: str, key: Any) -> Mapping[str, Any] | None:
        """Return the row or document of ``key``; None when there is none."""
        ...

    async def put(self, collection: str, key: Any, values: Mapping[str, Any]) -> None:
        """Make a row, or set these columns of it; replace a document by this one."""
        ...

    async def add(self, collection: str, key: Any, amounts: Mapping[str, Any]) -> None:
        """Add to numbers of a row, which begin at 0."""
        ...

    async def delete(self, collection: str, key: Any) -> None:
        """Remove a row; one that is not there is no harm."""
        ...

    async def flush(self) -> None:
        """Write what waits."""
        ...


@runtime_checkable
class IReadModel(Protocol):
    """A read model whose versions exist side by side, one of which is read."""

    async def create(self, version: int, *, live: bool) -> None:
        """Make the version's collections where they are missing; read it if it is ``live``."""
        ...

    def writer(self, version: int, uow: IUnitOfWork) -> IReadModelWriter:
        """Return a writer to a version, in the transaction of ``uow``."""
        ...

    async def switch(self, version: int, uow: IUnitOfWork) -> None:
        """Have ``version`` read from now on, at once for all collections; twice is no harm.

        It comes first in its transaction, for some databases commit when a table changes.
        """
        ...

    async def drop(self, version: int) -> None:
        """Remove the version's collections; twice is no harm."""
        ...
