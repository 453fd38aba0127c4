"""Chains of responsibility: the first link that has an answer gives it."""

from dataclasses import dataclass
from typing import Any

import pytest

from cqrs_ddd_core import (
    Command,
    CommandResponse,
    DomainEvent,
    HandlerRegistry,
    InMemoryUnitOfWork,
    Mediator,
    handler_chain,
)


class Approve(Command[str]):
    amount: int


class Checked(DomainEvent):
    by: str


@dataclass(frozen=True)
class Seen:
    what: str


class Clerk:
    async def handle(self, command: Approve, pass_on: Any) -> CommandResponse[str]:
        if command.amount < 100:
            return CommandResponse("clerk", events=[Checked(by="clerk")])
        response = await pass_on(command)
        return CommandResponse(response.result, events=[Checked(by="clerk"), *response.events])


async def manager(command: Approve, pass_on: Any) -> Any:
    if command.amount < 1000:
        return CommandResponse("manager", events=[Checked(by="manager")])
    return await pass_on(command)


async def director(command: Approve, pass_on: Any) -> str | None:
    return "director" if command.amount < 10_000 else None


@pytest.mark.parametrize(
    ("amount", "answer", "checks"),
    [
        (50, "clerk", ["clerk"]),
        (500, "manager", ["clerk", "manager"]),
    ],
)
async def test_the_first_link_with_an_answer_gives_it_and_all_events_are_delivered(
    amount: int, answer: str, checks: list[str]
) -> None:
    handled: list[str] = []

    async def on_checked(event: Checked) -> None:
        handled.append(event.by)

    registry = HandlerRegistry()
    registry.register_command_handler(Approve, handler_chain(Clerk(), manager))
    registry.register_event_handler(Checked, on_checked)
    response = await Mediator(registry, InMemoryUnitOfWork).send(Approve(amount=amount))
    assert response.result == answer
    assert sorted(handled) == checks


async def test_when_nobody_answers_the_result_is_none() -> None:
    response = await handler_chain(manager, director).handle(Approve(amount=99_999))
    assert (response.result, response.events) == (None, [])


async def test_a_link_may_answer_with_a_plain_value() -> None:
    assert (
        await handler_chain(manager, director).handle(Approve(amount=5000))
    ).result == "director"


async def test_a_link_may_pass_on_another_command() -> None:
    async def discount(command: Approve, pass_on: Any) -> Any:
        return await pass_on(command.model_copy(update={"amount": command.amount // 2}))

    response = await handler_chain(discount, manager).handle(Approve(amount=1500))
    assert response.result == "manager"


async def test_the_last_link_that_passes_on_gets_none() -> None:
    async def hopeful(command: Approve, pass_on: Any) -> str:
        return f"the rest said {await pass_on(command)}"

    response = await handler_chain(hopeful).handle(Approve(amount=1))
    assert response.result == "the rest said None"


async def test_equal_events_of_two_links_are_two_events() -> None:
    async def inner(command: Approve, pass_on: Any) -> CommandResponse[str]:
        return CommandResponse("done", events=[Seen("it")])

    async def outer(command: Approve, pass_on: Any) -> CommandResponse[str]:
        response = await pass_on(command)
        return CommandResponse(response.result, events=[Seen("it")])

    response = await handler_chain(outer, inner).handle(Approve(amount=1))
    assert response.events == [Seen("it"), Seen("it")]


async def test_a_chain_can_be_a_link() -> None:
    inner = handler_chain(Clerk())

    async def as_link(command: Approve, pass_on: Any) -> Any:
        response = await inner.handle(command)
        return response if response.result is not None else await pass_on(command)

    assert (await handler_chain(as_link, manager).handle(Approve(amount=5))).result == "clerk"


@pytest.mark.parametrize("links", [(), (object(),), (manager, "director")])
def test_a_chain_of_nothing_or_of_something_else_is_refused(links: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="at least one link"):
        handler_chain(*links)


def test_a_chain_names_its_links() -> None:
    assert handler_chain(Clerk(), manager).names == ("Clerk", "manager")
