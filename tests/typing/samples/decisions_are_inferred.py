"""The state of a decision is what its view says, also where views are combined."""

from dataclasses import dataclass
from typing import assert_type

from cqrs_ddd_advanced_core import (
    Decision,
    DecisionModel,
    DecisionRepository,
    StateView,
    combine_views,
)
from cqrs_ddd_core import Command, DomainEvent, EventQuery


class Subscribed(DomainEvent):
    student_id: str


class Subscribe(Command[None]):
    student_id: str


@dataclass(frozen=True)
class Seat:
    taken: int
    title: str | None


def taken() -> StateView[int]:
    query = EventQuery.of(types=[Subscribed], tags=["course:c-1"])
    return StateView(query, 0, lambda number, _: number + 1)


def title() -> StateView[str | None]:
    return StateView(EventQuery.of(tags=["course:c-1"]), None, lambda _, event: event.title)


def seat(_: Subscribe) -> StateView[Seat]:
    return combine_views(Seat, taken(), title())


def subscribe(command: Subscribe, seat: Seat) -> list[Subscribed]:
    return [Subscribed(student_id=command.student_id)] if seat.taken < 3 else []


async def decide(decisions: DecisionRepository) -> None:
    decision = await decisions.load(taken())
    assert_type(decision, Decision[int])
    assert_type(decision.state, int)
    model = DecisionModel(view=seat, decide=subscribe)
    assert_type(model, DecisionModel[Subscribe, Seat, Subscribed])
    events = await decisions.execute(model, Subscribe(student_id="s-1"))
    assert_type(events, list[Subscribed])
