"""The ports for code that only sends: sagas, schedulers, web handlers."""

from typing import Any, Protocol, runtime_checkable

from cqrs_ddd_core.cqrs.response import CommandResponse, QueryResponse


@runtime_checkable
class ICommandBus(Protocol):
    """Takes commands to their handlers."""

    async def send(self, message: Any, /) -> CommandResponse[Any]:
        """Carry out a command and return its response."""
        ...


@runtime_checkable
class IQueryBus(Protocol):
    """Takes queries to their handlers."""

    async def query(self, query: Any, /) -> QueryResponse[Any]:
        """Answer a query."""
        ...
