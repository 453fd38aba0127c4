"""Commands, queries and events through a mediator, as the documentation writes them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cqrs_ddd_core import (
    CommandHandler,
    CommandResponse,
    HandlerRegistry,
    InMemoryRepository,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    ValidationError,
    get_current_uow,
)
from cqrs_ddd_core.middleware import LoggingMiddleware, ValidatorMiddleware
from tests.readme.conftest import UowFactory
from tests.readme.library import (
    BorrowCommand,
    Card,
    CardClosed,
    CardDTO,
    CardIssued,
    CloseCardCommand,
    CountTitlesHandler,
    FarewellHandler,
    Fee,
    GetCardQuery,
    IssueCardCommand,
    IssueCardHandler,
    ListCardsQuery,
    TitleBorrowed,
    library_registry,
)

CLOSING = datetime(2026, 3, 1, 18)  # noqa: DTZ001 - a user's clock gives naive times
ISSUE = IssueCardCommand(card_id="card-1", reader="Ada")


def mediator_for(uow_factory: UowFactory, registry: HandlerRegistry | None = None) -> Mediator:
    return Mediator(registry=registry or library_registry(), uow_factory=uow_factory)


class Letters:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []

    async def send(self, *, to: str, subject: str, body: str) -> None:
        self.sent.append((to, subject, body))


async def test_a_command_gives_its_result_and_its_events(uow_factory: UowFactory) -> None:
    response = await mediator_for(uow_factory).send(ISSUE)
    assert response.result == "card-1"
    assert [type(event) for event in response.events] == [CardIssued]
    assert response.events[0].owed == Fee(amount=0.0)
    assert response.success
    assert response.events[0].causation_id == ISSUE.command_id


async def test_aggregates_are_loaded_changed_and_stored(uow_factory: UowFactory) -> None:
    mediator = mediator_for(uow_factory)
    await mediator.send(ISSUE)
    await mediator.send(BorrowCommand(card_id="card-1", title="Emma", fee=0.5))
    await mediator.send(BorrowCommand(card_id="card-1", title="Dune", fee=0.25))
    await mediator.send(CloseCardCommand(card_id="card-1", at=CLOSING))
    expected = CardDTO(card_id="card-1", reader="Ada", owed=0.75, status="closed", loans=2)
    assert (await mediator.send(GetCardQuery(card_id="card-1"))).result == expected
    assert (await mediator.query(GetCardQuery(card_id="card-1"))).result == expected
    async with uow_factory() as uow:
        assert (await uow.cards.require("card-1")).version == 4


async def test_a_query_handler_has_the_unit_of_work_and_answers_none_where_there_is_nothing(
    uow_factory: UowFactory,
) -> None:
    assert (await mediator_for(uow_factory).send(GetCardQuery(card_id="card-9"))).result is None


async def test_a_query_without_any_condition_lists_everything(uow_factory: UowFactory) -> None:
    mediator = mediator_for(uow_factory)
    for number, reader in enumerate(["Ada", "Bea", "Ada"]):
        await mediator.send(IssueCardCommand(card_id=f"card-{number}", reader=reader))
    everything = (await mediator.send(ListCardsQuery())).result
    assert sorted(card.card_id for card in everything) == ["card-0", "card-1", "card-2"]
    of_ada = (await mediator.send(ListCardsQuery(reader="Ada", status="open", limit=1))).result
    assert [card.reader for card in of_ada] == ["Ada"]


async def test_a_rule_that_refuses_undoes_the_command(uow_factory: UowFactory) -> None:
    mediator = mediator_for(uow_factory)
    await mediator.send(ISSUE)
    with pytest.raises(ValueError, match="never used"):
        await mediator.send(CloseCardCommand(card_id="card-1", at=CLOSING))
    with pytest.raises(ValueError, match="already exists"):
        await mediator.send(ISSUE)
    found = (await mediator.send(GetCardQuery(card_id="card-1"))).result
    assert found is not None
    assert found.status == "open"


async def test_event_handlers_run_when_a_response_carries_their_event(
    uow_factory: UowFactory,
) -> None:
    registry, letters, counts = library_registry(), Letters(), dict[str, int]()
    registry.register_event_handler(CardClosed, FarewellHandler(letters))
    registry.register_event_handler(TitleBorrowed, CountTitlesHandler(counts))
    mediator = mediator_for(uow_factory, registry)
    await mediator.send(ISSUE)
    await mediator.send(BorrowCommand(card_id="card-1", title="Emma"))
    await mediator.send(BorrowCommand(card_id="card-1", title="Emma"))
    await mediator.send(CloseCardCommand(card_id="card-1", at=CLOSING))
    assert counts == {"Emma": 2}
    assert letters.sent == [("card-1", "Farewell", str(CLOSING.replace(tzinfo=UTC)))]


async def test_a_middleware_registry_takes_a_list(
    uow_factory: UowFactory, caplog: pytest.LogCaptureFixture
) -> None:
    mediator = Mediator(
        registry=library_registry(),
        uow_factory=uow_factory,
        middleware_registry=MiddlewareRegistry([LoggingMiddleware(), ValidatorMiddleware()]),
    )
    with caplog.at_level("INFO"):
        await mediator.send(ISSUE)
    assert "IssueCardCommand succeeded" in caplog.text
    invalid: Any = IssueCardCommand.model_construct(card_id=None, reader="Ada")
    with pytest.raises(ValidationError, match="card_id"):
        await mediator.send(invalid)


async def test_handlers_are_registered_as_instances_classes_or_functions(
    uow_factory: UowFactory,
) -> None:
    async def issue(cmd: IssueCardCommand) -> CommandResponse[str]:
        return await IssueCardHandler().handle(cmd)

    for handler in (IssueCardHandler(), IssueCardHandler, issue):
        registry = HandlerRegistry()
        registry.register_command_handler(IssueCardCommand, handler)
        card_id = f"card-{type(handler).__name__}"
        command = IssueCardCommand(card_id=card_id, reader="Ada")
        assert (await mediator_for(uow_factory, registry).send(command)).result == card_id


async def test_a_unit_of_work_without_the_repository_says_which_is_missing() -> None:
    mediator = Mediator(
        registry=library_registry(),
        uow_factory=lambda: InMemoryUnitOfWork(),  # noqa: PLW0108 - as the documentation has it
    )
    with pytest.raises(
        AttributeError, match="'InMemoryUnitOfWork' object has no attribute 'cards'"
    ):
        await mediator.send(ISSUE)


class IssueWithRepository(CommandHandler[str]):
    """Takes its repository by the constructor, for a test without mediator and database."""

    def __init__(self, cards: InMemoryRepository[Card, str]) -> None:
        self.cards = cards

    async def handle(self, cmd: IssueCardCommand) -> CommandResponse[str]:
        card = Card.create(cmd.card_id, cmd.reader)
        await self.cards.add(card)
        return CommandResponse(result=card.id, events=card.clear_events())


async def test_a_handler_is_tested_with_a_repository_in_memory() -> None:
    repo = InMemoryRepository[Card, str]()
    uow = InMemoryUnitOfWork()
    handler = IssueWithRepository(repo)
    result = await handler.handle(ISSUE)
    assert (result.result, len(result.events)) == ("card-1", 1)
    assert await repo.get("card-1") is not None
    assert not uow.committed


async def test_there_is_a_current_unit_of_work_while_a_message_is_handled(
    uow_factory: UowFactory,
) -> None:
    seen: list[object] = []

    class Look(IssueCardHandler):
        async def handle(self, cmd: IssueCardCommand) -> CommandResponse[str]:
            seen.append(get_current_uow())
            return await super().handle(cmd)

    registry = HandlerRegistry()
    registry.register_command_handler(IssueCardCommand, Look())
    opened: list[object] = []

    def opening() -> Any:
        opened.append(uow_factory())
        return opened[-1]

    await mediator_for(opening, registry).send(ISSUE)
    assert seen == opened
