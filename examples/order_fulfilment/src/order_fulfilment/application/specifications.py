"""The conditions that the shop's handlers ask about, by name."""

from collections.abc import Collection
from datetime import datetime

from cqrs_ddd_specifications import Specification, SpecificationBuilder


def of_file(file: str) -> Specification:
    """Rows that came from one file."""
    return SpecificationBuilder().where("file", "=", file).build()


def of_customers(customers: Collection[int]) -> Specification:
    """Whatever belongs to these customers."""
    return SpecificationBuilder().where("customer_id", "in", sorted(customers)).build()


def opened_since(customers: Collection[int], since: datetime) -> Specification:
    """What belongs to these customers and was not opened before ``since``."""
    return (
        SpecificationBuilder().add(of_customers(customers)).where("opened_at", ">=", since).build()
    )
