"""How commands are carried out."""

from typing import TypeVar

from cqrs_ddd_core import CommandHandler, CommandResponse, IRepository, Mediator, get_current_uow
from order_fulfilment.application.commands import (
    ImportRows,
    MatchCancellations,
    RecordCancellation,
    RecordOrder,
)
from order_fulfilment.application.records import FileImport, OpenCancellation, RejectedRow
from order_fulfilment.application.repositories import ShopRepositories
from order_fulfilment.application.specifications import of_customers, opened_since
from order_fulfilment.domain import Cancellation, Invoice, LineRefusedError, Order, match

AnInvoice = TypeVar("AnInvoice", bound=Invoice)


async def record_order(command: RecordOrder, uow: ShopRepositories) -> list[LineRefusedError]:
    """Place an order, or extend the one that has this number."""
    _, refused = await _enter(command, uow.orders, Order)
    return refused


async def record_cancellation(
    command: RecordCancellation, uow: ShopRepositories
) -> list[LineRefusedError]:
    """Enter a cancellation; which order it belongs to is found out later."""
    entered, refused = await _enter(command, uow.cancellations, Cancellation)
    if entered.is_open and await uow.open_cancellations.get(entered.id) is None:
        await uow.open_cancellations.add(OpenCancellation.of(entered))
    return refused


async def _enter(
    command: RecordOrder | RecordCancellation,
    invoices: IRepository[AnInvoice, str],
    kind: type[AnInvoice],
) -> tuple[AnInvoice, list[LineRefusedError]]:
    invoice = await invoices.get(command.number)
    if invoice is None:
        invoice = kind.open(command.number, command.lines[0].at)
    refused = invoice.enter(command.customer_id, command.lines)
    if invoice.lines:
        await invoices.add(invoice)
    return invoice, refused


async def match_cancellations(command: MatchCancellations, uow: ShopRepositories) -> int:
    """Find orders for the open cancellations of these customers."""
    which = opened_since(command.customer_ids, command.since)
    waiting = await (await uow.open_cancellations.search(which))
    if not waiting:
        return 0
    cancellations = await uow.cancellations.list_all([item.id for item in waiting])
    cancellations.sort(key=lambda item: (item.opened_at, item.id))
    customers = {item.customer_id for item in waiting}
    orders = await (await uow.orders.search(of_customers(customers)))
    return sum(match(cancellation, orders) for cancellation in cancellations)


class ImportRowsHandler(CommandHandler[None]):
    """Takes in a part of a file: the commands it sends join its unit of work."""

    def __init__(self, mediator: Mediator) -> None:
        self._mediator = mediator

    async def handle(self, command: ImportRows, /) -> CommandResponse[None]:
        """Record the invoices, keep what was refused, and note how far the file has come."""
        uow: ShopRepositories = get_current_uow()
        progress = await uow.imports.get(command.file)
        if progress is None:
            progress = FileImport(id=command.file, name=command.name)
            await uow.imports.add(progress)
        if command.through <= progress.through:
            return CommandResponse(None)
        refused = await self._record_invoices(command)
        rejects = {**command.rejects, **{item.line.number: item.reason for item in refused}}
        for number, reason in rejects.items():
            await uow.rejected_rows.add(
                RejectedRow.of(command.file, number, reason, command.texts[number])
            )
        accepted = len(command.texts) - len(rejects)
        progress.advance(command.after, command.through, accepted, len(rejects))
        return CommandResponse(None)

    async def _record_invoices(self, command: ImportRows) -> list[LineRefusedError]:
        refused: list[LineRefusedError] = []
        for invoice in command.invoices:
            refused += (await self._mediator.send(invoice)).result
        customers = frozenset(
            item.customer_id for item in command.invoices if item.customer_id is not None
        )
        if customers:
            since = min(item.lines[0].at for item in command.invoices)
            await self._mediator.send(MatchCancellations(customer_ids=customers, since=since))
        return refused
