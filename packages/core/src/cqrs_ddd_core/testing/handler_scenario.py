"""given/when/then for handlers, on a real mediator and a database in memory."""

from collections.abc import Callable, Sequence
from typing import Any, Self, cast

from cqrs_ddd_core.adapters.memory.database import InMemoryDatabase, Row, stored_copy
from cqrs_ddd_core.adapters.memory.unit_of_work import InMemoryUnitOfWork
from cqrs_ddd_core.cqrs.errors import EventHandlerFailure
from cqrs_ddd_core.cqrs.event_dispatcher import EventDispatcher
from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.cqrs.registry import HandlerRegistry
from cqrs_ddd_core.middleware.registry import MiddlewareRegistry
from cqrs_ddd_core.ports.handler_factory import IHandlerFactory
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.testing.comparison import Difference, require_values
from cqrs_ddd_core.testing.outcome import Outcome, attributes_of


class HandlerOutcome(Outcome):
    """What a message led to.

    Attributes:
        events: what was committed: the handler's own events and those of in-transaction event
            handlers. Nothing, where the message failed.
        response: what the mediator returned; None where the message failed.
        failures: the AFTER_COMMIT handlers that failed; the message has succeeded all the same.
    """

    def __init__(
        self,
        events: Sequence[Any],
        error: Exception | None,
        response: Any,
        database: InMemoryDatabase,
        failures: Sequence[EventHandlerFailure] = (),
    ) -> None:
        super().__init__(events, error)
        self.response, self.failures, self._database = response, list(failures), database

    def then_result(self, expected: Any) -> Self:
        """Expect this result, and no error.

        Raises:
            AssertionError: shows the expected and the actual result side by side.
        """
        if self.error is not None:
            raise Difference(f"The message failed with {self.error!r}.") from self.error
        require_values("The result", {"result": expected}, {"result": self.response.result})
        return self

    def then_stored(self, aggregate_type: type, aggregate_id: Any, **expected: Any) -> Self:
        """Expect an aggregate in the database, with these attributes.

        Raises:
            AssertionError: it is not there, or shows expected and actual values side by side.
        """
        rows = self._database.table(aggregate_type).rows
        row = rows.get(aggregate_id)
        name = f"{aggregate_type.__name__} {aggregate_id!r}"
        if row is None:
            there = ", ".join(map(repr, rows)) or "none"
            raise Difference(f"{name} is not stored; of its type there is {there}.")
        require_values(f"The stored {name}", expected, attributes_of(row.aggregate, expected))
        return self

    def then_not_stored(self, aggregate_type: type, aggregate_id: Any) -> Self:
        """Expect that no such aggregate is in the database.

        Raises:
            AssertionError: it is there.
        """
        row = self._database.table(aggregate_type).rows.get(aggregate_id)
        if row is not None:
            raise Difference(
                f"{aggregate_type.__name__} {aggregate_id!r} is stored: {row.aggregate!r}."
            )
        return self


class HandlerScenario:
    """Sends a message to your handlers and looks at what came of it.

    Args:
        registry: your handlers, registered as the application does it.
        uow_type: your unit of work in memory; called with a database.
        middleware_registry: what stands around the handlers, if it matters.
        handler_factory: makes handlers that are registered as classes.

    Attributes:
        database: what is stored; shared by all messages of this scenario.
        mediator: what the messages are sent through.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_core import AggregateRoot, Command, DomainEvent, get_current_uow
        >>> from cqrs_ddd_core import HandlerRegistry, InMemoryUnitOfWork, repository
        >>> class OrderCancelled(DomainEvent):
        ...     reason: str
        >>> class Order(AggregateRoot[str]):
        ...     status: str = "open"
        ...     def cancel(self, reason: str) -> None:
        ...         self.status = "cancelled"
        ...         self.add_event(OrderCancelled(reason=reason))
        >>> class CancelOrder(Command[None]):
        ...     order_id: str
        ...     reason: str
        >>> class ShopUnitOfWork(InMemoryUnitOfWork):
        ...     orders = repository(Order)
        >>> async def cancel_order(command: CancelOrder) -> None:
        ...     order = await get_current_uow().orders.require(command.order_id)
        ...     order.cancel(command.reason)
        >>> registry = HandlerRegistry()
        >>> registry.register_command_handler(CancelOrder, cancel_order)

        >>> async def test_an_order_is_cancelled() -> None:
        ...     scenario = HandlerScenario(registry, ShopUnitOfWork).given(Order(id="o-1"))
        ...     outcome = await scenario.when(CancelOrder(order_id="o-1", reason="late"))
        ...     outcome.then(OrderCancelled(aggregate_id="o-1", reason="late"))
        ...     outcome.then_stored(Order, "o-1", status="cancelled")
        >>> asyncio.run(test_an_order_is_cancelled())
    """

    def __init__(
        self,
        registry: HandlerRegistry,
        uow_type: Callable[[InMemoryDatabase], InMemoryUnitOfWork] = InMemoryUnitOfWork,
        *,
        middleware_registry: MiddlewareRegistry | None = None,
        handler_factory: IHandlerFactory | None = None,
    ) -> None:
        self.database = InMemoryDatabase()
        self._committed = _EventRecorder()
        self._failures: list[EventHandlerFailure] = []
        middlewares = (middleware_registry or MiddlewareRegistry()).get_ordered_middlewares()
        self.mediator = Mediator(
            registry,
            lambda: uow_type(self.database),
            middleware_registry=MiddlewareRegistry([*middlewares, self._committed]),
            event_dispatcher=EventDispatcher(on_failure=self._failures.append),
            handler_factory=handler_factory,
        )

    def given(self, *aggregates: Any) -> Self:
        """Store copies of ``aggregates`` before the message is sent; their events do not count."""
        for aggregate in aggregates:
            row = Row(stored_copy(aggregate), max(1, aggregate.version))
            table = self.database.table(cast("type[Any]", type(aggregate)))
            table.rows[aggregate.id] = row
        return self

    async def when(self, message: Any) -> HandlerOutcome:
        """Send a command or a query and return what came of it."""
        self._committed.events.clear()
        self._failures.clear()
        try:
            response = cast("Any", await self.mediator.send(message))
        except Exception as error:  # noqa: BLE001 - then_raises looks at it
            return HandlerOutcome([], error, None, self.database)
        events = self._committed.events
        return HandlerOutcome(events, None, response, self.database, self._failures)


class _EventRecorder:
    """An event sink that remembers what was committed."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def save_events(self, events: Sequence[Any], uow: IUnitOfWork) -> None:
        """Remember ``events`` once they are committed."""

        async def remember() -> None:
            self.events += events

        uow.on_commit(remember)
