"""What every event store promises: events for ever, in order, each stream without a gap."""
# ruff: noqa: D102, PLR2004, PT012 - test names are sentences; a unit of work is one step

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cqrs_ddd_core.cqrs.feed_subscription import FeedSubscription
from cqrs_ddd_core.cqrs.scope_errors import (
    ForeignTaskError,
    ReadOnlyUnitOfWorkError,
    UnitOfWorkClosedError,
)
from cqrs_ddd_core.ports.event_store import (
    ExpectedVersion,
    IEventStore,
    StoredEvent,
    StreamAppend,
    StreamId,
)
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.testing.conformance.samples import PLACED_AT, Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import ask, fail_after, store, version_of
from cqrs_ddd_core.testing.until import until

ORDER_1, ORDER_2, ORDER_3 = (StreamId("Order", f"o-{number}") for number in (1, 2, 3))


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class EventStoreConformance:
    """Subclass, provide the fixtures ``event_store`` and ``uow_factory``, done.

    ``event_store`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance``).
    """

    async def test_it_implements_the_port(self, event_store: IEventStore) -> None:
        assert isinstance(event_store, IEventStore)

    async def test_an_empty_store_has_nothing(self, event_store: IEventStore) -> None:
        assert await _read(event_store, ORDER_1) == []
        assert await _feed(event_store) == []
        assert await event_store.latest_position() == 0

    async def test_everything_an_event_holds_survives(self, event_store: IEventStore) -> None:
        before = datetime.now(UTC) - timedelta(seconds=5)
        full = StoredEvent(
            event_id="e-full",
            event_type="shop.Привет",
            stream=StreamId("Заказ", "o/1 'x'", "tenant"),
            payload=bytes(range(256)),
            occurred_at=datetime(2026, 3, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5))),
            schema_version=7,
            correlation_id="request-1",
            causation_id="command-1",
            metadata={"user": "u-1", "nested": {"list": [1, None, "é", 0.5, True]}},
        )
        await event_store.append(full.stream, [full])
        (stored,) = [event async for event in event_store.read_stream(full.stream)]
        assert stored.recorded_at is not None
        assert stored.recorded_at >= before
        assert stored.occurred_at.tzinfo is not None
        assert (stored.version, stored.position) == (1, 0)
        assert _as_given(stored) == full
        (told,) = [event async for event in event_store.read_all()]
        assert told.position > 0
        assert replace(told, position=0) == stored

    async def test_a_time_without_a_zone_is_read_as_utc(self, event_store: IEventStore) -> None:
        (event,) = _events("a")
        await event_store.append(
            ORDER_1, [replace(event, occurred_at=PLACED_AT.replace(tzinfo=None))]
        )
        async for stored in event_store.read_all():
            assert stored.occurred_at == PLACED_AT

    # -- streams -------------------------------------------------------------------------------

    async def test_versions_count_from_one_without_a_gap(self, event_store: IEventStore) -> None:
        assert await event_store.append(ORDER_1, _events("a", "b")) == 2
        assert await event_store.append(ORDER_2, _events("x", stream=ORDER_2)) == 1
        assert await event_store.append(ORDER_1, _events("c")) == 3
        stored = [event async for event in event_store.read_stream(ORDER_1)]
        assert [(event.version, event.event_id) for event in stored] == [
            (1, "a"),
            (2, "b"),
            (3, "c"),
        ]
        assert await _read(event_store, ORDER_2) == ["x"]

    async def test_a_stream_is_read_behind_a_version(self, event_store: IEventStore) -> None:
        await event_store.append(ORDER_1, _events("a", "b", "c"))
        assert await _read(event_store, ORDER_1, after=1) == ["b", "c"]
        assert await _read(event_store, ORDER_1, after=3) == []
        assert await _read(event_store, ORDER_1, after=9) == []

    async def test_a_stream_is_read_backwards_and_between_versions(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await event_store.append(ORDER_1, _events("a", "b", "c", "d"))
        back = event_store.read_stream(ORDER_1, backwards=True)
        assert [(e.version, e.event_id) async for e in back] == [
            (4, "d"),
            (3, "c"),
            (2, "b"),
            (1, "a"),
        ]
        inner = event_store.read_stream(ORDER_1, after_version=1, before_version=4)
        assert [event.event_id async for event in inner] == ["b", "c"]
        inner = event_store.read_stream(ORDER_1, after_version=1, before_version=4, backwards=True)
        assert [event.event_id async for event in inner] == ["c", "b"]
        async with uow_factory() as uow:
            await event_store.append(ORDER_1, _events("e"), 4, uow)
            own = event_store.read_stream(ORDER_1, after_version=3, backwards=True, uow=uow)
            assert [event.event_id async for event in own] == ["e", "d"]

    async def test_the_version_of_a_stream_is_told(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        assert await event_store.stream_version(ORDER_1) == 0
        await event_store.append(ORDER_1, _events("a", "b"))
        assert await event_store.stream_version(ORDER_1) == 2
        async with uow_factory() as uow:
            await event_store.append(ORDER_1, _events("c"), 2, uow)
            assert await event_store.stream_version(ORDER_1, uow) == 3
            await uow.rollback()
        assert await event_store.stream_version(ORDER_1) == 2

    async def test_streams_are_found_by_the_id_of_their_aggregate(
        self, event_store: IEventStore
    ) -> None:
        order, invoice = StreamId("Order", "1"), StreamId("Invoice", "1")
        for number, stream in enumerate(
            (order, invoice, StreamId("Order", "2"), StreamId("Order", "1", "t"))
        ):
            await event_store.append(stream, _events(f"a-{number}", f"b-{number}", stream=stream))
        found = await event_store.streams_of("1")
        assert sorted(found, key=str) == [invoice, order]
        assert await event_store.streams_of("1", tenant_id="t") == [StreamId("Order", "1", "t")]
        assert await event_store.streams_of("3") == []

    async def test_streams_are_told_apart_by_type_id_and_tenant(
        self, event_store: IEventStore
    ) -> None:
        streams = [
            StreamId("Order", "1"),
            StreamId("order", "1"),
            StreamId("Order", "1 "),
            StreamId("Invoice", "1"),
            StreamId("Order", "1", "a"),
            StreamId("Order", "1", "A"),
        ]
        for number, stream in enumerate(streams):
            new = _events(f"e-{number}", stream=stream)
            assert await event_store.append(stream, new, ExpectedVersion.NO_STREAM) == 1
        for number, stream in enumerate(streams):
            assert await _read(event_store, stream) == [f"e-{number}"]

    async def test_many_events_are_appended_and_read_at_once(
        self, event_store: IEventStore
    ) -> None:
        ids = [f"e-{number:04}" for number in range(1_100)]
        assert await event_store.append(ORDER_1, _events(*ids)) == 1_100
        assert await _read(event_store, ORDER_1) == ids
        assert await _feed(event_store) == ids

    # -- the expected version ------------------------------------------------------------------

    async def test_an_exact_version_must_be_the_streams(self, event_store: IEventStore) -> None:
        assert await event_store.append(ORDER_1, _events("a"), 0) == 1
        assert await event_store.append(ORDER_1, _events("b", "c"), 1) == 3
        for wrong in (0, 1, 2, 4):
            with pytest.raises(ConcurrencyError) as refusal:
                await event_store.append(ORDER_1, _events("other"), wrong)
            assert (refusal.value.expected, refusal.value.actual) == (wrong, 3)
            assert "o-1" in refusal.value.target
        assert await _read(event_store, ORDER_1) == ["a", "b", "c"]

    async def test_no_stream_means_a_new_one(self, event_store: IEventStore) -> None:
        await event_store.append(ORDER_1, _events("a"), ExpectedVersion.NO_STREAM)
        with pytest.raises(ConcurrencyError):
            await event_store.append(ORDER_1, _events("b"), ExpectedVersion.NO_STREAM)
        assert await _read(event_store, ORDER_1) == ["a"]

    async def test_stream_exists_means_at_least_one_event(self, event_store: IEventStore) -> None:
        with pytest.raises(ConcurrencyError):
            await event_store.append(ORDER_1, _events("a"), ExpectedVersion.STREAM_EXISTS)
        await event_store.append(ORDER_1, _events("a"))
        assert await event_store.append(ORDER_1, _events("b"), ExpectedVersion.STREAM_EXISTS) == 2

    async def test_any_means_any(self, event_store: IEventStore) -> None:
        assert await event_store.append(ORDER_1, _events("a"), ExpectedVersion.ANY) == 1
        assert await event_store.append(ORDER_1, _events("b"), ExpectedVersion.ANY) == 2

    @pytest.mark.parametrize(
        "expected", [1, ExpectedVersion.ANY, ExpectedVersion.STREAM_EXISTS], ids=str
    )
    async def test_the_same_events_again_change_nothing(
        self, event_store: IEventStore, uow_factory: UowFactory, expected: int
    ) -> None:
        await event_store.append(ORDER_1, _events("a"))
        assert await event_store.append(ORDER_1, _events("b", "c"), expected) == 3
        assert await event_store.append(ORDER_1, _events("b", "c"), expected) == 3
        async with uow_factory() as uow:
            assert await event_store.append(ORDER_1, _events("b", "c"), expected, uow) == 3
        assert await _read(event_store, ORDER_1) == await _feed(event_store) == ["a", "b", "c"]

    async def test_the_same_events_elsewhere_in_the_stream_are_refused(
        self, event_store: IEventStore
    ) -> None:
        await event_store.append(ORDER_1, _events("a", "b"))
        with pytest.raises(ConcurrencyError):
            await event_store.append(ORDER_1, _events("b"), 0)
        assert await _read(event_store, ORDER_1) == ["a", "b"]

    async def test_of_many_who_append_at_one_version_one_wins(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await event_store.append(ORDER_1, _events("a"))

        async def append(number: int) -> int:
            async with uow_factory() as uow:
                await event_store.append(ORDER_1, _events(f"n-{number}"), 1, uow)
            return number

        outcomes = await asyncio.gather(
            *(append(number) for number in range(8)), return_exceptions=True
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, ConcurrencyError)]
        assert (len(winners), len(losers)) == (1, 7)
        assert await _read(event_store, ORDER_1) == ["a", f"n-{winners[0]}"]

    async def test_of_many_who_append_at_any_version_all_win(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        async def append(number: int) -> None:
            new = [StreamAppend(ORDER_1, _events(f"{number}-a", f"{number}-b"))]
            if number % 2:
                await event_store.append_many(new)
            else:
                async with uow_factory() as uow:
                    await event_store.append_many(new, uow)

        await asyncio.gather(*(append(number) for number in range(8)))
        found = await _read(event_store, ORDER_1)
        assert len(found) == 16
        assert [event[:-2] for event in found[::2]] == [event[:-2] for event in found[1::2]]
        assert sorted(await _feed(event_store)) == sorted(found)

    # -- many streams at once ------------------------------------------------------------------

    @pytest.mark.parametrize("given", [True, False], ids=["in a unit of work", "alone"])
    async def test_many_streams_take_one_append(
        self, event_store: IEventStore, uow_factory: UowFactory, given: bool
    ) -> None:
        await event_store.append(ORDER_1, _events("a"))
        appends = [
            StreamAppend(ORDER_2, _events("x", stream=ORDER_2), ExpectedVersion.NO_STREAM),
            StreamAppend(ORDER_1, _events("b"), 1),
            StreamAppend(ORDER_3, _events("m", "n", stream=ORDER_3), ExpectedVersion.ANY),
            StreamAppend(ORDER_1, _events("c"), 2),
        ]
        if given:
            async with uow_factory() as uow:
                await event_store.append_many(appends, uow)
        else:
            await event_store.append_many(appends)
        assert await _read(event_store, ORDER_1) == ["a", "b", "c"]
        assert await _read(event_store, ORDER_2) == ["x"]
        assert await _read(event_store, ORDER_3) == ["m", "n"]
        assert await _feed(event_store) == ["a", "x", "b", "m", "n", "c"]
        await event_store.append_many(appends)
        assert await _feed(event_store) == ["a", "x", "b", "m", "n", "c"]

    @pytest.mark.parametrize("given", [True, False], ids=["in a unit of work", "alone"])
    async def test_of_many_streams_all_take_it_or_none(
        self, event_store: IEventStore, uow_factory: UowFactory, given: bool
    ) -> None:
        await event_store.append(ORDER_1, _events("a"))
        appends = [
            StreamAppend(ORDER_2, _events("x", stream=ORDER_2), 0),
            StreamAppend(ORDER_3, _events("m", stream=ORDER_3)),
            StreamAppend(ORDER_1, _events("b"), 0),
        ]
        with pytest.raises(ConcurrencyError) as refusal:
            if given:
                async with uow_factory() as uow:
                    await event_store.append_many(appends, uow)
            else:
                await event_store.append_many(appends)
        assert (refusal.value.expected, refusal.value.actual) == (0, 1)
        assert await _feed(event_store) == ["a"]
        assert await _read(event_store, ORDER_2) == await _read(event_store, ORDER_3) == []

    async def test_some_of_the_same_events_again_are_refused(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await event_store.append(ORDER_1, _events("a", "b"))
        with pytest.raises(ConcurrencyError):
            await event_store.append(ORDER_1, _events("b", "c"), 1)
        with pytest.raises(ConcurrencyError):
            await event_store.append(ORDER_1, _events("b", "c"), ExpectedVersion.ANY)
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await event_store.append(ORDER_1, _events("a", "b", "c"), 0, uow)
        assert await _read(event_store, ORDER_1) == await _feed(event_store) == ["a", "b"]

    async def test_a_gap_is_refused(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        with pytest.raises(ConcurrencyError) as refusal:
            async with uow_factory() as uow:
                await event_store.append(ORDER_1, _events("d"), 3, uow)
        assert (refusal.value.expected, refusal.value.actual or 0) == (3, 0)
        assert await event_store.stream_version(ORDER_1) == 0

    async def test_the_same_events_beside_changes_save_the_changes(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await event_store.append(ORDER_1, _events("a"), 0)
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await event_store.append(ORDER_1, _events("a"), 0, uow)
        assert await version_of(uow_factory, "o-1") == 1
        assert await _feed(event_store) == ["a"]

    async def test_appends_of_one_unit_of_work_follow_one_another(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            assert await event_store.append(ORDER_1, _events("a"), 0, uow) == 1
            assert await event_store.append(ORDER_1, _events("b"), ExpectedVersion.ANY, uow) == 2
            assert await event_store.append(ORDER_1, _events("c"), 2, uow) == 3
            with pytest.raises(ConcurrencyError):
                async with uow.savepoint():
                    await event_store.append(ORDER_1, _events("d"), 2, uow)
        assert await _feed(event_store) == await _read(event_store, ORDER_1) == ["a", "b", "c"]

    # -- the feed ------------------------------------------------------------------------------

    async def test_the_feed_has_all_streams_in_the_order_of_their_appends(
        self, event_store: IEventStore
    ) -> None:
        await event_store.append(ORDER_2, _events("z", stream=ORDER_2))
        await event_store.append(ORDER_1, _events("c", "a"))
        await event_store.append(ORDER_2, _events("b", stream=ORDER_2))
        stored = [event async for event in event_store.read_all()]
        assert [event.event_id for event in stored] == ["z", "c", "a", "b"]
        positions = [event.position for event in stored]
        assert positions == sorted(set(positions))
        assert positions[0] >= 1
        assert await event_store.latest_position() == positions[-1]
        for number, position in enumerate(positions):
            assert await _feed(event_store, after=position) == ["z", "c", "a", "b"][number + 1 :]

    async def test_a_stream_and_the_feed_tell_the_same(self, event_store: IEventStore) -> None:
        await event_store.append(ORDER_1, _events("a"))
        await event_store.append(ORDER_2, _events("x", stream=ORDER_2))
        await event_store.append(ORDER_1, _events("b"))
        of_stream = [event async for event in event_store.read_stream(ORDER_1)]
        of_feed = [event async for event in event_store.read_all() if event.stream == ORDER_1]
        assert of_stream == [replace(event, position=0) for event in of_feed]

    async def test_the_feed_is_read_page_by_page(self, event_store: IEventStore) -> None:
        for number in range(5):
            await event_store.append(ORDER_1, _events(f"{number}-a", f"{number}-b", f"{number}-c"))
        whole = await _feed(event_store)
        for limit in (1, 2, 4, 15, 100):
            found: list[str] = []
            position = 0
            while (
                page := await event_store.read_feed(after_position=position, limit=limit)
            ).position > position:
                assert len(page.events) <= limit
                assert all(position < event.position <= page.position for event in page.events)
                found += [event.event_id for event in page.events]
                position = page.position
            assert found == whole
            assert position == await event_store.latest_position()

    async def test_the_feed_is_read_by_type(self, event_store: IEventStore) -> None:
        for number in range(6):
            kind = "Even" if number % 2 == 0 else "Odd"
            await event_store.append(ORDER_1, _events(f"e-{number}", event_type=kind))
        chosen = event_store.read_all(event_types=["Even"])
        assert [event.event_id async for event in chosen] == ["e-0", "e-2", "e-4"]
        none = await event_store.read_feed(event_types=["Never"])
        assert none.events == []
        found: list[str] = []
        position, latest = 0, await event_store.latest_position()
        while position < latest:
            page = await event_store.read_feed(
                after_position=position, limit=2, event_types={"Odd"}
            )
            found += [event.event_id for event in page.events]
            assert page.position > position
            position = page.position
        assert (found, position) == (["e-1", "e-3", "e-5"], latest)

    async def test_the_feed_is_read_backwards_and_between_positions(
        self, event_store: IEventStore
    ) -> None:
        await event_store.append(ORDER_1, _events("a", "b"))
        await event_store.append(ORDER_2, _events("c", "d", stream=ORDER_2))
        back = [event async for event in event_store.read_all(backwards=True)]
        assert [event.event_id for event in back] == ["d", "c", "b", "a"]
        first, last = back[-1].position, back[0].position
        inner = event_store.read_all(after_position=first, before_position=last)
        assert [event.event_id async for event in inner] == ["b", "c"]
        inner = event_store.read_all(
            after_position=first, before_position=last, backwards=True, event_types=["Renamed"]
        )
        assert [event.event_id async for event in inner] == ["c", "b"]

    async def test_a_subscription_catches_up_and_wakes_on_a_commit(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await event_store.append(ORDER_1, _events("a", "b", "c"))
        subscription = FeedSubscription(event_store, limit=2, min_poll=3600, max_poll=3600)
        found: list[str] = []

        async def follow() -> None:
            async with aclosing(subscription.pages()) as pages:
                async for page in pages:
                    found.extend(event.event_id for event in page.events)
                    if len(found) == 5:
                        return

        following = asyncio.create_task(follow())
        await until(lambda: len(found) == 3, timeout=30)
        async with uow_factory() as uow:
            await event_store.append(ORDER_1, _events("d"), 3, uow)
            await uow.flush()
            assert found == ["a", "b", "c"]
        await until(lambda: len(found) == 4, timeout=30)
        await event_store.append(ORDER_2, _events("e", stream=ORDER_2))
        await asyncio.wait_for(following, timeout=30)
        assert found == ["a", "b", "c", "d", "e"]

    # -- the transaction -----------------------------------------------------------------------

    @pytest.mark.parametrize("given", [True, False], ids=["given", "current"])
    async def test_events_are_there_once_their_unit_of_work_has_committed(
        self, event_store: IEventStore, uow_factory: UowFactory, given: bool
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await event_store.append(ORDER_1, _events("a"), 0, uow if given else None)
            await event_store.append(ORDER_1, _events("b"), 1, uow if given else None)
        assert await _read(event_store, ORDER_1) == await _feed(event_store) == ["a", "b"]
        assert await version_of(uow_factory, "o-1") == 1

    @pytest.mark.parametrize("given", [True, False], ids=["given", "current"])
    async def test_events_of_a_failed_unit_of_work_never_were(
        self, event_store: IEventStore, uow_factory: UowFactory, given: bool
    ) -> None:
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await event_store.append(ORDER_1, _events("a"), 0, uow if given else None)
                raise _Oops
        assert await _read(event_store, ORDER_1) == await _feed(event_store) == []
        assert await event_store.latest_position() == 0
        assert await version_of(uow_factory, "o-1") is None
        assert await event_store.append(ORDER_1, _events("a"), 0) == 1

    async def test_events_go_with_a_commit_that_is_refused(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="taken"))
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await event_store.append(ORDER_1, _events("a"), 0, uow)
                await uow.orders.add(Order(id="taken"))
        assert await _read(event_store, ORDER_1) == []

    async def test_a_refused_append_takes_the_aggregates_with_it(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await event_store.append(ORDER_1, _events("a"))
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await event_store.append(ORDER_1, _events("b"), 0, uow)
        assert await version_of(uow_factory, "o-1") is None

    async def test_a_savepoint_takes_back_the_events_of_its_block(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await event_store.append(ORDER_1, _events("before"), 0, uow)
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    await event_store.append(ORDER_1, _events("inside"), 1, uow)
                    raise _Oops
            assert await event_store.append(ORDER_1, _events("after"), 1, uow) == 2
        assert await _read(event_store, ORDER_1) == ["before", "after"]

    async def test_a_unit_of_work_sees_its_own_events(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await event_store.append(ORDER_1, _events("a"))
        async with uow_factory() as uow:
            await event_store.append(ORDER_1, _events("b"), 1)
            assert await _read(event_store, ORDER_1) == ["a", "b"]
            events = [event async for event in event_store.read_stream(ORDER_1, uow=uow)]
            assert [event.version for event in events] == [1, 2]
            with pytest.raises(ConcurrencyError):
                async with uow.savepoint():
                    await event_store.append(ORDER_1, _events("c"), 1, uow)
            await uow.rollback()
            assert await _read(event_store, ORDER_1) == ["a"]

    async def test_the_feed_has_only_what_is_committed(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        await event_store.append(ORDER_1, _events("a"))
        async with uow_factory() as uow:
            await event_store.append(ORDER_1, _events("b"), 1, uow)
            await uow.flush()
            assert await _feed(event_store) == ["a"]
        assert await _feed(event_store) == ["a", "b"]

    async def test_a_unit_of_work_that_has_ended_is_refused(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await event_store.append(ORDER_1, _events("a"), 0, uow)
        with pytest.raises(UnitOfWorkClosedError):
            await event_store.append(ORDER_1, _events("b"), 1, uow)
        assert await _read(event_store, ORDER_1) == ["a"]

    async def test_a_child_task_of_a_command_is_refused(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        async def append() -> None:
            with pytest.raises(ForeignTaskError):
                await event_store.append(ORDER_1, _events("a"))

        async def read() -> None:
            with pytest.raises(ForeignTaskError):
                await _read(event_store, ORDER_1)

        await fail_after(uow_factory, append, read)
        assert await _read(event_store, ORDER_1) == []

    async def test_a_query_cannot_append(
        self, event_store: IEventStore, uow_factory: UowFactory
    ) -> None:
        async def answer(_: Any, uow: Any) -> list[str]:
            with pytest.raises(ReadOnlyUnitOfWorkError):
                await event_store.append(ORDER_1, _events("b"), 1, uow)
            return await _read(event_store, ORDER_1)

        await event_store.append(ORDER_1, _events("a"))
        assert await ask(uow_factory, answer) == ["a"]
        assert await _read(event_store, ORDER_1) == ["a"]


def _events(
    *ids: str, stream: StreamId = ORDER_1, event_type: str = "Renamed"
) -> list[StoredEvent]:
    return [
        StoredEvent(
            event_id=event_id,
            event_type=event_type,
            stream=stream,
            payload=b"{}",
            occurred_at=PLACED_AT,
        )
        for event_id in ids
    ]


def _as_given(stored: StoredEvent) -> StoredEvent:
    """Return an event without what the store added."""
    return replace(stored, version=0, position=0, recorded_at=None)


async def _read(event_store: IEventStore, stream: StreamId, after: int = 0) -> list[str]:
    events = event_store.read_stream(stream, after_version=after)
    return [event.event_id async for event in events]


async def _feed(event_store: IEventStore, after: int = 0) -> list[str]:
    return [event.event_id async for event in event_store.read_all(after_position=after)]
