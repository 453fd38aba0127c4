"""Every event store does what a small model does, whatever is asked of it in whatever order."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,  # pyright: ignore[reportUnknownVariableType]
)
from sqlalchemy import delete

from cqrs_ddd_core import (
    ConcurrencyError,
    ExpectedVersion,
    InMemoryEventStore,
    InMemoryUnitOfWork,
    ITaggedEventStore,
    StoredEvent,
    StreamAppend,
    StreamId,
    UnitOfWork,
    utc_now,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyUnitOfWork,
    create_schema,
)

from .conftest import DATABASES, opened

FACTOR = int(os.environ.get("CQRS_MODEL_FACTOR", "1"))  # for a long run
STREAMS = [StreamId("A", "1"), StreamId("A", "2"), StreamId("B", "1"), StreamId("A", "1", "t")]


@dataclass
class Model:
    """What an event store is: lists of ids."""

    streams: dict[StreamId, list[str]] = field(
        default_factory=lambda: {stream: list[str]() for stream in STREAMS}
    )

    def copy(self) -> "Model":
        return Model({stream: list(ids) for stream, ids in self.streams.items()})

    def accepts(self, stream: StreamId, ids: list[str], expected: int) -> bool:
        """Append, if the stream is as expected or these very events stand there already."""
        known = self.streams[stream]
        if expected >= 0:
            stands = known[expected : expected + len(ids)] == ids
            fits = len(known) == expected
        else:
            stands = [i for i in known if i in ids] == ids
            fits = not set(ids) & set(known)
            fits = fits and (bool(known) or expected != ExpectedVersion.STREAM_EXISTS)
        if fits and not stands:
            known += ids
        return fits or stands


@dataclass
class World:
    """A store under test."""

    store: ITaggedEventStore
    uow: Callable[[], UnitOfWork]
    empty: Callable[[], Any]
    runner: asyncio.Runner


# Of an append: the stream, how many events, off by how much, or no version, or one's own again.
APPEND = st.tuples(
    st.sampled_from(STREAMS),
    st.integers(1, 3),
    st.sampled_from([0, 0, 0, 0, 1, -1, "any", "any", "exists", "none", "again"]),
)


class Machine(RuleBasedStateMachine):
    """Appends and reads in every way, on a store and on the model."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.model, self.number = Model(), 0
        self.feed: list[str] = []
        self.earlier: list[tuple[StreamId, list[str], int]] = []
        self.world.runner.run(self.world.empty())

    def planned(self, append: Any, model: Model) -> tuple[StreamId, list[str], int]:
        """Return stream, ids and expected version."""
        stream, size, kind = cast("tuple[StreamId, int, Any]", append)
        if kind == "again" and self.earlier:
            return self.earlier[-min(size, len(self.earlier))]
        ids = [f"e-{self.number + n}" for n in range(size)]
        self.number += size
        version = len(model.streams[stream])
        expected = {
            "any": ExpectedVersion.ANY,
            "again": ExpectedVersion.ANY,
            "exists": ExpectedVersion.STREAM_EXISTS,
            "none": ExpectedVersion.NO_STREAM,
        }.get(kind)
        planned = stream, ids, max(version + int(kind), 0) if expected is None else int(expected)
        self.earlier.append(planned)
        return planned

    @rule(append=APPEND)
    def append_alone(self, append: Any) -> None:
        stream, ids, expected = self.planned(append, self.model)

        async def run() -> None:
            if self.model.accepts(stream, ids, expected):
                version = await self.world.store.append(stream, events(stream, ids), expected)
                assert expected >= 0 or version == len(self.model.streams[stream])
            else:
                with pytest.raises(ConcurrencyError):
                    await self.world.store.append(stream, events(stream, ids), expected)

        self.world.runner.run(run())

    @rule(appends=st.lists(APPEND, min_size=1, max_size=4))
    def append_to_many(self, appends: list[Any]) -> None:
        model = self.model.copy()
        planned = [self.planned(append, model) for append in appends]
        accepted = all([model.accepts(*plan) for plan in planned])  # noqa: C419 - all of them

        async def run() -> None:
            many = [
                StreamAppend(stream, events(stream, ids), expected)
                for stream, ids, expected in planned
            ]
            if accepted:
                await self.world.store.append_many(many)
            else:
                with pytest.raises(ConcurrencyError):
                    await self.world.store.append_many(many)

        self.world.runner.run(run())
        self.model = model if accepted else self.model

    @rule(
        appends=st.lists(st.tuples(APPEND, st.booleans()), min_size=1, max_size=4),
        outcome=st.sampled_from(["commit", "commit", "rollback", "savepoint"]),
    )
    def in_a_unit_of_work(  # noqa: C901 - a model of nested blocks
        self, appends: list[tuple[Any, bool]], outcome: str
    ) -> None:
        model, refused = self.model.copy(), False

        async def fill(uow: UnitOfWork) -> None:
            """Append one after another, up to one that is refused."""
            nonlocal refused
            for append, flushes in appends:
                stream, ids, expected = self.planned(append, model)
                refused = not model.accepts(stream, ids, expected)
                await self.world.store.append(stream, events(stream, ids), expected, uow)
                if refused:
                    await uow.flush()
                    pytest.fail("What the model refuses was accepted.")
                if flushes:
                    assert await self.ids_of(stream) == model.streams[stream]

        async def run() -> None:
            async with self.world.uow() as uow:
                if outcome == "savepoint":
                    async with uow.savepoint():
                        await fill(uow)
                        raise _OnPurposeError
                await fill(uow)
                if outcome == "rollback":
                    await uow.rollback()

        try:
            self.world.runner.run(run())
        except _OnPurposeError:
            return
        except ConcurrencyError:
            assert refused, "What the model accepts was refused."
            return
        if outcome == "commit":
            self.model = model

    async def ids_of(self, stream: StreamId) -> list[str]:
        return [event.event_id async for event in self.world.store.read_stream(stream)]

    @rule(
        stream=st.sampled_from(STREAMS),
        after=st.integers(0, 6),
        before=st.one_of(st.none(), st.integers(0, 9)),
        backwards=st.booleans(),
    )
    def read(self, stream: StreamId, after: int, before: int | None, backwards: bool) -> None:
        async def run() -> list[tuple[int, str]]:
            found = self.world.store.read_stream(
                stream, after_version=after, before_version=before, backwards=backwards
            )
            return [(event.version, event.event_id) async for event in found]

        expected = [
            (version, event_id)
            for version, event_id in enumerate(self.model.streams[stream], start=1)
            if version > after and (before is None or version < before)
        ]
        assert self.world.runner.run(run()) == (expected[::-1] if backwards else expected)

    @invariant()
    def the_feed_goes_on_where_it_was(self) -> None:
        async def run() -> list[StoredEvent]:
            page = await self.world.store.read_feed(after_position=len(self.feed))
            assert page.position == await self.world.store.latest_position()
            return list(page.events)

        new = self.world.runner.run(run())
        start = len(self.feed) + 1
        self.feed += [event.event_id for event in new]
        assert [event.position for event in new] == list(range(start, len(self.feed) + 1))
        stored = [event_id for ids in self.model.streams.values() for event_id in ids]
        assert sorted(self.feed) == sorted(stored)
        order = {event_id: place for place, event_id in enumerate(self.feed)}
        for ids in self.model.streams.values():
            assert sorted(ids, key=order.__getitem__) == ids


class _OnPurposeError(Exception):
    """Undoes a savepoint."""


def events(stream: StreamId, ids: list[str]) -> list[StoredEvent]:
    now = utc_now()
    return [
        StoredEvent(
            event_id=event_id, event_type="E", stream=stream, payload=b"{}", occurred_at=now
        )
        for event_id in ids
    ]


def check(machine: type[RuleBasedStateMachine], world: World, examples: int) -> None:
    """Run ``machine``, a state machine with a ``world``, on ``world``."""
    run_state_machine_as_test(
        type(machine.__name__, (machine,), {"world": world}),
        settings=settings(
            max_examples=examples * FACTOR,
            stateful_step_count=15,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def check_in_memory(machine: type[RuleBasedStateMachine], examples: int) -> None:
    with asyncio.Runner() as runner:
        world = World(InMemoryEventStore(), InMemoryUnitOfWork, lambda: None, runner)

        async def empty() -> None:
            world.store = InMemoryEventStore()

        world.empty = empty
        check(machine, world, examples)


def check_on_a_database(machine: type[RuleBasedStateMachine], url: str, examples: int) -> None:
    with asyncio.Runner() as runner:
        opening = opened(url)
        sql = runner.run(opening.__aenter__())
        store = SQLAlchemyEventStore(sql.session_factory)
        runner.run(create_schema(sql.engine, store))

        async def empty() -> None:
            async with sql.engine.begin() as connection:
                for table in store.tables:
                    await connection.execute(delete(table))

        try:
            world = World(store, lambda: SQLAlchemyUnitOfWork(sql.session_factory), empty, runner)
            check(machine, world, examples)
        finally:
            runner.run(opening.__aexit__(None, None, None))


def test_in_memory() -> None:
    check_in_memory(Machine, examples=60)


@pytest.mark.parametrize("database", DATABASES)
def test_on_a_database(database: str, request: pytest.FixtureRequest) -> None:
    check_on_a_database(Machine, request.getfixturevalue(database), examples=8)
