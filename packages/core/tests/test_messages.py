"""Commands and queries: ids, conversations, and classes of the user's own."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from cqrs_ddd_core import (
    Command,
    CommandOf,
    HandlerRegistry,
    InMemoryUnitOfWork,
    Mediator,
    Query,
    QueryOf,
    use_ids,
    with_correlation_context,
)
from cqrs_ddd_core.cqrs.message import message_id_of
from cqrs_ddd_core.testing import SequentialIds


class PlaceOrder(Command[str]):
    customer_id: str


class CountOrders(Query[int]):
    pass


@dataclass(frozen=True)
class Rename(CommandOf[str]):
    name: str


@dataclass(frozen=True)
class FindName(QueryOf[str]):
    name: str


class Measure(CommandOf[int]):
    def __init__(self, grams: int) -> None:
        self.grams = grams


class Unmarked:
    command_id = "unmarked-1"


def test_each_message_has_an_id_of_its_own() -> None:
    first, second = PlaceOrder(customer_id="c-1"), PlaceOrder(customer_id="c-1")
    assert first.command_id != second.command_id
    assert UUID(first.command_id).version == UUID(CountOrders().query_id).version == 7


def test_ids_come_from_the_generator_in_force() -> None:
    with use_ids(SequentialIds("m")):
        assert PlaceOrder(customer_id="c-1").command_id == "m-1"
        assert CountOrders().query_id == "m-2"


@pytest.mark.parametrize("message", [PlaceOrder(customer_id="c-1"), CountOrders()])
def test_a_message_cannot_be_changed(message: Command[Any] | Query[Any]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(message, "correlation_id", "other")  # noqa: B010 - a type checker refuses it


def test_a_message_asks_for_no_locks_by_default() -> None:
    assert PlaceOrder(customer_id="c-1").get_critical_resources() == []
    assert CountOrders().get_critical_resources() == []


def test_a_message_belongs_to_the_conversation_it_was_made_in() -> None:
    with with_correlation_context("request-7"):
        inside, explicit = CountOrders(), CountOrders(correlation_id="own")
    assert (inside.correlation_id, explicit.correlation_id) == ("request-7", "own")
    assert CountOrders().correlation_id is None


def test_a_message_of_any_class_has_an_id() -> None:
    command, query = PlaceOrder(customer_id="c-1"), CountOrders()
    assert message_id_of(command) == command.command_id
    assert message_id_of(query) == query.query_id
    assert message_id_of(Unmarked()) == "unmarked-1"
    assert message_id_of(Rename("x")) != message_id_of(Rename("x"))


def test_data_that_does_not_fit_never_becomes_a_message() -> None:
    with pytest.raises(ValidationError, match="customer_id"):
        PlaceOrder.model_validate({"customer_id": 3})


async def test_dataclasses_and_classes_of_your_own_are_handled_like_any_message() -> None:
    async def rename(command: Rename) -> str:
        return command.name.upper()

    async def find(query: FindName) -> str:
        return query.name.lower()

    async def measure(command: Measure) -> int:
        return command.grams * 2

    async def unmarked(command: Unmarked) -> str:
        return command.command_id

    registry = HandlerRegistry()
    registry.register_command_handler(Rename, rename)
    registry.register_query_handler(FindName, find)
    registry.register_command_handler(Measure, measure)
    anything: Any = Unmarked
    registry.register_command_handler(anything, unmarked)
    mediator = Mediator(registry, InMemoryUnitOfWork)

    assert (await mediator.send(Rename("ada"))).result == "ADA"
    assert (await mediator.query(FindName("ADA"))).result == "ada"
    assert (await mediator.send(Measure(4))).result == 8
    response = await mediator.send(Unmarked())
    assert (response.result, response.correlation_id) == ("unmarked-1", "unmarked-1")
