"""What every store of sagas promises."""
# ruff: noqa: D102, PLR2004, PT012 - test names are sentences; a unit of work is one step

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from cqrs_ddd_advanced_core.sagas import (
    ISagaRepository,
    JournalEntry,
    SagaAction,
    SagaExistsError,
    SagaFilter,
    SagaInstance,
    SagaKind,
    SagaOutcome,
    SagaStatus,
)
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import version_of

T = TypeVar("T")

Sagas = ISagaRepository
_LONG_AGO = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
_FAR = datetime(2096, 1, 1, tzinfo=UTC)
_LONG = 3600.0


def saga(saga_id: str = "s-1", **values: Any) -> SagaInstance:
    """Return a running saga that waits for nothing but events."""
    defaults: dict[str, Any] = {
        "saga_type": "fulfilment",
        "kind": SagaKind.EVENT_DRIVEN,
        "created_at": _LONG_AGO,
        "updated_at": _LONG_AGO,
    }
    return SagaInstance(saga_id=saga_id, **{**defaults, **values})


def entry(number: int, **values: Any) -> JournalEntry:
    """Return an entry of a journal."""
    defaults: dict[str, Any] = {
        "action": SagaAction.ACT,
        "outcome": SagaOutcome.COMPLETED,
        "at": _LONG_AGO,
    }
    return JournalEntry(number=number, **{**defaults, **values})


async def _claim(sagas: Sagas, **options: Any) -> list[SagaInstance]:
    options = {"worker": "w", "lease": _LONG, **options}
    return list(await sagas.claim(["fulfilment"], **options))


async def _ids(sagas: Sagas, wanted: SagaFilter | None = None, **options: Any) -> list[str]:
    return [found.saga_id for found in await sagas.search(wanted, **options)]


class SagaRepositoryConformance:
    """Subclass, provide the fixtures ``sagas`` and ``uow_factory``, done.

    ``sagas`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance`` of the core).
    """

    async def test_it_implements_the_port(self, sagas: Sagas) -> None:
        assert isinstance(sagas, ISagaRepository)

    # -- adding and finding ---------------------------------------------------------------------

    async def test_a_saga_comes_back_as_it_was_added(self, sagas: Sagas) -> None:
        given = saga(
            key="Zoë/1",
            correlation_id="c",
            tenant_id="t",
            status=SagaStatus.SUSPENDED,
            definition="v1:abc",
            step="reserving",
            data=b'{"k": "\xc3\xa4", "n": null}\x00\xff',
            entries=2,
            attempts=3,
            error="no goods 😀",
            wake_at=_FAR,
            worker="w-1",
        )
        journal = [
            entry(1, action=SagaAction.EVENT, message_id="m-1", step="reserving"),
            entry(2, outcome=SagaOutcome.FAILED, attempt=7, data=b"\x00\xff", error="😀"),
        ]
        added = await sagas.add(given, journal)
        assert added == replace(given, version=1)
        assert await sagas.find("s-1") == added
        assert await sagas.find_by_key("fulfilment", "Zoë/1", tenant_id="t") == added
        assert await sagas.history("s-1") == journal

    async def test_what_is_not_there_is_not_found(self, sagas: Sagas) -> None:
        assert await sagas.find("s-1") is None
        assert await sagas.find_by_key("fulfilment", "k") is None
        assert await sagas.history("s-1") == []
        assert await sagas.was_handled("s-1", "m-1") is False
        assert await sagas.search() == []
        assert await sagas.statistics() == {}
        assert await _claim(sagas) == []
        assert list(await sagas.renew({}, lease=1)) == []
        await sagas.release("s-1", 1)

    async def test_an_id_is_taken_once(self, sagas: Sagas) -> None:
        await sagas.add(saga())
        with pytest.raises(SagaExistsError):
            await sagas.add(saga(saga_type="other"))

    async def test_a_key_is_taken_once_for_ever(self, sagas: Sagas) -> None:
        await sagas.add(saga(key="k", status=SagaStatus.COMPLETED, finished_at=_LONG_AGO))
        with pytest.raises(SagaExistsError) as refused:
            await sagas.add(saga("s-2", key="k"))
        assert (refused.value.saga_id, refused.value.key) == ("s-2", "k")
        assert await sagas.find("s-2") is None

    async def test_types_and_tenants_have_keys_of_their_own(self, sagas: Sagas) -> None:
        for number, (saga_type, tenant) in enumerate([("a", None), ("b", None), ("a", "t")]):
            await sagas.add(saga(str(number), saga_type=saga_type, tenant_id=tenant, key="k"))
        found = await sagas.find_by_key("a", "k", tenant_id="t")
        assert found is not None
        assert (found.saga_id, found.tenant_id) == ("2", "t")
        assert await sagas.find_by_key("b", "k", tenant_id="t") is None

    async def test_many_sagas_need_no_key(self, sagas: Sagas) -> None:
        await sagas.add(saga("s-1"))
        await sagas.add(saga("s-2"))
        assert await _ids(sagas) == ["s-2", "s-1"]

    async def test_of_many_that_begin_one_saga_one_does(
        self, sagas: Sagas, uow_factory: UowFactory
    ) -> None:
        async def begin(number: int) -> str:
            async with uow_factory() as uow:
                if await sagas.find_by_key("fulfilment", "k", uow=uow) is None:
                    await asyncio.sleep(0)
                    await sagas.add(saga(f"s-{number}", key="k"), [entry(1)], uow)
            return f"s-{number}"

        outcomes = await asyncio.gather(*map(begin, range(8)), return_exceptions=True)
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        assert all(isinstance(each, ConcurrencyError) for each in failures), failures
        assert len(await sagas.search()) == 1

    # -- saving ---------------------------------------------------------------------------------

    async def test_a_save_changes_the_saga_and_lengthens_its_journal(self, sagas: Sagas) -> None:
        added = await sagas.add(saga(key="k"), [entry(1)])
        changed = replace(
            added,
            status=SagaStatus.COMPENSATING,
            step="charging",
            data=b"\x00",
            entries=3,
            attempts=2,
            error="e",
            wake_at=_FAR,
            updated_at=_FAR,
            finished_at=_FAR,
        )
        saved = await sagas.save(changed, [entry(2), entry(3, message_id="m")])
        assert saved == replace(changed, version=2)
        assert await sagas.find("s-1") == saved
        assert [each.number for each in await sagas.history("s-1")] == [1, 2, 3]

    async def test_a_stale_version_saves_nothing(self, sagas: Sagas) -> None:
        added = await sagas.add(saga())
        await sagas.save(replace(added, step="a"))
        with pytest.raises(ConcurrencyError):
            await sagas.save(replace(added, step="b"), [entry(1)])
        found = await sagas.find("s-1")
        assert found is not None
        assert (found.step, found.version) == ("a", 2)
        assert await sagas.history("s-1") == []

    async def test_a_saga_that_is_not_there_is_not_saved(self, sagas: Sagas) -> None:
        with pytest.raises(ConcurrencyError):
            await sagas.save(saga(version=1), [entry(1)])
        assert await sagas.history("s-1") == []

    async def test_of_two_savers_one_wins(self, sagas: Sagas, uow_factory: UowFactory) -> None:
        added = await sagas.add(saga())

        async def move(number: int) -> None:
            async with uow_factory() as uow:
                await sagas.save(replace(added, step=str(number)), [entry(1)], uow)

        outcomes = await asyncio.gather(*map(move, range(8)), return_exceptions=True)
        assert outcomes.count(None) == 1
        assert all(isinstance(each, ConcurrencyError) for each in outcomes if each is not None)
        assert len(await sagas.history("s-1")) == 1

    async def test_events_are_recognised_commands_are_not(self, sagas: Sagas) -> None:
        journal = [
            entry(1, action=SagaAction.EVENT, message_id="event"),
            entry(2, action=SagaAction.ACT, message_id="command"),
        ]
        await sagas.add(saga(), journal)
        assert await sagas.was_handled("s-1", "event")
        assert not await sagas.was_handled("s-1", "command")
        assert not await sagas.was_handled("s-2", "event")

    # -- units of work --------------------------------------------------------------------------

    async def test_a_unit_of_work_commits_it_with_the_rest(
        self, sagas: Sagas, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await sagas.add(saga(key="k"), [entry(1)], uow)
            assert await _elsewhere(sagas.find("s-1")) is None
        assert await version_of(uow_factory, "o-1") == 1
        assert await sagas.find("s-1") is not None

    async def test_a_failed_unit_of_work_leaves_nothing(
        self, sagas: Sagas, uow_factory: UowFactory
    ) -> None:
        added = await sagas.add(saga())
        with pytest.raises(ZeroDivisionError):
            async with uow_factory() as uow:
                await sagas.save(replace(added, step="a"), [entry(1)], uow)
                await sagas.add(saga("s-2", key="k"), [entry(1)], uow)
                raise ZeroDivisionError
        assert await sagas.find("s-1") == added
        assert await sagas.find_by_key("fulfilment", "k") is None
        assert await sagas.history("s-1") == []

    async def test_a_unit_of_work_sees_and_moves_on_what_it_saved(
        self, sagas: Sagas, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            event = entry(1, action=SagaAction.EVENT, message_id="m-1")
            added = await sagas.add(saga(key="k", entries=1), [event], uow)
            assert await sagas.find("s-1", uow) == added
            assert await sagas.find_by_key("fulfilment", "k", uow=uow) == added
            assert await sagas.was_handled("s-1", "m-1", uow)
            saved = await sagas.save(replace(added, step="a", entries=2), [entry(2)], uow)
            assert await sagas.find("s-1", uow) == saved
            with pytest.raises(SagaExistsError):
                await sagas.add(saga("s-2", key="k"), (), uow)
                await uow.flush()
            await uow.rollback()
        assert await sagas.find("s-1") is None

    async def test_several_saves_commit_together(
        self, sagas: Sagas, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            moved = await sagas.add(saga(), [entry(1)], uow)
            for number in (2, 3):
                moved = await sagas.save(replace(moved, entries=number), [entry(number)], uow)
            history = await sagas.history("s-1", uow)
        assert [each.number for each in history] == [1, 2, 3]
        assert await sagas.find("s-1") == moved
        assert list(await sagas.history("s-1")) == list(history)

    async def test_who_was_overtaken_commits_nothing(
        self, sagas: Sagas, uow_factory: UowFactory
    ) -> None:
        added = await sagas.add(saga())
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await sagas.save(replace(added, step="late"), [entry(1)], uow)
                await _elsewhere(sagas.save(replace(added, step="elsewhere")))
        assert await version_of(uow_factory, "o-1") is None
        found = await sagas.find("s-1")
        assert found is not None
        assert found.step == "elsewhere"

    # -- leases ---------------------------------------------------------------------------------

    async def test_what_is_due_is_claimed_the_longest_due_first(self, sagas: Sagas) -> None:
        await sagas.add(saga("asleep"))
        await sagas.add(saga("later", wake_at=_FAR))
        await sagas.add(saga("second", wake_at=_LONG_AGO + timedelta(seconds=1)))
        first = await sagas.add(saga("first", wake_at=_LONG_AGO))
        await sagas.add(saga("other", wake_at=_LONG_AGO, saga_type="unknown"))
        claimed = await _claim(sagas, worker="w-1")
        assert [each.saga_id for each in claimed] == ["first", "second"]
        held = claimed[0]
        assert (held.version, held.epoch, held.worker) == (first.version + 1, 1, "w-1")
        assert held.lease_until is not None
        assert await sagas.find("first") == held
        assert await _claim(sagas) == []

    async def test_a_claim_takes_no_more_than_its_limit(self, sagas: Sagas) -> None:
        for number in range(3):
            await sagas.add(saga(str(number), wake_at=_LONG_AGO))
        assert len(await _claim(sagas, limit=2)) == 2
        assert len(await _claim(sagas, limit=2)) == 1

    async def test_of_many_workers_each_saga_goes_to_one(self, sagas: Sagas) -> None:
        for number in range(20):
            await sagas.add(saga(f"s-{number:02}", wake_at=_LONG_AGO))
        claims = await asyncio.gather(*(_claim(sagas, worker=str(n), limit=5) for n in range(6)))
        claimed = [each.saga_id for claim in claims for each in claim]
        while rest := await _claim(sagas):
            claimed += [each.saga_id for each in rest]
        assert sorted(claimed) == [f"s-{number:02}" for number in range(20)]

    async def test_who_was_claimed_from_saves_nothing(self, sagas: Sagas) -> None:
        await sagas.add(saga(wake_at=_LONG_AGO))
        (first,) = await _claim(sagas, lease=-1.0)
        (second,) = await _claim(sagas)
        assert second.epoch == first.epoch + 1
        with pytest.raises(ConcurrencyError):
            await sagas.save(replace(first, step="late"))
        assert list(await sagas.renew({"s-1": first.epoch}, lease=_LONG)) == []
        await sagas.release("s-1", first.epoch)
        assert await _claim(sagas) == []
        await sagas.save(replace(second, step="done"))

    async def test_a_saga_may_be_leased_from_its_beginning(self, sagas: Sagas) -> None:
        held = await sagas.add(saga("held", wake_at=_LONG_AGO, worker="w-1"), lease=_LONG)
        await sagas.add(saga("dead", wake_at=_LONG_AGO, worker="w-2"), lease=-1.0)
        assert held.epoch == 1
        (claimed,) = await _claim(sagas)
        assert (claimed.saga_id, claimed.epoch) == ("dead", 2)
        assert list(await sagas.renew({"held": 1, "dead": 1}, lease=_LONG)) == ["held"]

    async def test_a_renewed_lease_survives_saves(self, sagas: Sagas) -> None:
        await sagas.add(saga(wake_at=_LONG_AGO))
        (claimed,) = await _claim(sagas, lease=30.0)
        assert list(await sagas.renew({"s-1": claimed.epoch}, lease=_LONG)) == ["s-1"]
        await sagas.save(replace(claimed, step="a"))
        found = await sagas.find("s-1")
        assert found is not None
        assert claimed.lease_until is not None
        assert found.lease_until is not None
        assert found.lease_until > claimed.lease_until

    async def test_a_save_may_release(self, sagas: Sagas) -> None:
        await sagas.add(saga(wake_at=_LONG_AGO))
        (claimed,) = await _claim(sagas)
        saved = await sagas.save(replace(claimed, step="a"), release=True)
        assert saved.lease_until is None
        (again,) = await _claim(sagas)
        assert (again.step, again.epoch) == ("a", 2)
        await sagas.release("s-1", again.epoch)
        assert len(await _claim(sagas)) == 1

    async def test_it_tells_when_the_next_one_can_be_claimed(self, sagas: Sagas) -> None:
        assert await sagas.next_due_in(["fulfilment"]) is None
        await sagas.add(saga("asleep"))
        await sagas.add(saga("far", wake_at=_FAR))
        await sagas.add(saga("other", wake_at=_LONG_AGO, saga_type="unknown"))
        far = await sagas.next_due_in(["fulfilment"])
        assert far is not None
        assert far > 1e9
        await sagas.add(saga("held", wake_at=_LONG_AGO))
        assert await sagas.next_due_in(["fulfilment"]) == 0
        await _claim(sagas, lease=1000.0)
        due_in = await sagas.next_due_in(["fulfilment"])
        assert due_in is not None
        assert 900 < due_in <= 1000

    # -- looking after them ---------------------------------------------------------------------

    async def test_sagas_are_found_by_what_they_are(self, sagas: Sagas) -> None:
        await sagas.add(saga("a", correlation_id="c", updated_at=_LONG_AGO))
        await sagas.add(saga("b", status=SagaStatus.FAILED, tenant_id="t", updated_at=_FAR))
        await sagas.add(saga("d", kind=SagaKind.TCC, saga_type="trip", updated_at=_FAR))
        assert await _ids(sagas) == ["d", "b", "a"]
        wanted = {
            "a": SagaFilter(correlation_id="c"),
            "b": SagaFilter(statuses=[SagaStatus.FAILED, SagaStatus.COMPLETED]),
            "d": SagaFilter(kinds=[SagaKind.TCC]),
        }
        assert {key: await _ids(sagas, value) for key, value in wanted.items()} == {
            "a": ["a"],
            "b": ["b"],
            "d": ["d"],
        }
        assert await _ids(sagas, SagaFilter(saga_types=["trip"])) == ["d"]
        assert await _ids(sagas, SagaFilter(tenant_id="t")) == ["b"]
        assert await _ids(sagas, SagaFilter(updated_before=_FAR)) == ["a"]
        assert await _ids(sagas, SagaFilter(statuses=[])) == []

    async def test_they_come_in_pages_the_latest_begun_first(self, sagas: Sagas) -> None:
        for number in range(5):  # two of a time
            begun = _LONG_AGO + timedelta(seconds=number // 2)
            await sagas.add(saga(f"s-{number}", created_at=begun))
        first = await _ids(sagas, limit=2)
        second = await _ids(sagas, limit=2, after=first[-1])
        third = await _ids(sagas, limit=2, after=second[-1])
        assert [first, second, third] == [["s-4", "s-3"], ["s-2", "s-1"], ["s-0"]]
        assert await _ids(sagas, limit=2, after="s-0") == []
        assert await _ids(sagas, limit=2, after="purged") == []

    async def test_they_are_counted_by_type_and_status(self, sagas: Sagas) -> None:
        await sagas.add(saga("a"))
        await sagas.add(saga("b"))
        await sagas.add(saga("c", status=SagaStatus.FAILED))
        await sagas.add(saga("d", saga_type="trip"))
        assert await sagas.statistics() == {
            "fulfilment": {SagaStatus.RUNNING: 2, SagaStatus.FAILED: 1},
            "trip": {SagaStatus.RUNNING: 1},
        }

    async def test_finished_ones_are_forgotten_with_their_journals(self, sagas: Sagas) -> None:
        old: dict[str, Any] = {"status": SagaStatus.COMPLETED, "finished_at": _LONG_AGO}
        for saga_id in ("old", "older"):
            await sagas.add(saga(saga_id, key=saga_id, **old), [entry(1)])
        await sagas.add(saga("open", status=SagaStatus.FAILED), [entry(1)])
        await sagas.add(saga("fresh", status=SagaStatus.COMPLETED, finished_at=_FAR))
        assert await sagas.purge(timedelta(days=36_500)) == 0
        assert await sagas.purge(timedelta(days=1), limit=1) == 1
        assert await sagas.purge(timedelta(days=1)) == 1
        assert await _ids(sagas) == ["open", "fresh"]
        assert await sagas.history("old") == []
        assert len(await sagas.history("open")) == 1
        await sagas.add(saga("again", key="old"))


async def _elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Do ``work`` as somebody else does, in no unit of work."""
    return await asyncio.create_task(work, context=Context())
