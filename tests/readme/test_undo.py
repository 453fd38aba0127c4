"""Undo and redo, called as it is documented."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from cqrs_ddd_advanced_core.undo import UndoExecutor, UndoRegistry, UndoService, UndoStatusError
from cqrs_ddd_core import MiddlewareRegistry, get_current_uow
from cqrs_ddd_core.cqrs import Command, Mediator
from cqrs_ddd_core.middleware import EventStorePersistenceMiddleware
from cqrs_ddd_core.ports import IEventStore
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyUndoTokenRepository,
    create_engine,
    create_schema,
    create_session_factory,
)
from tests.readme.library import (
    BorrowCommand,
    GetCardQuery,
    IssueCardCommand,
    LibraryOnSql,
    TitleBorrowed,
    library_registry,
)


class GiveBackCommand(Command[None]):
    card_id: str
    title: str


async def give_back(cmd: GiveBackCommand) -> None:
    card = await get_current_uow().cards.get(cmd.card_id)
    card.loans = [loan for loan in card.loans if loan.title != cmd.title]


class Library(NamedTuple):
    mediator: Mediator
    event_store: IEventStore
    undo_service: UndoService

    async def loans(self) -> int:
        """How many books reader Ada has."""
        card = (await self.mediator.query(GetCardQuery(card_id="card-1"))).result
        assert card is not None
        return card.loans


@pytest.fixture
async def library(sqlite_url: str) -> AsyncIterator[Library]:
    engine = create_engine(sqlite_url)
    session_factory = create_session_factory(engine)
    event_store = SQLAlchemyEventStore(session_factory)
    undo_token_repository = SQLAlchemyUndoTokenRepository(session_factory)
    await create_schema(engine, LibraryOnSql, event_store, undo_token_repository)
    registry = library_registry()
    registry.register_command_handler(GiveBackCommand, give_back)
    mediator = Mediator(
        registry=registry,
        uow_factory=lambda: LibraryOnSql(session_factory),
        middleware_registry=MiddlewareRegistry([EventStorePersistenceMiddleware(event_store)]),
    )
    reversals = UndoRegistry()
    reversals.register(
        TitleBorrowed,
        undo=lambda event: GiveBackCommand(card_id=event.card_id, title=event.title),
        redo=lambda event: BorrowCommand(card_id=event.card_id, title=event.title),
    )
    undo_service = UndoService(
        event_store=event_store, repository=undo_token_repository, registry=reversals
    )
    yield Library(mediator, event_store, undo_service)
    await engine.dispose()


async def test_a_token_undoes_and_redoes_what_a_command_did(library: Library) -> None:
    await library.mediator.send(IssueCardCommand(card_id="card-1", reader="Ada"))
    response = await library.mediator.send(BorrowCommand(card_id="card-1", title="Emma"))
    undo_token = await library.undo_service.create_token(
        aggregate_id="card-1", aggregate_type="Card", events=response.events
    )
    executor = UndoExecutor(library.mediator, library.event_store)
    await executor.undo(undo_token.token_id)
    assert await library.loans() == 0
    with pytest.raises(UndoStatusError):
        await executor.undo(undo_token.token_id)
    await UndoExecutor(library.mediator, library.event_store).redo(undo_token.token_id)
    assert await library.loans() == 1
