"""Validators: what is wrong with a message, by field."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ConfigDict, Field

from cqrs_ddd_core import (
    Command,
    CompositeValidator,
    IValidator,
    PydanticValidator,
    ValidationResult,
)


class PlaceOrder(Command[None]):
    customer_id: str = Field(min_length=1)
    quantity: int = Field(default=1, gt=0)
    tags: tuple[str, ...] = ()


class Aliased(Command[None]):
    model_config = ConfigDict(extra="forbid")

    customer_id: str = Field(alias="customerId")

    @cached_property
    def shout(self) -> str:
        return self.customer_id.upper()


@dataclass
class Rename:
    name: str


class Plain:
    pass


def test_a_result_without_errors_is_valid_and_true() -> None:
    assert ValidationResult.success().is_valid
    assert ValidationResult()
    assert ValidationResult().errors == {}


def test_a_result_with_errors_is_neither() -> None:
    result = ValidationResult.failure({"name": ["is empty"]})
    assert not result
    assert not result.is_valid
    assert result.errors == {"name": ["is empty"]}


def test_errors_are_added_to_their_field() -> None:
    result = ValidationResult().add_error("name", "is empty").add_error("name", "is odd")
    assert result.add_error("age", "is old").errors == {
        "name": ["is empty", "is odd"],
        "age": ["is old"],
    }


def test_merging_keeps_all_errors_and_changes_neither_result() -> None:
    first = ValidationResult.failure({"name": ["is empty"]})
    second = ValidationResult.failure({"name": ["is odd"], "age": ["is old"]})
    assert first.merge(second).errors == {"name": ["is empty", "is odd"], "age": ["is old"]}
    assert first.errors == {"name": ["is empty"]}
    assert second.errors == {"name": ["is odd"], "age": ["is old"]}


def test_a_valid_message_has_no_errors() -> None:
    assert PydanticValidator().validate(PlaceOrder(customer_id="c-1"))


def test_a_message_built_around_its_rules_is_found_out() -> None:
    message = PlaceOrder.model_construct(customer_id="", quantity=0, tags=(1,))
    result = PydanticValidator().validate(message)
    assert sorted(result.errors) == ["customer_id", "quantity", "tags.0"]


def test_a_field_that_is_missing_is_found_out() -> None:
    assert "customer_id" in PydanticValidator().validate(PlaceOrder.model_construct()).errors


def test_a_dataclass_is_checked_by_its_annotations() -> None:
    wrong: Any = 3
    validator = PydanticValidator()
    assert validator.validate(Rename("Ada"))
    assert list(validator.validate(Rename(wrong)).errors) == ["name"]


def test_aliases_and_computed_properties_do_not_matter() -> None:
    message = Aliased(customerId="c-1")
    assert message.shout == "C-1"
    assert PydanticValidator().validate(message).errors == {}


def test_a_class_of_your_own_is_taken_as_valid() -> None:
    assert PydanticValidator().validate(Plain())


async def test_a_composite_asks_all_its_validators_and_waits_for_them() -> None:
    class Later:
        async def validate(self, message: object, /) -> ValidationResult:
            return ValidationResult.failure({"customer_id": ["is blocked"]})

    validator = CompositeValidator([PydanticValidator()]).add(Later())
    message = PlaceOrder.model_construct(customer_id="", quantity=1, tags=())
    result = await validator.validate(message)
    first, second = result.errors["customer_id"]
    assert "at least 1 character" in first
    assert second == "is blocked"
    assert await CompositeValidator().validate(message)


def test_validators_meet_the_port() -> None:
    assert isinstance(PydanticValidator(), IValidator)
    assert isinstance(CompositeValidator(), IValidator)
