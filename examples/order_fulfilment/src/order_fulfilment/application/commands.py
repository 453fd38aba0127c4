"""What the shop can be told to do."""

from collections.abc import Mapping
from datetime import datetime

from cqrs_ddd_core import Command
from order_fulfilment.domain import Line, LineRefusedError


class RecordOrder(Command[list[LineRefusedError]]):
    """Enter lines of an order; the result tells which were refused."""

    number: str
    customer_id: int | None
    lines: tuple[Line, ...]


class RecordCancellation(Command[list[LineRefusedError]]):
    """Enter lines of a cancellation; the result tells which were refused."""

    number: str
    customer_id: int | None
    lines: tuple[Line, ...]


class MatchCancellations(Command[int]):
    """Find the orders behind open cancellations; the result tells how many were found.

    ``since`` leaves out cancellations that are older than every order that could be new to them.
    """

    customer_ids: frozenset[int]
    since: datetime


class ImportRows(Command[None]):
    """Take in the rows of a file behind line ``after``, up to line ``through``, all or none.

    Sent twice, it does nothing the second time. ``texts`` holds the rows as they were, ``rejects``
    why some are no lines of an invoice; both by line number.
    """

    file: str
    name: str
    after: int
    through: int
    invoices: tuple[RecordOrder | RecordCancellation, ...]
    rejects: Mapping[int, str]
    texts: Mapping[int, str]
