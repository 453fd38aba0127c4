"""A record with a field of every kind."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from pydantic import Field

from cqrs_ddd_core.domain.aggregate import AggregateRoot
from cqrs_ddd_core.domain.value_object import ValueObject
from cqrs_ddd_specifications.testing import pools


class SpecimenKind(StrEnum):
    """An enum whose values are text."""

    RAW = "raw"
    HALF_DONE = "half done"
    DONE = "DONE_100%"


class SpecimenAddress(ValueObject):
    """A nested object, which a relational store keeps as JSON."""

    city: str
    zip: str | None = None
    number: int | None = None
    tags: list[str] = Field(default_factory=list[str])


class Specimen(AggregateRoot[str]):
    """A record with a field of every kind.

    Attributes:
        name: text without surprises, which may be compared without regard to case.
        note: text of any kind.
        attributes: JSON of which just the data tells the types.
        location: a GeoJSON geometry.
    """

    name: str
    note: str | None
    quantity: int
    stock: int | None
    weight: float
    price: Decimal
    active: bool | None
    shipped_at: datetime | None
    due: date
    reference: UUID
    kind: SpecimenKind
    address: SpecimenAddress
    labels: list[str]
    attributes: dict[str, Any]
    location: dict[str, Any] | None = None


def specimens() -> st.SearchStrategy[Specimen]:
    """Return records whose ids seldom collide; make them unique in a list.

    Example:
        >>> from hypothesis import strategies as st
        >>> many = st.lists(specimens(), unique_by=lambda specimen: specimen.id)
    """
    return st.builds(
        Specimen,
        id=st.uuids().map(str),
        name=pools.simple_texts(),
        note=st.none() | pools.texts(),
        quantity=pools.integers(),
        stock=st.none() | pools.integers(),
        weight=pools.floats(),
        price=pools.decimals(),
        active=st.none() | st.booleans(),
        shipped_at=st.none() | pools.instants(),
        due=pools.dates(),
        reference=pools.uuids(),
        kind=st.sampled_from(SpecimenKind),
        address=_addresses(),
        labels=pools.labels(),
        attributes=pools.documents(),
        location=st.none() | pools.geometries(),
    )


def _addresses() -> st.SearchStrategy[SpecimenAddress]:
    return st.builds(
        SpecimenAddress,
        city=pools.simple_texts(),
        zip=st.none() | pools.texts(),
        number=st.none() | pools.integers(),
        tags=pools.labels(),
    )
