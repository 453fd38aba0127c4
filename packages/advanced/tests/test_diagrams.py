"""Sagas of every kind are drawn, and Mermaid itself reads them."""

from dataclasses import dataclass
from typing import Any

import pytest

from cqrs_ddd_advanced_core.orchestration import (
    Fallback,
    Orchestration,
    ParallelSteps,
    PivotStep,
    RetriableStep,
    Step,
    StepFunctions,
)
from cqrs_ddd_advanced_core.sagas import SagaBuilder
from cqrs_ddd_advanced_core.tcc import TCC, TCCStep
from cqrs_ddd_core import Command, DomainEvent
from tests.mermaid import drawn

KINDS = ("sequence", "state", "class")


class Placed(DomainEvent):
    order_id: str


class Reserved(Placed):
    pass


class Paid(Placed):
    pass


class Held(Placed):
    pass


class Overdue(Placed):
    pass


class Do(Command[None]):
    order_id: str


def do(event: Placed) -> Do:
    return Do(order_id=event.order_id)


FULFILMENT = (
    SagaBuilder("fulfilment: of <orders>")
    .on(Placed, send=do, step="reserving", compensate=do, compensate_description="goods back")
    .on(Reserved, send_all=lambda event: [do(event)], step="charging", compensate=do)
    .on(Held, suspend="a person looks", suspend_timeout=60)
    .on(Overdue, fail="not paid; in time")
    .on(Paid, send=do, step="confirming", complete=True)
    .build()
)


@dataclass
class Trip:
    seat: str = ""


async def act(trip: Trip, call: Any) -> None: ...


BOTH = StepFunctions(act, act)
TRIP = Orchestration(
    "trip",
    Trip,
    [
        Step("room", BOTH),
        ParallelSteps(Step("flight", BOTH), Step("car [small]", BOTH)),
        Step("guide", Fallback(BOTH, BOTH, failures=(ConnectionError,))),
        PivotStep("pay", BOTH),
        RetriableStep("tickets", StepFunctions(act)),
    ],
)
RESERVATION = TCC(
    "reservation",
    Trip,
    [TCCStep(name, try_=act, confirm=act, cancel=act, timeout=60) for name in ("hotel", "bus")],
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("saga", [FULFILMENT, TRIP, RESERVATION], ids=["events", "steps", "tcc"])
def test_mermaid_draws_it(saga: Any, kind: Any) -> None:
    assert "<svg" in drawn(saga.to_mermaid(kind))


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def named(text: str) -> str:
    """The diagram with the names of its states in place of their ids."""
    names: dict[str, str] = {}
    for line in lines(text):
        if line.startswith("state "):
            label, name = line.removeprefix("state ").split(" as ")
            names[name] = label.strip('"')
    return "\n".join(
        " ".join(names.get(word, word) for word in line.split())
        for line in lines(text)
        if "-->" in line
    )


def test_a_saga_of_events_shows_which_event_leads_where() -> None:
    assert named(FULFILMENT.to_mermaid()).splitlines()[:4] == [
        "[*] --> reserving : Placed",
        "reserving --> undoing what was done : fails",
        "reserving --> charging : Reserved",
        "charging --> undoing what was done : fails",
    ]
    assert "charging --> confirming : Paid" in named(FULFILMENT.to_mermaid())
    assert "confirming --> [*]" in named(FULFILMENT.to_mermaid())


def test_an_orchestration_shows_the_way_there_and_back() -> None:
    states = named(TRIP.to_mermaid("state")).splitlines()
    assert "act room --> act flight" in states
    assert "act flight --> act guide" in states
    assert "act guide --> compensate guide : fails" in states
    assert "compensate guide --> compensate car #91;small#93;" in states
    assert "act tickets --> [*]" in states
    assert not [state for state in states if "compensate tickets" in state]
    assert not [state for state in states if "act tickets --> compensate" in state]


def test_parallel_steps_and_fallbacks_are_seen() -> None:
    sequence = TRIP.to_mermaid("sequence")
    for text in ("par flight", "and car", "act (fallback)", "nothing is undone", "ConnectionError"):
        assert text in sequence
    assert TRIP.to_mermaid() == sequence


def test_a_tcc_tries_confirms_and_cancels() -> None:
    messages = [line.split(": ")[1] for line in lines(RESERVATION.to_mermaid()) if ">>" in line]
    assert messages == ["try", "try", "confirm", "confirm", "cancel", "cancel"]
