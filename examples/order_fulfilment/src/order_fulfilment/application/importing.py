"""Takes in a file, part by part, and goes on where an earlier run ended."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from cqrs_ddd_core import Mediator
from order_fulfilment.application.commands import (
    ImportRows,
    RecordCancellation,
    RecordOrder,
)
from order_fulfilment.application.queries import GetImport, ImportStatus
from order_fulfilment.domain import Line

ROWS_PER_COMMIT = 500


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file: a line of an invoice, or the reason why it is none.

    Attributes:
        number: the line of the file at which it begins.
        text: the row as it is.
        invoice: the number of the invoice; None where the row makes no sense.
        cancels: whether that is a cancellation.
        customer_id: whom the invoice is for, where that is known.
        line: the line.
        reason: why it makes no sense.
    """

    number: int
    text: str
    invoice: str | None = None
    cancels: bool = False
    customer_id: int | None = None
    line: Line | None = None
    reason: str = ""


class InvoiceFile(Protocol):
    """A file of invoices.

    Attributes:
        id: the same for the same content, whatever the name.
        name: what people call it.
    """

    id: str
    name: str

    def rows(self) -> Iterable[Row]:
        """Return the rows in order, always the same ones."""
        ...


async def import_file(
    mediator: Mediator,
    file: InvoiceFile,
    on_progress: Callable[[int], object] = lambda _: None,
    *,
    rows_per_commit: int = ROWS_PER_COMMIT,
) -> ImportStatus:
    """Take in what is left of ``file`` and return what has become of its rows, all runs together.

    Args:
        mediator: carries out the commands.
        file: where the rows come from.
        on_progress: told the last line taken in, each time it is safe in the database.
        rows_per_commit: about how many rows are taken in at once; an invoice is never split.
    """
    status = (await mediator.query(GetImport(file=file.id))).result
    on_progress(status.through)
    after = status.through
    rows = (row for row in file.rows() if row.number > status.through)
    for part in _parts(rows, rows_per_commit):
        command = _command(file, after, part)
        await mediator.send(command)
        after = command.through
        on_progress(after)
    return (await mediator.query(GetImport(file=file.id))).result


def _parts(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Cut ``rows`` where one invoice ends and another begins; the same cuts in every run."""
    part: list[Row] = []
    invoice: str | None = None
    for row in rows:
        if len(part) >= size and row.invoice is not None and row.invoice != invoice:
            yield part
            part = []
        invoice = row.invoice or invoice
        part.append(row)
    if part:
        yield part


def _command(file: InvoiceFile, after: int, part: list[Row]) -> ImportRows:
    invoices: dict[tuple[str, bool], list[Row]] = {}
    for row in part:
        if row.invoice is not None:
            invoices.setdefault((row.invoice, row.cancels), []).append(row)
    return ImportRows(
        file=file.id,
        name=file.name,
        after=after,
        through=part[-1].number,
        invoices=tuple(
            (RecordCancellation if cancels else RecordOrder)(
                number=number,
                customer_id=next((row.customer_id for row in rows if row.customer_id), None),
                lines=tuple(row.line for row in rows if row.line is not None),
            )
            for (number, cancels), rows in invoices.items()
        ),
        rejects={row.number: row.reason for row in part if row.line is None},
        texts={row.number: row.text for row in part},
    )
