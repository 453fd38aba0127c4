"""Puts the application together, on whatever stores it is given."""

from collections.abc import Callable
from typing import NamedTuple

from cqrs_ddd_core import (
    EventPhase,
    EventStorePersistenceMiddleware,
    HandlerRegistry,
    IEventStore,
    IInboxStorage,
    IProjectionStorage,
    IReadModel,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    RetryMiddleware,
    RetryPolicy,
)
from cqrs_ddd_core.cqrs.outbox import (
    BufferedOutbox,
    DurableHandlerPublisher,
    RelayableOutbox,
    RelaySettings,
)
from cqrs_ddd_core.runtime import Worker
from cqrs_ddd_projections import Projection, ProjectionSettings
from order_fulfilment.application.command_handlers import (
    ImportRowsHandler,
    match_cancellations,
    record_cancellation,
    record_order,
)
from order_fulfilment.application.commands import (
    ImportRows,
    MatchCancellations,
    RecordCancellation,
    RecordOrder,
)
from order_fulfilment.application.event_handlers import (
    Notifications,
    close_cancellation,
    pay_back,
)
from order_fulfilment.application.queries import GetImport, GetSalesReport, ListRejects
from order_fulfilment.application.query_handlers import (
    SalesReportHandler,
    get_import,
    list_rejects,
)
from order_fulfilment.application.repositories import ShopRepositories
from order_fulfilment.application.sales import ReadSales, SalesProjection
from order_fulfilment.domain import CancellationMatched, CancellationRecorded, OrderPlaced

_LEASE = 2.0  # seconds; a run that was killed holds up the next no longer
_PATIENCE = 60.0


class Stores(NamedTuple):
    """Where the shop keeps everything: parts of one database, which commit together."""

    uow_factory: Callable[[], ShopRepositories]
    outbox: RelayableOutbox
    inbox: IInboxStorage
    event_store: IEventStore
    checkpoints: IProjectionStorage
    read_model: IReadModel
    read_sales: ReadSales


class Application(NamedTuple):
    """The shop, ready for messages."""

    stores: Stores
    mediator: Mediator
    outbox: BufferedOutbox
    sales: Projection
    notifications: Notifications

    def worker(self) -> Worker:
        """Return what works in the background: the relay of the outbox, and the projection."""
        return Worker([self.outbox, self.sales.worker()])

    async def settled(self) -> None:
        """Wait until everything that has happened so far has had its effects; a worker must run.

        Raises:
            ProjectionBehindError: the figures do not come up to date.
        """
        await self.outbox.drained()
        await self.sales.wait_for(await self.stores.event_store.latest_position(), _PATIENCE)


def build_application(stores: Stores) -> Application:
    """Return the shop on these stores."""
    registry, notifications = HandlerRegistry(), Notifications()
    registry.register_command_handler(RecordOrder, record_order)
    registry.register_command_handler(RecordCancellation, record_cancellation)
    registry.register_command_handler(MatchCancellations, match_cancellations)
    registry.register_query_handler(GetImport, get_import)
    registry.register_query_handler(ListRejects, list_rejects)
    registry.register_query_handler(GetSalesReport, SalesReportHandler(stores.read_sales))
    registry.register_event_handler(
        CancellationMatched, close_cancellation, phase=EventPhase.IN_TRANSACTION
    )
    registry.register_event_handler(OrderPlaced, notifications, phase=EventPhase.AFTER_COMMIT)
    registry.register_event_handler(
        CancellationRecorded, pay_back, phase=EventPhase.DURABLE, name="pay-back"
    )
    outbox = BufferedOutbox(
        storage=stores.outbox,
        broker=DurableHandlerPublisher(lambda: mediator, stores.inbox),
        settings=RelaySettings(lease=_LEASE),
    )
    middlewares = MiddlewareRegistry(
        [
            RetryMiddleware(RetryPolicy(max_attempts=20)),
            EventStorePersistenceMiddleware(stores.event_store),
            OutboxMiddleware(outbox, selects=lambda event: isinstance(event, CancellationRecorded)),
        ]
    )
    mediator = Mediator(registry, stores.uow_factory, middleware_registry=middlewares)
    registry.register_command_handler(ImportRows, ImportRowsHandler(mediator))
    return Application(stores, mediator, outbox, _sales(stores), notifications)


def _sales(stores: Stores) -> Projection:
    return Projection(
        SalesProjection(),
        event_store=stores.event_store,
        storage=stores.checkpoints,
        read_model=stores.read_model,
        uow_factory=stores.uow_factory,
        settings=ProjectionSettings(lease=_LEASE),
    )
