"""Puts the application together, on whatever store it is given."""

from collections.abc import Callable
from typing import NamedTuple

from cqrs_ddd_core import (
    EventPhase,
    HandlerRegistry,
    IInboxStorage,
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
from order_fulfilment.application.event_handlers import Notifications, add_sales_lines, pay_back
from order_fulfilment.application.queries import GetImport, GetSalesReport, ListRejects
from order_fulfilment.application.query_handlers import (
    get_import,
    get_sales_report,
    list_rejects,
)
from order_fulfilment.application.repositories import ShopRepositories
from order_fulfilment.domain import CancellationRecorded, LinesRecorded, OrderPlaced


class Application(NamedTuple):
    """The shop, ready for messages; what waits in the outbox is delivered once it is started."""

    mediator: Mediator
    uow_factory: Callable[[], ShopRepositories]
    outbox: BufferedOutbox
    notifications: Notifications


def build_application(
    uow_factory: Callable[[], ShopRepositories], storage: RelayableOutbox, inbox: IInboxStorage
) -> Application:
    """Return the shop on the store that ``uow_factory``, outbox and inbox belong to."""
    registry, notifications = HandlerRegistry(), Notifications()
    registry.register_command_handler(RecordOrder, record_order)
    registry.register_command_handler(RecordCancellation, record_cancellation)
    registry.register_command_handler(MatchCancellations, match_cancellations)
    registry.register_query_handler(GetImport, get_import)
    registry.register_query_handler(ListRejects, list_rejects)
    registry.register_query_handler(GetSalesReport, get_sales_report)
    registry.register_event_handler(LinesRecorded, add_sales_lines, phase=EventPhase.IN_TRANSACTION)
    registry.register_event_handler(OrderPlaced, notifications, phase=EventPhase.AFTER_COMMIT)
    registry.register_event_handler(
        CancellationRecorded, pay_back, phase=EventPhase.DURABLE, name="pay-back"
    )
    outbox = BufferedOutbox(
        storage=storage,
        broker=DurableHandlerPublisher(lambda: mediator, inbox),
        settings=RelaySettings(lease=2.0),  # a run that was killed holds up the next no longer
    )
    middlewares = MiddlewareRegistry(
        [
            RetryMiddleware(RetryPolicy(max_attempts=20)),
            OutboxMiddleware(outbox, selects=lambda event: isinstance(event, CancellationRecorded)),
        ]
    )
    mediator = Mediator(registry, uow_factory, middleware_registry=middlewares)
    registry.register_command_handler(ImportRows, ImportRowsHandler(mediator))
    return Application(mediator, uow_factory, outbox, notifications)
