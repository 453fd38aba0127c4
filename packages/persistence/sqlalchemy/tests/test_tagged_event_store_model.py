"""Queries and conditions do what a list of tagged events does, whatever is asked in any order."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cqrs_ddd_core import (
    AppendCondition,
    AppendConditionError,
    EventQuery,
    EventQueryItem,
    StoredEvent,
    StreamAppend,
    StreamId,
    UnitOfWork,
    utc_now,
)

from .test_event_store_model import World, check_in_memory, check_on_a_database

TYPES, TAGS, TENANTS = ("A", "B", "C"), ("t:1", "t:2", "u:1", "u:2"), ("", "other")
SOME_TAGS = st.lists(st.sampled_from(TAGS), min_size=1, max_size=3, unique=True)
EVENT = st.tuples(st.sampled_from(TYPES), SOME_TAGS, st.sampled_from(("", "", "", "other")))
ITEM = st.tuples(
    st.lists(st.sampled_from(TYPES), max_size=2), st.lists(st.sampled_from(TAGS), max_size=3)
).filter(lambda item: bool(item[0] or item[1]))


def query_of(items: list[tuple[list[str], list[str]]], tenant_id: str) -> EventQuery:
    found = [EventQueryItem(tuple(types), tuple(tags)) for types, tags in items]
    return EventQuery(tuple(found), tenant_id)


QUERY = st.builds(
    query_of, st.lists(ITEM, min_size=1, max_size=3), st.sampled_from(("", "", "other"))
)
# An append: events, whether each has a stream of its own, a condition and how far off it is.
APPEND = st.tuples(
    st.lists(EVENT, min_size=1, max_size=3),
    st.booleans(),
    st.one_of(st.none(), QUERY),
    st.sampled_from([0, 0, 0, 0, 1, -1]),
)


@dataclass
class Kept:
    """An event as the model has it."""

    event_id: str
    event_type: str
    tags: frozenset[str]
    tenant_id: str

    def is_meant_by(self, query: EventQuery) -> bool:
        if self.tenant_id != query.tenant_id:
            return False
        return any(
            (not item.types or self.event_type in item.types) and self.tags >= set(item.tags)
            for item in query.items
        )


@dataclass
class TaggedModel:
    """What a store of tagged events is: a list of them."""

    kept: list[Kept] = field(default_factory=list[Kept])

    def found(self, query: EventQuery) -> list[str]:
        return [kept.event_id for kept in self.kept if kept.is_meant_by(query)]


class TaggedMachine(RuleBasedStateMachine):
    """Appends and asks, on a store and on the model."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.model, self.number = TaggedModel(), 0
        self.world.runner.run(self.world.empty())

    async def append(self, append: Any, model: TaggedModel, uow: UnitOfWork | None) -> bool:
        """Append to the store, and to the model if it accepts; return whether it does."""
        events, in_own_streams, query, off = cast(
            "tuple[Any, bool, EventQuery | None, int]", append
        )
        appends: list[StreamAppend] = []
        new: list[Kept] = []
        for event_type, tags, tenant_id in events:
            event_id, self.number = f"e-{self.number}", self.number + 1
            stream = StreamId(event_type, event_id if in_own_streams else "all", tenant_id)
            stored = StoredEvent(
                event_id=event_id,
                event_type=event_type,
                stream=stream,
                payload=b"{}",
                occurred_at=utc_now(),
                tags=tuple(tags),
            )
            appends.append(StreamAppend(stream, [stored]))
            new.append(Kept(event_id, event_type, frozenset(tags), tenant_id))
        condition, accepted = None, True
        if query is not None:
            actual = len(model.found(query))
            condition = AppendCondition(query, max(actual + off, 0))
            accepted = condition.version == actual
        if accepted:
            model.kept += new
        await self.world.store.append_many(appends, uow, condition=condition)
        if uow is not None and not accepted:
            await uow.flush()
        return accepted

    @rule(append=APPEND)
    def append_alone(self, append: Any) -> None:
        before = list(self.model.kept)
        try:
            accepted = self.world.runner.run(self.append(append, self.model, None))
        except AppendConditionError:
            assert self.model.kept == before, "What the model accepts was refused."
        else:
            assert accepted, "What the model refuses was accepted."

    @rule(
        appends=st.lists(st.tuples(APPEND, st.booleans()), min_size=1, max_size=4),
        commits=st.booleans(),
    )
    def in_a_unit_of_work(self, appends: list[tuple[Any, bool]], commits: bool) -> None:
        model = TaggedModel(list(self.model.kept))
        refused = False

        async def run() -> None:
            nonlocal refused
            async with self.world.uow() as uow:
                for append, looks in appends:
                    known = len(model.kept)
                    refused = True  # unless it gets through
                    accepted = await self.append(append, model, uow)
                    assert accepted, "What the model refuses was accepted."
                    refused = False
                    if looks:
                        query = EventQuery.of(types=TYPES)
                        assert await self.found(query) == model.found(query)
                    assert len(model.kept) > known
                if not commits:
                    await uow.rollback()

        try:
            self.world.runner.run(run())
        except AppendConditionError:
            assert refused, "What the model accepts was refused."
            return
        if commits:
            self.model = model

    async def found(self, query: EventQuery) -> list[str]:
        return [event.event_id async for event in self.world.store.read_matching(query)]

    @rule(query=QUERY)
    def ask(self, query: EventQuery) -> None:
        assert self.world.runner.run(self.found(query)) == self.model.found(query)

    @invariant()
    def the_feed_has_all_of_them(self) -> None:
        async def run() -> list[tuple[str, frozenset[str]]]:
            told = self.world.store.read_all()
            return [(event.event_id, frozenset(event.tags)) async for event in told]

        expected = [(kept.event_id, kept.tags) for kept in self.model.kept]
        assert self.world.runner.run(run()) == expected


def test_in_memory() -> None:
    check_in_memory(TaggedMachine, examples=60)


@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url", "postgres_psycopg_url"])
def test_on_a_database(database: str, request: pytest.FixtureRequest) -> None:
    check_on_a_database(TaggedMachine, request.getfixturevalue(database), examples=8)
