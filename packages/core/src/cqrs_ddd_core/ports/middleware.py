"""The ports of what stands between a sender and a handler."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork

NextHandler = Callable[[Any], Awaitable[Any]]


@runtime_checkable
class IMiddleware(Protocol):
    """Stands around the handling of commands, queries and streams.

    A class attribute ``surrounds_unit_of_work = True`` puts it outside the transaction: it sees
    the commit's failure too, and may call ``next_handler`` again for a fresh unit of work.

    One that cannot stand around every stream has a method ``check_stream(message)``, which raises
    for those it cannot; it is called before the stream begins.
    """

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        """Handle ``message`` by way of ``next_handler`` and return its response."""
        ...


@runtime_checkable
class IEventSink(Protocol):
    """Stores the events of a unit of work in its transaction: an outbox, an event store.

    A class attribute ``delivers = False`` says that nothing is delivered from it, so that it does
    not count as the outbox that DURABLE event handlers need.
    """

    async def save_events(self, events: Sequence[Any], uow: IUnitOfWork) -> None:
        """Store ``events``, enriched with their ids, each once, in the order they were raised."""
        ...
