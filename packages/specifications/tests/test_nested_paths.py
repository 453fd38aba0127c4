"""Paths with dots: into nested objects, dicts and JSON, and no further."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import Field

from cqrs_ddd_core import AggregateRoot, ValueObject
from cqrs_ddd_specifications import AttributeSpecification, FieldNotFoundError, OperandError


class Address(ValueObject):
    city: str
    zip: str | None = None


@dataclass(slots=True)
class Size:
    width: int


class Place(NamedTuple):
    shelf: str


class Customer(AggregateRoot[str]):
    address: Address | None
    size: Size = Size(3)
    place: Place = Place("A1")
    labels: list[str] = Field(default_factory=list[str])
    attributes: dict[str, Any] = Field(default_factory=dict[str, Any])

    @property
    def city(self) -> str | None:
        return self.address.city if self.address else None

    def rename(self, name: str) -> None:
        raise NotImplementedError


CUSTOMER = Customer(
    id="c-1",
    address=Address(city="Riga"),
    labels=["new"],
    attributes={
        "count": 5,
        "text": "five",
        "flag": True,
        "list": [1, 2],
        "inner": {"deep": {"er": "x"}, "null": None},
    },
)


def asked(attr: str, operator: str, operand: Any = None, customer: Any = CUSTOMER) -> bool | None:
    return AttributeSpecification(attr, operator, operand).compiled(customer)


@pytest.mark.parametrize(
    ("attr", "value"),
    [
        ("id", "c-1"),
        ("address.city", "Riga"),
        ("size.width", 3),
        ("place.shelf", "A1"),
        ("city", "Riga"),
        ("attributes.count", 5),
        ("attributes.inner.deep.er", "x"),
        ("version", 0),
    ],
)
def test_a_path_leads_through_objects_properties_and_dicts(attr: str, value: Any) -> None:
    assert asked(attr, "=", value) is True


@pytest.mark.parametrize(
    "attr",
    [
        "address.zip",
        "attributes.missing",
        "attributes.missing.deeper",
        "attributes.inner.null",
        "attributes.inner.null.deeper",
        "attributes.count.real",
        "attributes.text.upper",
        "attributes.list.0",
        "labels.0",
    ],
)
def test_what_is_missing_inside_a_document_is_null(attr: str) -> None:
    assert asked(attr, "is_null") is True
    assert asked(attr, "=", 1) is None


def test_everything_below_a_null_is_null() -> None:
    homeless = Customer(id="c-2", address=None)
    assert asked("address.city", "is_null", customer=homeless) is True
    assert asked("address.city", "!=", "Riga", customer=homeless) is None


@pytest.mark.parametrize(
    ("attr", "suggestion"),
    [
        ("adress", "address"),
        ("address.cty", "address.city"),
        ("size.widht", "size.width"),
        ("place.shelves", "place.shelf"),
    ],
)
def test_an_unknown_field_is_an_error_with_a_suggestion(attr: str, suggestion: str) -> None:
    with pytest.raises(FieldNotFoundError) as caught:
        asked(attr, "=", 1)
    assert caught.value.field == attr
    assert caught.value.suggestions[0] == suggestion
    assert f"Did you mean '{suggestion}'" in str(caught.value)


@pytest.mark.parametrize(
    "attr",
    [
        "rename",
        "clear_events",
        "id.upper",
        "size.width.real",
        "_version",
        "__class__.__name__",
        "rename.__globals__",
        "model_dump",
        "",
        "address.",
        ".address",
        "address..city",
    ],
)
def test_methods_private_names_and_insides_of_scalars_are_no_fields(attr: str) -> None:
    with pytest.raises(FieldNotFoundError):
        asked(attr, "is_not_null")


@pytest.mark.parametrize(
    ("attr", "operator", "operand"),
    [
        ("attributes.count", "=", "5"),
        ("attributes.count", "!=", "5"),
        ("attributes.count", "contains", "5"),
        ("attributes.text", ">", 4),
        ("attributes.flag", "=", 1),
        ("attributes.count", "=", True),
        ("attributes.list", "!=", 1),
        ("attributes.list", ">", 0),
        ("attributes.inner", "=", "x"),
    ],
)
def test_a_value_of_another_kind_is_unknown_inside_a_document(
    attr: str, operator: str, operand: Any
) -> None:
    assert asked(attr, operator, operand) is None


def test_a_list_of_values_may_mix_kinds_inside_a_document() -> None:
    assert asked("attributes.count", "in", ["5", 5]) is True
    assert asked("attributes.count", "in", ["5", 6]) is None
    assert asked("attributes.count", "not_in", ["5", 5]) is False


def test_a_document_inside_a_document_equals_another_or_does_not() -> None:
    assert asked("attributes.inner.deep", "=", {"er": "x"}) is True
    assert asked("attributes.list", "=", [1, 2]) is True
    assert asked("attributes.count", "=", [1]) is False


def test_the_keys_of_a_dict_that_is_asked_are_fields_of_their_own_kinds() -> None:
    with pytest.raises(OperandError):
        AttributeSpecification("total", ">", "5").is_satisfied_by({"total": 5})
