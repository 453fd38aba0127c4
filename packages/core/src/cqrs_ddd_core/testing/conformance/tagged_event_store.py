"""What every event store promises that is asked by tags and appends on a condition."""
# ruff: noqa: D102, PLR2004, PT012 - test names are sentences; a unit of work is one step

import asyncio
from dataclasses import replace

import pytest

from cqrs_ddd_core.cqrs.scope_errors import ReadOnlyUnitOfWorkError
from cqrs_ddd_core.ports.event_query import (
    AppendCondition,
    AppendConditionError,
    EventQuery,
    UntaggedEventError,
)
from cqrs_ddd_core.ports.event_store import ExpectedVersion, StoredEvent, StreamAppend, StreamId
from cqrs_ddd_core.ports.tagged_event_store import ITaggedEventStore
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.testing.conformance.samples import PLACED_AT, Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import ask, store, version_of

C1, C2, S1, S2 = "course:c-1", "course:c-2", "student:s-1", "student:s-2"
OF_C1, OF_S1 = EventQuery.of(tags=[C1]), EventQuery.of(tags=[S1])


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class TaggedEventStoreConformance:
    """Subclass, provide the fixtures ``event_store`` and ``uow_factory``, done.

    ``event_store`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance``). Run it beside ``EventStoreConformance``.
    """

    async def test_it_implements_the_port(self, event_store: ITaggedEventStore) -> None:
        assert isinstance(event_store, ITaggedEventStore)

    # -- queries -------------------------------------------------------------------------------

    async def test_an_empty_store_has_nothing(self, event_store: ITaggedEventStore) -> None:
        assert await _found(event_store, OF_C1) == []

    async def test_an_item_wants_one_of_its_types_and_all_of_its_tags(
        self, event_store: ITaggedEventStore
    ) -> None:
        await _append(
            event_store,
            _event("defined", C1, of="Defined"),
            _event("renamed", C1, of="Renamed"),
            _event("both", C1, S1),
            _event("other course", C2, S1),
            _event("other student", S2, C1),
        )
        of = EventQuery.of
        expected = {
            of(tags=[C1]): ["defined", "renamed", "both", "other student"],
            of(tags=[C1, S1]): ["both"],
            of(tags=[S1, C1]): ["both"],
            of(types=["Defined", "Renamed"]): ["defined", "renamed"],
            of(types=["Defined", "Subscribed"], tags=[C1]): ["defined", "both", "other student"],
            of(types=["Renamed"], tags=[C1, S1]): [],
            of(tags=["course:c"]): [],
            of(tags=["Course:c-1"]): [],
            of(types=["defined"]): [],
        }
        for query, events in expected.items():
            assert await _found(event_store, query) == events, str(query)

    async def test_a_query_finds_what_any_of_its_items_does_and_that_once(
        self, event_store: ITaggedEventStore
    ) -> None:
        await _append(
            event_store, _event("a", C1, S1), _event("b", C2, S1), _event("c", C1), _event("d", S2)
        )
        assert await _found(event_store, OF_C1 | OF_S1) == ["a", "b", "c"]
        assert await _found(event_store, OF_C1 | EventQuery.of(types=["Subscribed"])) == [
            *("a", "b", "c", "d")
        ]

    async def test_events_without_tags_are_found_by_no_query(
        self, event_store: ITaggedEventStore
    ) -> None:
        await _append(event_store, _event("plain"), _event("tagged", C1))
        assert await _found(event_store, EventQuery.of(types=["Subscribed"])) == ["tagged"]

    async def test_tenants_do_not_see_each_other(self, event_store: ITaggedEventStore) -> None:
        theirs = EventQuery.of(tags=[C1], tenant_id="theirs")
        await _append(event_store, _event("ours", C1), _event("theirs", C1, tenant="theirs"))
        assert await _found(event_store, OF_C1) == ["ours"]
        assert await _found(event_store, theirs) == ["theirs"]
        await _append(event_store, _event("more", C1), condition=AppendCondition(OF_C1, 1))

    async def test_everything_an_event_holds_survives_its_tags_too(
        self, event_store: ITaggedEventStore
    ) -> None:
        tags = ("заказ:o/1 'x'", "a" * 255, 'q:"%_\\', C1)
        given = replace(_event("full", *tags), correlation_id="r-1", metadata={"user": [1, None]})
        await _append(event_store, given)
        (found,) = [e async for e in event_store.read_matching(EventQuery.of(tags=[tags[2]]))]
        (in_stream,) = [e async for e in event_store.read_stream(given.stream)]
        (told,) = [e async for e in event_store.read_all()]
        assert found == in_stream
        assert replace(told, position=0) == found
        assert replace(found, recorded_at=None, version=0) == given
        for tag in tags:
            assert await _found(event_store, EventQuery.of(tags=[tag])) == ["full"]

    async def test_events_of_streams_are_found_by_their_tags(
        self, event_store: ITaggedEventStore
    ) -> None:
        stream = StreamId("Course", "c-1")
        await event_store.append(stream, [_event("a", C1), _event("plain")], 0)
        await event_store.append(stream, [_event("b", C1)], 2)
        await event_store.append_many([StreamAppend(stream, [_event("c", C1, S1)])])
        assert await _found(event_store, OF_C1) == ["a", "b", "c"]
        assert [e.version async for e in event_store.read_matching(OF_C1)] == [1, 3, 4]
        assert await event_store.stream_version(stream) == 4

    # -- the condition -------------------------------------------------------------------------

    async def test_an_append_is_refused_when_something_matching_has_come(
        self, event_store: ITaggedEventStore
    ) -> None:
        await _append(event_store, _event("a", C1), condition=AppendCondition(OF_C1))
        await _append(event_store, _event("b", C1), condition=AppendCondition(OF_C1, 1))
        for version in (0, 1, 3):
            condition = AppendCondition(OF_C1 | OF_S1, version)
            with pytest.raises(AppendConditionError) as refusal:
                await _append(event_store, _event("late", C1), condition=condition)
            assert refusal.value.query == condition.query
            assert (refusal.value.expected, refusal.value.actual) == (version, min(version + 1, 2))
            assert isinstance(refusal.value, ConcurrencyError)
        assert await _found(event_store, OF_C1) == ["a", "b"]
        assert [event.event_id async for event in event_store.read_all()] == ["a", "b"]

    async def test_what_does_not_match_is_no_hindrance(
        self, event_store: ITaggedEventStore
    ) -> None:
        defined = EventQuery.of(types=["Defined"], tags=[C1])
        await _append(
            event_store, _event("d", C1, of="Defined"), condition=AppendCondition(defined)
        )
        await _append(event_store, _event("s", C1, S1), _event("o", C2))
        await _append(event_store, _event("x", C1), condition=AppendCondition(defined, 1))
        assert await _found(event_store, OF_C1) == ["d", "s", "x"]

    async def test_a_type_alone_can_be_the_boundary(self, event_store: ITaggedEventStore) -> None:
        invoices = EventQuery.of(types=["Invoiced"])
        await _append(
            event_store, _event("1", "no:1", of="Invoiced"), condition=AppendCondition(invoices)
        )
        with pytest.raises(AppendConditionError):
            await _append(
                event_store, _event("2", "no:2", of="Invoiced"), condition=AppendCondition(invoices)
            )

    async def test_an_append_without_a_condition_refuses_later_ones(
        self, event_store: ITaggedEventStore
    ) -> None:
        await event_store.append(StreamId("Course", "c-1"), [_event("a", C1)], 0)
        with pytest.raises(AppendConditionError):
            await _append(event_store, _event("b", C1), condition=AppendCondition(OF_C1))

    async def test_several_events_go_all_or_none(self, event_store: ITaggedEventStore) -> None:
        await _append(event_store, _event("a", C1))
        events = [_event("x", C2), _event("y", C2, S1), _event("z", S1)]
        with pytest.raises(AppendConditionError):
            await _append(event_store, *events, condition=AppendCondition(OF_C1))
        assert await _found(event_store, OF_S1) == []
        await _append(event_store, *events, condition=AppendCondition(OF_C1, 1))
        assert await _found(event_store, OF_S1) == ["y", "z"]
        assert [event.event_id async for event in event_store.read_all()] == ["a", "x", "y", "z"]

    async def test_a_condition_and_a_version_must_both_hold(
        self, event_store: ITaggedEventStore
    ) -> None:
        stream = StreamId("Course", "c-1")
        await event_store.append(stream, [_event("a", C1)], 0)
        for version, condition in ((0, 1), (1, 0)):
            append = StreamAppend(stream, [_event("b", C1)], version)
            with pytest.raises(ConcurrencyError):
                await event_store.append_many([append], condition=AppendCondition(OF_C1, condition))
        append = StreamAppend(stream, [_event("b", C1)], 1)
        await event_store.append_many([append], condition=AppendCondition(OF_C1, 1))
        assert await _found(event_store, OF_C1) == ["a", "b"]

    async def test_the_same_events_again_are_a_success_that_changes_nothing(
        self, event_store: ITaggedEventStore
    ) -> None:
        events = [_event("a", C1), _event("b", C1)]
        for _ in range(3):
            await _append(event_store, *events, condition=AppendCondition(OF_C1))
        assert await _found(event_store, OF_C1) == ["a", "b"]

    async def test_a_condition_without_events_is_checked(
        self, event_store: ITaggedEventStore
    ) -> None:
        await _append(event_store, condition=AppendCondition(OF_C1))
        await _append(event_store, _event("a", C1))
        with pytest.raises(AppendConditionError):
            await _append(event_store, condition=AppendCondition(OF_C1))
        assert await _found(event_store, OF_C1) == ["a"]

    async def test_an_event_under_a_condition_needs_a_tag(
        self, event_store: ITaggedEventStore
    ) -> None:
        with pytest.raises(UntaggedEventError, match="no tag"):
            await _append(
                event_store, _event("a", C1), _event("b"), condition=AppendCondition(OF_C1)
            )
        assert await _found(event_store, OF_C1) == []

    # -- the unit of work ----------------------------------------------------------------------

    async def test_it_commits_with_state_or_not_at_all(
        self, event_store: ITaggedEventStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await _append(event_store, _event("a", C1), condition=AppendCondition(OF_C1), uow=uow)
        with pytest.raises(AppendConditionError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-2"))
                await _append(event_store, _event("b", C1), condition=AppendCondition(OF_C1))
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await _append(event_store, _event("c", C1), condition=AppendCondition(OF_C1, 1))
                raise _Oops
        assert [await version_of(uow_factory, name) for name in ("o-1", "o-2")] == [1, None]
        assert await _found(event_store, OF_C1) == ["a"]
        assert [event.event_id async for event in event_store.read_all()] == ["a"]

    async def test_a_unit_of_work_reads_and_counts_its_own_events(
        self, event_store: ITaggedEventStore, uow_factory: UowFactory
    ) -> None:
        await _append(event_store, _event("a", C1))
        async with uow_factory() as uow:
            await _append(event_store, _event("b", C1), condition=AppendCondition(OF_C1, 1))
            assert await _found(event_store, OF_C1, uow) == ["a", "b"]
            await _append(event_store, _event("c", C1, S1), condition=AppendCondition(OF_C1, 2))
            await _append(event_store, _event("d", C1), condition=AppendCondition(OF_S1, 1))
        assert await _found(event_store, OF_C1) == ["a", "b", "c", "d"]

    async def test_a_decision_that_its_own_unit_of_work_has_overtaken_is_refused(
        self, event_store: ITaggedEventStore, uow_factory: UowFactory
    ) -> None:
        with pytest.raises(AppendConditionError):
            async with uow_factory() as uow:
                await _append(event_store, _event("a", C1), condition=AppendCondition(OF_C1))
                await _append(event_store, _event("b", C1), condition=AppendCondition(OF_C1))
                await uow.flush()
        assert await _found(event_store, OF_C1) == []

    async def test_a_savepoint_takes_its_events_along(
        self, event_store: ITaggedEventStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await _append(event_store, _event("a", C1), condition=AppendCondition(OF_C1))
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    await _append(event_store, _event("b", C1), condition=AppendCondition(OF_C1, 1))
                    raise _Oops
            await _append(event_store, _event("c", C1), condition=AppendCondition(OF_C1, 1))
        assert await _found(event_store, OF_C1) == ["a", "c"]

    async def test_a_condition_that_fails_in_a_savepoint_leaves_the_rest(
        self, event_store: ITaggedEventStore, uow_factory: UowFactory
    ) -> None:
        await _append(event_store, _event("a", C1))
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            with pytest.raises(AppendConditionError):
                async with uow.savepoint():
                    await _append(event_store, _event("b", C1), condition=AppendCondition(OF_C1))
                    await uow.flush()
            await _append(event_store, _event("c", C1), condition=AppendCondition(OF_C1, 1))
        assert await _found(event_store, OF_C1) == ["a", "c"]
        assert await version_of(uow_factory, "o-1") == 1

    async def test_plain_and_conditional_appends_keep_their_order(
        self, event_store: ITaggedEventStore, uow_factory: UowFactory
    ) -> None:
        stream = StreamId("Course", "c-1")
        async with uow_factory() as uow:
            await event_store.append(stream, [_event("a")], 0, uow)
            await event_store.append(stream, [_event("b", C1)], 1, uow)
            await _append(event_store, _event("x", C1), condition=AppendCondition(OF_C1, 1))
            await event_store.append(stream, [_event("c")], 2, uow)
            await event_store.append(stream, [_event("d", C1)], ExpectedVersion.ANY, uow)
        assert [e.event_id async for e in event_store.read_stream(stream)] == ["a", "b", "c", "d"]
        assert await _found(event_store, OF_C1) == ["b", "x", "d"]

    async def test_a_read_only_unit_of_work_reads_and_appends_nothing(
        self, event_store: ITaggedEventStore, uow_factory: UowFactory
    ) -> None:
        await _append(event_store, _event("a", C1))

        async def look(_: object, uow: IUnitOfWork) -> list[str]:
            with pytest.raises(ReadOnlyUnitOfWorkError):
                await _append(
                    event_store, _event("b", C1), condition=AppendCondition(OF_C1, 1), uow=uow
                )
            return await _found(event_store, OF_C1, uow)

        assert await ask(uow_factory, look) == ["a"]

    async def test_of_decisions_made_on_the_same_events_one_is_kept(
        self, event_store: ITaggedEventStore, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="o-1"))
        query = OF_C1 | OF_S1

        async def decide(name: str) -> bool:
            tags = (C1, S2) if int(name) % 2 else (C2, S1)
            try:
                async with uow_factory() as uow:
                    version = len(await _found(event_store, query, uow))
                    await asyncio.sleep(0)
                    condition = AppendCondition(query, version)
                    await _append(event_store, _event(name, *tags), condition=condition, uow=uow)
            except ConcurrencyError:
                return False
            return version == 0

        firsts = await asyncio.gather(*(decide(str(number)) for number in range(8)))
        assert sum(firsts) == 1
        kept = await _found(event_store, query)
        assert sorted([event.event_id async for event in event_store.read_all()]) == sorted(kept)


def _event(event_id: str, *tags: str, of: str = "Subscribed", tenant: str = "") -> StoredEvent:
    return StoredEvent(
        event_id=event_id,
        event_type=of,
        stream=StreamId(of, event_id, tenant),
        payload=b"{}",
        occurred_at=PLACED_AT,
        tags=tags,
    )


async def _append(
    event_store: ITaggedEventStore,
    *events: StoredEvent,
    condition: AppendCondition | None = None,
    uow: IUnitOfWork | None = None,
) -> None:
    """Append each event to a stream of its own."""
    appends = [StreamAppend(event.stream, [event], ExpectedVersion.NO_STREAM) for event in events]
    await event_store.append_many(appends, uow, condition=condition)


async def _found(
    event_store: ITaggedEventStore, query: EventQuery, uow: IUnitOfWork | None = None
) -> list[str]:
    return [event.event_id async for event in event_store.read_matching(query, uow=uow)]
