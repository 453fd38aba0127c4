"""Puts the application together, on whatever stores it is given."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from cqrs_ddd_advanced_core.background_jobs import IBackgroundJobRepository
from cqrs_ddd_advanced_core.sagas import (
    SAGA_COMMAND,
    ISagaRepository,
    SagaCommandPublisher,
    SagaManager,
    SagaRecoveryWorker,
    bootstrap_sagas,
)
from cqrs_ddd_advanced_core.scheduling import (
    CommandScheduler,
    CommandSchedulerService,
    CommandSchedulerWorker,
)
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
from cqrs_ddd_core.cqrs.publishers import TopicRoutingPublisher
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
from order_fulfilment.web_shop import (
    FULFILMENT,
    TIME_TO_PAY,
    PurchaseEvent,
    RecordPayment,
    SendDailyReport,
    SimulatedProvider,
    register_web_shop,
)

_LEASE = 2.0  # seconds; a run that was killed holds up the next no longer
_PATIENCE = 60.0
_TO_THE_OUTBOX = (CancellationRecorded, PurchaseEvent)


class Stores(NamedTuple):
    """Where the shop keeps everything: parts of one database, which commit together."""

    uow_factory: Callable[[], ShopRepositories]
    outbox: RelayableOutbox
    inbox: IInboxStorage
    event_store: IEventStore
    checkpoints: IProjectionStorage
    read_model: IReadModel
    read_sales: ReadSales
    sagas: ISagaRepository
    timers: IBackgroundJobRepository


class Application(NamedTuple):
    """The shop, ready for messages."""

    stores: Stores
    mediator: Mediator
    outbox: BufferedOutbox
    sales: Projection
    notifications: Notifications
    sagas: SagaManager
    timers: CommandScheduler
    provider: SimulatedProvider

    def worker(self) -> Worker:
        """Return what works in the background: relay, projection, sagas and timers."""
        timers = CommandSchedulerService(self.timers, self.mediator)
        return Worker(
            [
                self.outbox,
                self.sales.worker(),
                SagaRecoveryWorker(self.stores.sagas, [self.sagas], lease=_LEASE),
                CommandSchedulerWorker(timers, lease=_LEASE, heartbeat=_LEASE / 4),
            ]
        )

    async def settled(self) -> None:
        """Wait until everything that has happened so far has had its effects; a worker must run.

        Raises:
            ProjectionBehindError: the figures do not come up to date.
        """
        await self.outbox.drained()
        await self.sales.wait_for(await self.stores.event_store.latest_position(), _PATIENCE)


async def build_application(
    stores: Stores, *, seed: int = 0, time_to_pay: timedelta = TIME_TO_PAY
) -> Application:
    """Return the shop on these stores.

    Args:
        stores: where it keeps everything.
        seed: of the payment provider's moods.
        time_to_pay: how long a purchase waits for a transfer.
    """
    registry, notifications = HandlerRegistry(), Notifications()
    timers = CommandScheduler(stores.timers)

    async def hear_of_payment(purchase_id: str) -> None:
        await mediator.send(RecordPayment(purchase_id=purchase_id))

    provider = SimulatedProvider(seed, hear_of_payment)
    register_web_shop(registry, provider, timers, time_to_pay)
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
        broker=TopicRoutingPublisher(
            {SAGA_COMMAND: SagaCommandPublisher(lambda: sagas)},
            default=DurableHandlerPublisher(lambda: mediator, stores.inbox),
        ),
        settings=RelaySettings(lease=_LEASE),
    )
    middlewares = MiddlewareRegistry(
        [
            RetryMiddleware(RetryPolicy(max_attempts=20)),
            EventStorePersistenceMiddleware(stores.event_store),
            OutboxMiddleware(outbox, selects=lambda event: isinstance(event, _TO_THE_OUTBOX)),
        ]
    )
    mediator = Mediator(registry, stores.uow_factory, middleware_registry=middlewares)
    registry.register_command_handler(ImportRows, ImportRowsHandler(mediator))
    sagas = await bootstrap_sagas(sagas=[FULFILMENT], repository=stores.sagas, command_bus=mediator)
    await timers.schedule_cron(SendDailyReport(), "0 8 * * *", key="daily-report")
    return Application(
        stores, mediator, outbox, _sales(stores), notifications, sagas, timers, provider
    )


def _sales(stores: Stores) -> Projection:
    return Projection(
        SalesProjection(),
        event_store=stores.event_store,
        storage=stores.checkpoints,
        read_model=stores.read_model,
        uow_factory=stores.uow_factory,
        settings=ProjectionSettings(lease=_LEASE),
    )
