"""The registry of handlers: every mistake found at start-up, all at once, each with its fix."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from cqrs_ddd_core import (
    Command,
    CommandHandler,
    CommandResponse,
    DomainEvent,
    EventPhase,
    HandlerRegistrationError,
    HandlerRegistry,
    InMemoryUnitOfWork,
    Mediator,
    Query,
)

if TYPE_CHECKING:
    from cqrs_ddd_core import Command as OnlyForCheckers


class Place(Command[None]):
    pass


class PlaceUrgently(Place):
    pass


class Cancel(Command[None]):
    pass


class Count(Query[int]):
    pass


class Placed(DomainEvent):
    event_type = "shop.placed"


class PlacedElsewhere(DomainEvent):
    event_type = "shop.placed"


async def place(command: Place) -> None: ...


async def place_too(command: Place) -> None: ...


async def cancel(command: Cancel) -> None: ...


async def count(query: Count) -> int:
    return 0


async def on_placed(event: Placed) -> None: ...


async def on_placed_elsewhere(event: PlacedElsewhere) -> None: ...


class PlaceHandler(CommandHandler[None]):
    async def handle(self, command: Place) -> CommandResponse[None]:
        return CommandResponse(None)


def problems_of(command_type: Any, handler: Any) -> list[str]:
    """Return what ``validate`` says of one command handler."""
    registry = HandlerRegistry()
    registry.register_command_handler(command_type, handler)
    try:
        registry.validate()
    except HandlerRegistrationError as error:
        return error.problems
    return []


def test_a_second_handler_for_a_command_is_a_mistake() -> None:
    registry = HandlerRegistry()
    registry.register_command_handler(Place, place)
    registry.register_command_handler(Place, place_too)
    with pytest.raises(HandlerRegistrationError, match="Duplicate command handler for Place"):
        registry.validate()


def test_the_same_handler_again_is_no_mistake() -> None:
    registry = HandlerRegistry()
    for _ in range(2):
        registry.register_command_handler(Place, place)
        registry.register_event_handler(Placed, on_placed)
    registry.validate()
    assert len(registry.events) == 1


def test_a_command_may_have_a_handler_for_its_base() -> None:
    assert problems_of(PlaceUrgently, place) == []


def test_a_handler_for_another_message_is_a_mistake() -> None:
    (problem,) = problems_of(Place, cancel)
    assert problem == (
        "cancel is registered for Place but takes Cancel. Register it for the type it takes, or "
        "correct the annotation."
    )
    (problem,) = problems_of(Cancel, PlaceHandler)
    assert "PlaceHandler is registered for Cancel but takes Place" in problem
    (problem,) = problems_of(Cancel, PlaceHandler())
    assert "takes Place" in problem


def test_a_handler_without_an_annotation_or_with_a_wide_one_fits() -> None:
    async def bare(command) -> None: ...  # noqa: ANN001 # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]

    async def anything(command: Any) -> None: ...

    async def either(command: Place | Cancel) -> None: ...

    async def checkers_only(command: "OnlyForCheckers") -> None: ...

    class HasId(Protocol):
        command_id: str

    async def protocol(command: HasId) -> None: ...

    handlers: list[Any] = [bare, anything, either, checkers_only, protocol]
    for handler in handlers:
        assert problems_of(Place, handler) == []
    assert "takes" in problems_of(Count, either)[0]


def test_what_is_no_handler_at_all_is_a_mistake() -> None:
    class Unrelated:
        pass

    for handler in (Unrelated(), Unrelated, "place", 3):
        (problem,) = problems_of(Place, handler)
        assert "neither a function nor has it a method handle(message)" in problem


def test_a_handler_with_too_few_or_too_many_parameters_is_a_mistake() -> None:
    async def nothing() -> None: ...

    async def three(command: Place, uow: Any, more: Any) -> None: ...

    async def keyword(command: Place, *, more: Any) -> None: ...

    for handler in (nothing, three, keyword):
        (problem,) = problems_of(Place, handler)
        assert "must take the command" in problem


def test_a_handler_of_a_class_is_checked_without_being_made() -> None:
    class TooMany:
        async def handle(self, command: Place, uow: Any, more: Any) -> None: ...

    (problem,) = problems_of(Place, TooMany)
    assert "it needs command, uow, more" in problem


def test_a_generator_handles_streams_only() -> None:
    async def numbers(command: Place) -> AsyncIterator[int]:
        yield 1

    (problem,) = problems_of(Place, numbers)
    assert "register_stream_handler" in problem


def test_a_stream_handler_must_yield() -> None:
    registry = HandlerRegistry()
    anything: Any = count
    registry.register_stream_handler(Count, anything)
    with pytest.raises(HandlerRegistrationError, match="async generator"):
        registry.validate()


def test_an_iterator_made_by_a_plain_function_is_a_stream_handler() -> None:
    async def numbers(query: Count) -> AsyncIterator[int]:
        yield 1

    def wrapped(query: Count) -> AsyncIterator[int]:
        return numbers(query)

    registry = HandlerRegistry()
    registry.register_stream_handler(Count, wrapped)
    registry.validate(Count)


def test_two_event_types_with_one_stored_name_are_a_mistake() -> None:
    registry = HandlerRegistry()
    registry.register_event_handler(Placed, on_placed)
    registry.register_event_handler(PlacedElsewhere, on_placed_elsewhere)
    with pytest.raises(HandlerRegistrationError, match=r"both stored as 'shop\.placed'; give one"):
        registry.validate()


def test_an_event_handler_for_another_event_is_a_mistake() -> None:
    registry = HandlerRegistry()
    anything: Any = on_placed_elsewhere
    registry.register_event_handler(Placed, anything)
    with pytest.raises(HandlerRegistrationError, match="takes PlacedElsewhere"):
        registry.validate()


def test_an_expected_message_without_a_handler_is_a_mistake() -> None:
    registry = HandlerRegistry()
    registry.register_command_handler(Place, place)
    registry.register_query_handler(Count, count)
    registry.validate(Place, Count)
    with pytest.raises(HandlerRegistrationError, match="Cancel has no handler; register one"):
        registry.validate(Place, Cancel)


def test_all_mistakes_are_told_at_once() -> None:
    registry = HandlerRegistry()
    wrong: Any = cancel
    registry.register_command_handler(Place, wrong)
    registry.register_command_handler(Place, place)
    registry.register_event_handler(Placed, on_placed)
    registry.register_event_handler(PlacedElsewhere, on_placed_elsewhere)
    with pytest.raises(HandlerRegistrationError, match=r"4 mistake\(s\)") as caught:
        registry.validate(Count)
    assert len(caught.value.problems) == 4


def test_the_mediator_refuses_handlers_that_cannot_work() -> None:
    registry = HandlerRegistry()
    wrong: Any = cancel
    registry.register_command_handler(Place, wrong)
    with pytest.raises(HandlerRegistrationError, match="takes Cancel"):
        Mediator(registry, InMemoryUnitOfWork)


async def test_a_mistake_made_later_is_found_before_the_handler_runs() -> None:
    registry = HandlerRegistry()
    mediator = Mediator(registry, InMemoryUnitOfWork)
    wrong: Any = cancel
    registry.register_command_handler(Place, wrong)
    with pytest.raises(HandlerRegistrationError, match="takes Cancel"):
        await mediator.send(Place())


def test_the_registry_tells_who_handles_what() -> None:
    registry = HandlerRegistry()
    registry.register_command_handler(Place, PlaceHandler)
    registry.register_query_handler(Count, count)
    registry.register_event_handler(Placed, on_placed, phase=EventPhase.IN_TRANSACTION)
    assert registry.get_registered_handlers() == {
        "Place": ["PlaceHandler"],
        "Count": ["count"],
        "Placed": ["on_placed (in_transaction)"],
    }
    registry.clear()
    assert registry.get_registered_handlers() == {}
    registry.validate()


def test_event_types_are_told_by_phase() -> None:
    registry = HandlerRegistry()
    registry.register_event_handler(Placed, on_placed)
    registry.register_event_handler(DomainEvent, lambda event: None, phase=EventPhase.DURABLE)
    assert registry.event_types(EventPhase.DURABLE) == [DomainEvent]
    assert registry.event_types() == [Placed, DomainEvent]
