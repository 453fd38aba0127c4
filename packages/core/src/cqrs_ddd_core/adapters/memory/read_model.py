"""Read models in memory."""

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork

Rows = dict[Any, dict[str, Any]]


class InMemoryReadModel:
    """Collections of documents, in versions; joins an ``InMemoryUnitOfWork`` (see ``IReadModel``).

    Args:
        documents: the collections whose ``put`` replaces a whole document; in the others it sets
            the columns of a row.

    Attributes:
        live: the number of the version that is read.
    """

    def __init__(self, documents: Collection[str] = ()) -> None:
        self._versions: dict[int, dict[str, Rows]] = {}
        self._documents = frozenset(documents)
        self.live = 0

    @property
    def versions(self) -> list[int]:
        """The numbers of the versions that there are."""
        return sorted(self._versions)

    def read(self, collection: str) -> Rows:
        """Return what a collection of the live version has, by key; a copy."""
        return deepcopy(self._versions.get(self.live, {}).get(collection, {}))

    async def create(self, version: int, *, live: bool) -> None:
        """Make the version where it is missing."""
        self._versions.setdefault(version, {})
        if live and not self.live:
            self.live = version

    def writer(self, version: int, uow: IUnitOfWork) -> "InMemoryReadModelWriter":
        """Return a writer to a version."""
        return InMemoryReadModelWriter(self._versions[version], uow, self._documents)

    async def switch(self, version: int, uow: IUnitOfWork) -> None:
        """Have ``version`` read from now on."""
        run_or_stage(
            joined_transaction(uow, to_write=True),
            lambda: setattr(self, "live", version),
            lambda: None,
        )

    async def drop(self, version: int) -> None:
        """Remove the version."""
        self._versions.pop(version, None)


class InMemoryReadModelWriter:
    """Writes that others see at the commit (see ``IReadModelWriter``)."""

    def __init__(
        self, collections: dict[str, Rows], uow: IUnitOfWork, documents: frozenset[str]
    ) -> None:
        self._collections, self._documents = collections, documents
        self._written: dict[tuple[str, Any], dict[str, Any] | None] = {}
        self._flushed: dict[tuple[str, Any], dict[str, Any] | None] = {}
        self._transaction = joined_transaction(uow, to_write=True)

    async def get(self, collection: str, key: Any) -> Mapping[str, Any] | None:
        """Return the row or document of ``key``, a copy."""
        for own in (self._written, self._flushed):
            if (collection, key) in own:
                return deepcopy(own[collection, key])
        return deepcopy(self._collections.get(collection, {}).get(key))

    async def put(self, collection: str, key: Any, values: Mapping[str, Any]) -> None:
        """Make a row, or set these fields of it."""
        row = {} if collection in self._documents else await self.get(collection, key) or {}
        self._written[collection, key] = {**row, **deepcopy(dict(values))}

    async def add(self, collection: str, key: Any, amounts: Mapping[str, Any]) -> None:
        """Add to numbers of a row, which begin at 0."""
        row = dict(await self.get(collection, key) or {})
        for name, amount in amounts.items():
            row[name] = (row.get(name) or 0) + amount
        self._written[collection, key] = row

    async def delete(self, collection: str, key: Any) -> None:
        """Remove a row."""
        self._written[collection, key] = None

    async def flush(self) -> None:
        """Write what waits."""
        written, self._written = self._written, {}
        self._flushed.update(written)

        def apply() -> None:
            for (collection, key), row in written.items():
                rows = self._collections.setdefault(collection, {})
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row

        run_or_stage(self._transaction, apply, lambda: None)
