"""Events that go to the outbox in the transaction of their command."""

import json

import pytest

from cqrs_ddd_core import Mediator, MiddlewareRegistry
from cqrs_ddd_core.middleware import OutboxMiddleware
from cqrs_ddd_core.ports import IOutboxStorage
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
)
from tests.readme.library import IssueCardCommand, LibraryOnSql, library_registry


async def test_events_are_in_the_outbox_if_and_only_if_their_command_commits(
    sqlite_url: str,
) -> None:
    engine = create_engine(sqlite_url)
    session_factory = create_session_factory(engine)
    storage = SQLAlchemyOutboxStorage(session_factory)
    await create_schema(engine, LibraryOnSql, storage)
    middleware_registry = MiddlewareRegistry()
    middleware_registry.register(OutboxMiddleware(storage), priority=20)
    mediator = Mediator(
        registry=library_registry(),
        uow_factory=lambda: LibraryOnSql(session_factory),
        middleware_registry=middleware_registry,
    )
    command = IssueCardCommand(card_id="card-1", reader="Ada")
    response = await mediator.send(command)
    with pytest.raises(ValueError, match="already exists"):
        await mediator.send(command)
    (message,) = await storage.get_pending()
    assert message.message_id == response.events[0].event_id
    assert (message.event_type, message.causation_id) == ("CardIssued", command.command_id)
    assert json.loads(message.payload)["owed"] == {"amount": 0.0, "currency": "EUR"}
    assert isinstance(storage, IOutboxStorage)
    await engine.dispose()


async def test_a_unit_of_work_is_made_with_a_session_factory(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    async with SQLAlchemyUnitOfWork(create_session_factory(engine)) as uow:
        assert uow.engine is engine
    await engine.dispose()
