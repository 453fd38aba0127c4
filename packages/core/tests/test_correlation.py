"""Conversations: the ids that join what follows from one request, and never leak to the next."""

import asyncio

import pytest

from cqrs_ddd_core import (
    Command,
    CommandResponse,
    CorrelationIdPropagator,
    DomainEvent,
    EventPhase,
    HandlerRegistry,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    Query,
    get_causation_id,
    get_correlation_id,
    with_correlation_context,
)


class Ask(Command[tuple[str | None, str | None]]):
    fail: bool = False


class AskQuery(Query[str | None]):
    pass


class Asked(DomainEvent):
    pass


async def ask(command: Ask) -> CommandResponse[tuple[str | None, str | None]]:
    if command.fail:
        raise ValueError("refused")
    ids = (get_correlation_id(), get_causation_id())
    return CommandResponse(ids, events=[Asked()])


async def ask_query(query: AskQuery) -> str | None:
    return get_correlation_id()


def mediator_with(registry: HandlerRegistry, *middlewares: object) -> Mediator:
    registry.register_command_handler(Ask, ask)
    registry.register_query_handler(AskQuery, ask_query)
    return Mediator(
        registry, InMemoryUnitOfWork, middleware_registry=MiddlewareRegistry(middlewares)
    )


@pytest.fixture
def mediator() -> Mediator:
    return mediator_with(HandlerRegistry())


async def test_a_root_command_begins_a_conversation_under_its_own_id(mediator: Mediator) -> None:
    command = Ask()
    response = await mediator.send(command)
    assert response.result == (command.command_id, command.command_id)
    assert (response.correlation_id, response.causation_id) == (command.command_id, None)


async def test_two_root_commands_of_one_task_are_two_conversations(mediator: Mediator) -> None:
    first, second = await mediator.send(Ask()), await mediator.send(Ask())
    assert first.correlation_id != second.correlation_id
    assert get_correlation_id() is None


async def test_a_command_that_failed_leaves_no_conversation_behind(mediator: Mediator) -> None:
    with pytest.raises(ValueError, match="refused"):
        await mediator.send(Ask(fail=True))
    assert (get_correlation_id(), get_causation_id()) == (None, None)
    second = Ask()
    assert (await mediator.send(second)).correlation_id == second.command_id


async def test_a_query_has_a_conversation_too(mediator: Mediator) -> None:
    query = AskQuery()
    response = await mediator.query(query)
    assert response.result == response.correlation_id == query.query_id
    assert (await mediator.query(AskQuery(correlation_id="own"))).result == "own"


async def test_a_conversation_that_began_elsewhere_goes_on(mediator: Mediator) -> None:
    with with_correlation_context("request-7", "message-3"):
        response = await mediator.send(Ask())
        again = await mediator.send(Ask())
    assert response.correlation_id == again.correlation_id == "request-7"
    assert response.causation_id == "message-3"
    (event,) = response.events
    assert event.correlation_id == "request-7"


async def test_a_command_made_before_joins_the_conversation_it_is_sent_in(
    mediator: Mediator,
) -> None:
    command = Ask()
    with with_correlation_context("request-7"):
        assert (await mediator.send(command)).correlation_id == "request-7"


async def test_the_id_a_command_carries_wins(mediator: Mediator) -> None:
    with with_correlation_context("request-7"):
        response = await mediator.send(Ask(correlation_id="own"))
        assert get_correlation_id() == "request-7"
    assert response.correlation_id == "own"


def test_a_block_brings_back_what_was_in_force_before() -> None:
    with with_correlation_context("outer", "cause"):
        with with_correlation_context("inner"):
            assert (get_correlation_id(), get_causation_id()) == ("inner", None)
        assert (get_correlation_id(), get_causation_id()) == ("outer", "cause")
    assert get_correlation_id() is None


def test_a_block_that_raises_brings_it_back_too() -> None:
    with pytest.raises(ValueError, match="refused"), with_correlation_context("request-7"):
        raise ValueError("refused")
    assert get_correlation_id() is None


async def test_blocks_of_several_tasks_do_not_see_each_other() -> None:
    both = asyncio.Barrier(2)

    async def work(correlation_id: str) -> str | None:
        with with_correlation_context(correlation_id):
            await both.wait()
            return get_correlation_id()

    assert await asyncio.gather(work("a"), work("b")) == ["a", "b"]


async def test_what_an_in_transaction_handler_sends_is_caused_by_the_event() -> None:
    registry = HandlerRegistry()
    mediator = mediator_with(registry)
    responses: list[CommandResponse[tuple[str | None, str | None]]] = []

    async def on_asked(event: Asked) -> None:
        if not responses:
            responses.append(await mediator.send(Ask()))

    registry.register_event_handler(Asked, on_asked, phase=EventPhase.IN_TRANSACTION)
    command = Ask()
    response = await mediator.send(command)
    (nested,) = responses
    assert nested.correlation_id == command.command_id
    assert nested.causation_id == response.events[0].event_id


async def test_middleware_around_the_unit_of_work_sees_the_id_behind_the_propagator() -> None:
    seen: list[str | None] = []

    class Look:
        surrounds_unit_of_work = True

        async def __call__(self, message: object, next_handler: object) -> object:
            seen.append(get_correlation_id())
            return await next_handler(message)  # type: ignore[operator]

    mediator = mediator_with(HandlerRegistry(), CorrelationIdPropagator(), Look())
    command = Ask()
    response = await mediator.send(command)
    await mediator.send(Ask(correlation_id="own"))
    with with_correlation_context("request-7"):
        await mediator.send(Ask())
    assert seen == [command.command_id, "own", "request-7"]
    assert (response.correlation_id, response.causation_id) == (command.command_id, None)
    assert get_correlation_id() is None
