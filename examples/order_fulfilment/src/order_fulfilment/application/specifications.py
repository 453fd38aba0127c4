"""The conditions that the shop's handlers ask about, by name."""

from collections.abc import Collection
from datetime import datetime

from cqrs_ddd_specifications import Specification, SpecificationBuilder
from order_fulfilment.domain import LineKind


def of_kind(kind: LineKind) -> Specification:
    """Sales lines that are sales, or those that are cancellations."""
    return SpecificationBuilder().where("kind", "=", kind).build()


def of_file(file: str) -> Specification:
    """Rows that came from one file."""
    return SpecificationBuilder().where("file", "=", file).build()


def orders_of(customers: Collection[int]) -> Specification:
    """Orders of these customers."""
    return SpecificationBuilder().where("customer_id", "in", sorted(customers)).build()


def open_cancellations(customers: Collection[int], since: datetime) -> Specification:
    """Cancellations of these customers, not older than ``since``, whose order is not known."""
    return (
        SpecificationBuilder()
        .add(orders_of(customers))
        .where("order_id", "is_null")
        .where("opened_at", ">=", since)
        .build()
    )
