"""The log of messages: one line each, with ids, seconds and outcome, never the payload."""

import logging
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    ConcurrencyError,
    CorrelationIdPropagator,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryUnitOfWork,
    LoggingMiddleware,
    Mediator,
    MiddlewareRegistry,
    Query,
    repository,
    use_clock,
)
from cqrs_ddd_core.testing import ManualClock


class Item(AggregateRoot[str]):
    pass


class ItemUnitOfWork(InMemoryUnitOfWork):
    items = repository(Item)


class Add(Command[None]):
    secret: str = "hidden"
    fail: bool = False


class Look(Query[int]):
    pass


clock = ManualClock()


def mediator_with(*middlewares: object) -> Mediator:
    database, registry = InMemoryDatabase(), HandlerRegistry()

    async def add(command: Add, uow: ItemUnitOfWork) -> None:
        clock.advance(1.5)
        if command.fail:
            raise LookupError(command.secret)
        await uow.items.add(Item(id="i-1"))

    async def look(query: Look) -> int:
        return 1

    registry.register_command_handler(Add, add)
    registry.register_query_handler(Look, look)
    return Mediator(
        registry,
        lambda: ItemUnitOfWork(database),
        middleware_registry=MiddlewareRegistry(middlewares),
    )


def details_of(record: logging.LogRecord) -> dict[str, Any]:
    names = ("message_type", "message_id", "correlation_id", "seconds", "outcome")
    return {name: getattr(record, name) for name in names}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "cqrs_ddd")
    return caplog


async def test_a_success_is_one_line_with_its_ids_and_seconds(
    log: pytest.LogCaptureFixture,
) -> None:
    mediator = mediator_with(CorrelationIdPropagator(), LoggingMiddleware())
    command = Add()
    with use_clock(clock):
        await mediator.send(command)
    (line,) = log.records
    assert line.levelno == logging.INFO
    assert line.getMessage() == "Add succeeded in 1.500000 s"
    assert details_of(line) == {
        "message_type": "Add",
        "message_id": command.command_id,
        "correlation_id": command.command_id,
        "seconds": 1.5,
        "outcome": "succeeded",
    }


async def test_a_query_is_logged_with_its_own_id(log: pytest.LogCaptureFixture) -> None:
    query = Look(correlation_id="request-7")
    await mediator_with(LoggingMiddleware()).query(query)
    details = details_of(log.records[0])
    assert (details["message_id"], details["correlation_id"]) == (query.query_id, "request-7")


async def test_a_failure_is_a_warning_that_names_the_error(
    log: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(LookupError):
        await mediator_with(LoggingMiddleware()).send(Add(fail=True))
    (line,) = log.records
    assert (line.levelno, details_of(line)["outcome"]) == (logging.WARNING, "LookupError")


async def test_a_failed_commit_is_logged_as_a_failure(log: pytest.LogCaptureFixture) -> None:
    mediator = mediator_with(LoggingMiddleware())
    await mediator.send(Add())
    with pytest.raises(ConcurrencyError):
        await mediator.send(Add())
    outcomes = [details_of(line)["outcome"] for line in log.records]
    assert outcomes == ["succeeded", "ConcurrencyError"]


async def test_the_payload_is_never_logged(
    log: pytest.LogCaptureFixture,
) -> None:
    mediator = mediator_with(LoggingMiddleware())
    await mediator.send(Add())
    with pytest.raises(LookupError):
        await mediator.send(Add(fail=True))
    assert "hidden" not in log.text
    assert all("hidden" not in str(vars(line)) for line in log.records)


async def test_logger_and_level_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("shop.audit")
    caplog.set_level(logging.DEBUG, "shop.audit")
    mediator = mediator_with(LoggingMiddleware(logger, level=logging.DEBUG))
    await mediator.query(Look())
    (line,) = caplog.records
    assert (line.name, line.levelno) == ("shop.audit", logging.DEBUG)


async def test_a_success_below_the_level_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "cqrs_ddd")
    await mediator_with(LoggingMiddleware()).query(Look())
    assert caplog.records == []
