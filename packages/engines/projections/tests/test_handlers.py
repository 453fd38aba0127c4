"""What a projection may look like, and what is refused when it is made."""

from typing import Any

import pytest

from cqrs_ddd_projections import (
    ProjectionContext,
    ProjectionHandler,
    ProjectionRegistrationError,
    ProjectionRegistry,
    on,
)

from .shop import CustomersHandler, OrderNoted, OrderPlaced, Shop


def handle(event: OrderPlaced, at: ProjectionContext) -> None:
    """Do nothing."""


def handle_anything(event: Any, at: Any) -> None:
    """Do nothing."""


def _one(event: OrderPlaced) -> None:
    """Lack the context."""


takes_one: Any = _one


def problems_of(*handlers: ProjectionHandler) -> list[str]:
    registry = ProjectionRegistry()
    for each in handlers:
        registry.register(each)
    with pytest.raises(ProjectionRegistrationError) as caught:
        registry.validate()
    return caught.value.problems


def test_functions_and_methods_handle_events() -> None:
    handler = CustomersHandler(name="both")
    handler.add_handler(OrderNoted, handle_anything)
    assert handler.handles(OrderNoted)
    assert handler.handles(OrderPlaced)
    registry = ProjectionRegistry()
    registry.register(handler)
    registry.validate()
    assert set(handler.compiled(registry.event_types)) == {"OrderPlaced", "OrderNoted"}


def test_a_subclass_replaces_a_handler() -> None:
    class Other(CustomersHandler):
        @on(OrderPlaced)
        async def placed(self, event: OrderPlaced, at: ProjectionContext) -> None:
            """Count nothing."""

    assert Other().problems() == []


def test_all_mistakes_are_told_at_once() -> None:
    nothing, wrong = ProjectionHandler("nothing"), ProjectionHandler("wrong", partitions=0)
    wrong.add_handler(OrderNoted, handle)
    wrong.add_handler(OrderPlaced, takes_one)
    nameless = ProjectionHandler()
    nameless.add_handler(OrderPlaced, handle)
    twice = ProjectionHandler("twice")
    twice.add_handler(OrderPlaced, handle)
    twice.add_handler(OrderPlaced, handle_anything)
    told = problems_of(nothing, wrong, nameless, twice, CustomersHandler(), CustomersHandler())
    for expected in (
        "'nothing' handles nothing",
        "'wrong' needs at least one partition",
        "handle takes OrderPlaced, but is registered for OrderNoted",
        "_one must take two arguments",
        "ProjectionHandler needs a name",
        "'twice' handles OrderPlaced 2 times",
        "Two projections are called 'customers'",
    ):
        assert any(expected in problem for problem in told), expected
    assert len(told) == 7


def test_a_projection_that_cannot_work_is_not_made(quick_shop: Shop) -> None:
    with pytest.raises(ProjectionRegistrationError):
        quick_shop.projection(ProjectionHandler("empty"))
