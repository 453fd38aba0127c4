"""``cqrs-ddd projections`` and ``cqrs-ddd events`` on real rows."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cqrs_ddd_core import (
    DomainEvent,
    InMemoryEventStore,
    InMemoryProjectionStorage,
    InMemoryReadModel,
    InMemoryUnitOfWork,
    JsonMessageCodec,
    RetryPolicy,
    StoredEvent,
    StreamId,
)
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyProjectionStorage,
    SQLAlchemyReadModel,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
    document_table,
)
from cqrs_ddd_projections import (
    ErrorPolicy,
    Projection,
    ProjectionContext,
    ProjectionHandler,
    ProjectionSettings,
    on,
)

from .conftest import MODULE, Shop

FAST = ProjectionSettings(min_poll=0.005, max_poll=0.02, refresh=0.02)


class Placed(DomainEvent):
    amount: int


class Totals(ProjectionHandler):
    name = "totals"
    errors = ErrorPolicy.park(RetryPolicy(max_attempts=1))
    poison: int | None = 3

    @on(Placed)
    async def placed(self, event: Placed, at: ProjectionContext) -> None:
        if event.amount == self.poison:
            raise ValueError("three is too much")
        await at.write.put("last", at.stored.stream.aggregate_id, {"amount": event.amount})


def event(order: str, amount: int) -> StoredEvent:
    return StoredEvent(
        event_id=f"{order}-{amount}",
        event_type="Placed",
        stream=StreamId("Order", order),
        payload=JsonMessageCodec().encode(Placed(amount=amount)),
        occurred_at=datetime.now(UTC),
    )


def memory_events(module: ModuleType) -> Shop:
    opened = SimpleNamespace(
        event_store=InMemoryEventStore(),
        projections=InMemoryProjectionStorage(),
        read_model=InMemoryReadModel(),
        uow=InMemoryUnitOfWork,
    )
    vars(module)["opened"] = opened

    @asynccontextmanager
    async def open_shop() -> AsyncGenerator[Any]:
        yield opened

    return Shop(open_shop, ["--app", f"{MODULE}:opened"])


def sql_events(url: str) -> Shop:
    @asynccontextmanager
    async def open_shop() -> AsyncGenerator[Any]:
        engine = create_engine(url)
        factory = create_session_factory(engine)
        opened = SimpleNamespace(
            event_store=SQLAlchemyEventStore(factory),
            projections=SQLAlchemyProjectionStorage(factory),
            read_model=SQLAlchemyReadModel(factory, document_table("last")),
            uow=lambda: SQLAlchemyUnitOfWork(factory),
        )
        await create_schema(engine, opened.event_store, opened.projections)
        yield opened
        await engine.dispose()

    return Shop(open_shop, ["--database", url])


@pytest.fixture(params=["memory", "sqlite_url"])
def sourced(request: pytest.FixtureRequest, module: ModuleType) -> Shop:
    """Two orders with three events, of which a projection has parked one."""
    is_memory = request.param == "memory"
    shop = (
        memory_events(module) if is_memory else sql_events(request.getfixturevalue(request.param))
    )

    async def place(opened: Any) -> None:
        for order, amount in (("o-1", 3), ("o-2", 4), ("o-1", 5)):
            await opened.event_store.append(StreamId("Order", order), [event(order, amount)])

    shop.do(place)
    works(shop, Totals())
    return shop


def works(shop: Shop, handler: Totals) -> None:
    """Have a worker do what is to be done."""

    async def work(opened: Any) -> None:
        projection = Projection(
            handler,
            event_store=opened.event_store,
            storage=opened.projections,
            read_model=opened.read_model,
            uow_factory=opened.uow,
            settings=FAST,
        )

        async def is_done() -> bool:
            latest = await opened.event_store.latest_position()
            found = await opened.projections.status("totals")
            is_alone = len(found) == 1 and found[0].position == latest
            return is_alone and not found[0].retrying

        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(projection.worker().run(stopping))
            await until(is_done, timeout=60)
            stopping.set()

    shop.do(work)


def data_of(shop: Shop, *arguments: str) -> dict[str, Any]:
    result = shop.run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_status_shows_how_far_a_projection_is_and_what_is_wrong(sourced: Shop) -> None:
    data = data_of(sourced, "projections", "status")
    (totals,) = data["projections"]
    assert (totals["projection"], totals["version"], totals["state"]) == ("totals", 1, "live")
    assert (totals["position"], totals["lag"], totals["parked"], totals["waiting"]) == (3, 0, 1, 2)
    assert ["parked key" in trouble for trouble in data["troubles"]] == [True]
    assert sourced.run("projections", "status", "totals", "--check").exit_code == 1
    people = sourced.run("projections", "status").stdout
    assert "totals v1" in people
    assert "live" in people


def test_parked_keys_are_listed_and_retried(sourced: Shop) -> None:
    (parked,) = data_of(sourced, "projections", "parked", "totals")["parked"]
    assert (parked["key"], parked["position"], parked["behind"]) == ("Order/o-1", 1, 1)
    assert parked["error"] == "Placed of Order/o-1 at 1: ValueError: three is too much"
    assert "three is too much" in sourced.run("projections", "parked").stdout
    assert data_of(sourced, "projections", "retry", "totals", "Order/o-1") == {"retried": 1}
    mended = Totals()
    mended.poison = None
    works(sourced, mended)
    assert data_of(sourced, "projections", "parked") == {"parked": []}
    assert sourced.run("projections", "retry", "totals", "Order/o-9").exit_code == 1
    assert sourced.run("projections", "retry", "totals").exit_code == 2


def test_a_projection_is_paused_and_resumed(sourced: Shop) -> None:
    assert data_of(sourced, "projections", "pause", "totals") == {"paused": "totals"}
    assert data_of(sourced, "projections", "status")["projections"][0]["paused"]
    assert sourced.run("projections", "resume", "totals").stdout == "totals is resumed.\n"
    assert not data_of(sourced, "projections", "status")["projections"][0]["paused"]


def test_a_rebuild_is_begun_and_its_progress_shown(sourced: Shop) -> None:
    data = data_of(sourced, "projections", "rebuild", "totals")
    assert data == {"projection": "totals", "version": 2, "live": False}
    states = [
        (each["version"], each["state"], each["lag"])
        for each in data_of(sourced, "projections", "status", "totals")["projections"]
    ]
    assert states == [(1, "live", 0), (2, "building", 3)]
    works(sourced, Totals())
    (left,) = data_of(sourced, "projections", "status")["projections"]
    assert (left["version"], left["state"]) == (2, "live")
    assert sourced.run("projections", "rebuild", "totals", "--abandon").exit_code == 1


@pytest.mark.parametrize("command", ["status", "rebuild", "pause", "resume"])
def test_what_never_ran_is_said_to_be_unknown(sourced: Shop, command: str) -> None:
    result = sourced.run("projections", command, "nobody")
    assert result.exit_code == 1
    assert "There is no projection 'nobody'" in result.stderr


def test_tail_shows_the_last_events(sourced: Shop) -> None:
    result = sourced.run("events", "tail", "-n", "2", "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["position"], each["stream"]) for each in found] == [
        (2, "Order/o-2"),
        (3, "Order/o-1"),
    ]
    assert found[1]["payload"]["amount"] == 5
    assert "Order/o-1 v2  Placed" in sourced.run("events", "tail").stdout
    assert sourced.run("events", "tail", "--type", "Other").stdout == "There are no such events.\n"


def test_show_prints_a_stream(sourced: Shop) -> None:
    result = sourced.run("events", "show", "Order/o-1", "--json")
    versions = [json.loads(line)["version"] for line in result.stdout.splitlines()]
    assert versions == [1, 2]
    assert sourced.run("events", "show", "Order/o-9").exit_code == 1
    assert sourced.run("events", "show", "o-9").exit_code == 2


def test_stats_count_types_and_streams(sourced: Shop) -> None:
    data = data_of(sourced, "events", "stats")
    assert (data["latest_position"], data["counted"], data["streams"]) == (3, 3, 2)
    assert data["types"] == {"Placed": 3}
    assert "The feed ends at position 3." in sourced.run("events", "stats").stdout
    assert data_of(sourced, "events", "stats", "--last", "1")["counted"] == 1
