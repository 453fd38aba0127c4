"""Validation: what is not valid is refused before anything is opened for it."""

from typing import Any

import pytest
from pydantic import Field

from cqrs_ddd_core import (
    Command,
    CompositeValidator,
    HandlerRegistry,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    PydanticValidator,
    Query,
    ValidationError,
    ValidationResult,
    ValidatorMiddleware,
)


class Order(Command[int]):
    quantity: int = Field(gt=0)
    customer: str = "c-1"


class Count(Query[int]):
    limit: int = Field(default=1, gt=0)


class World:
    def __init__(self, middleware: object) -> None:
        self.opened = self.handled = 0
        registry = HandlerRegistry()
        registry.register_command_handler(Order, self.order)
        registry.register_query_handler(Count, self.count)
        middlewares = MiddlewareRegistry([middleware])
        self.mediator = Mediator(registry, self.open, middleware_registry=middlewares)

    def open(self) -> InMemoryUnitOfWork:
        self.opened += 1
        return InMemoryUnitOfWork()

    async def order(self, command: Order) -> int:
        self.handled += 1
        return command.quantity

    async def count(self, query: Count) -> int:
        self.handled += 1
        return query.limit


class Blocked:
    async def validate(self, message: Any, /) -> ValidationResult:
        if getattr(message, "customer", None) == "c-13":
            return ValidationResult.failure({"customer": ["is blocked"], "": ["call us"]})
        return ValidationResult.success()


async def test_a_valid_message_is_handled() -> None:
    world = World(ValidatorMiddleware())
    assert (await world.mediator.send(Order(quantity=2))).result == 2
    assert (await world.mediator.query(Count())).result == 1


@pytest.mark.parametrize(
    "message",
    [
        Order.model_construct(quantity=0),
        Order.model_construct(quantity="many"),
        Order.model_construct(),
        Count.model_construct(limit=-1),
    ],
)
async def test_an_invalid_message_opens_nothing_and_reaches_no_handler(
    message: Command[Any] | Query[Any],
) -> None:
    world = World(ValidatorMiddleware())
    with pytest.raises(ValidationError, match=f"{type(message).__name__} is not valid"):
        await world.mediator.send(message)
    assert (world.opened, world.handled) == (0, 0)


async def test_the_error_carries_the_messages_by_field() -> None:
    world = World(ValidatorMiddleware())
    with pytest.raises(ValidationError) as caught:
        await world.mediator.send(Order.model_construct(quantity=0))
    assert caught.value.message_type == "Order"
    assert caught.value.errors == {"quantity": ["Input should be greater than 0"]}
    assert "quantity: Input should be greater than 0" in str(caught.value)


async def test_several_validators_are_asked_and_awaited() -> None:
    validator = CompositeValidator([PydanticValidator(), Blocked()])
    world = World(ValidatorMiddleware(validator))
    with pytest.raises(ValidationError) as caught:
        await world.mediator.send(Order.model_construct(quantity=0, customer="c-13"))
    assert sorted(caught.value.errors) == ["", "customer", "quantity"]
    assert "Order: call us" in str(caught.value)
    assert (await world.mediator.send(Order(quantity=1))).result == 1
