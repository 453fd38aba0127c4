"""Reads one row of the "Online Retail" format, or says why it makes no sense."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from order_fulfilment.application import Row
from order_fulfilment.domain import Line
from order_fulfilment.infrastructure.csv_records import Record

COLUMNS = (
    *("InvoiceNo", "StockCode", "Description", "Quantity"),
    *("InvoiceDate", "UnitPrice", "CustomerID", "Country"),
)

_INVOICE = re.compile(r"([Cc]?)([0-9]{1,20})(?:\.0)?")
_WHOLE = re.compile(r"([+-]?[0-9]{1,9})(?:\.0+)?")
_PRICE = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{0,6})?")
_LONGEST = 255  # characters; figures are kept under this name
_YEARS = range(1900, 2200)


class RowError(Exception):
    """A row makes no sense; the message says why."""


def read_row(file: str, record: Record, values: Mapping[str, str]) -> Row:
    """Return what a record of ``file`` says; ``values`` are its fields by column.

    Raises:
        RowError: it makes no sense.
    """
    invoice, cancels = _invoice(values["InvoiceNo"])
    line = Line(
        file=file,
        number=record.number,
        stock_code=_text(values, "StockCode"),
        description=values["Description"].replace("\0", ""),
        quantity=_whole(values["Quantity"], "Quantity"),
        unit_price=_price(values["UnitPrice"]),
        at=_instant(values["InvoiceDate"]),
        country=_text(values, "Country"),
    )
    customer = values["CustomerID"]
    customer_id = _whole(customer, "CustomerID") if customer else None
    return Row(record.number, record.text, invoice, cancels, customer_id, line)


def _invoice(text: str) -> tuple[str, bool]:
    found = _INVOICE.fullmatch(text)
    if found is None:
        raise RowError(f"InvoiceNo {text!r} is neither an order (digits) nor a cancellation (C...)")
    return found[1].upper() + found[2], bool(found[1])


def _text(values: Mapping[str, str], column: str) -> str:
    text = values[column]
    if not text or "\0" in text:
        raise RowError(f"{column} is {'not readable' if text else 'missing'}")
    if len(text) > _LONGEST:
        raise RowError(f"{column} has more than {_LONGEST} characters")
    return text


def _whole(text: str, column: str) -> int:
    found = _WHOLE.fullmatch(text)
    if found is None:
        raise RowError(f"{column} {text!r} is no whole number of at most nine digits")
    return int(found[1])


def _price(text: str) -> Decimal:
    if _PRICE.fullmatch(text) is None:
        raise RowError(f"UnitPrice {text!r} is no amount with at most six decimal places")
    return Decimal(text)


def _instant(text: str) -> datetime:
    """Read ISO 8601, or month/day/year as the source's own spreadsheet has it."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        try:
            instant = datetime.strptime(text, "%m/%d/%Y %H:%M")  # noqa: DTZ007 - UTC, below
        except ValueError:
            raise RowError(f"InvoiceDate {text!r} is no date") from None
    if instant.year not in _YEARS:
        raise RowError(f"InvoiceDate {text!r} is not of this age")
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
