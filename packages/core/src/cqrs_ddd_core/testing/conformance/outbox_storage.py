"""What every outbox promises: a message waits if and only if its transaction committed."""
# ruff: noqa: D102, PT012 - test names are sentences; a unit of work is one step

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from cqrs_ddd_core.cqrs.scope_errors import (
    ForeignTaskError,
    ReadOnlyUnitOfWorkError,
    UnitOfWorkClosedError,
)
from cqrs_ddd_core.ports.outbox_storage import IOutboxStorage, OutboxMessage
from cqrs_ddd_core.primitives.errors import ConcurrencyError, PersistenceError
from cqrs_ddd_core.testing.conformance.samples import PLACED_AT, Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import ask, fail_after, store, version_of


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class OutboxStorageConformance:
    """Subclass, provide the fixtures ``outbox`` and ``uow_factory``, done.

    ``outbox`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance``).
    """

    async def test_it_implements_the_port(self, outbox: IOutboxStorage) -> None:
        assert isinstance(outbox, IOutboxStorage)
        assert await outbox.get_pending() == []

    async def test_everything_a_message_holds_survives(self, outbox: IOutboxStorage) -> None:
        full = OutboxMessage(
            message_id="m-full",
            event_type="shop.Привет",
            payload=bytes(range(256)),
            occurred_at=datetime(2026, 3, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5))),
            schema_version=7,
            content_type="application/octet-stream",
            partition_key="Order/o-1",
            aggregate_type="Order",
            correlation_id="request-1",
            causation_id="command-1",
            tenant_id="t-1",
            headers={"traceparent": "00-ab-cd-01", "ключ": "значение"},
        )
        least = _message("m-least")
        await outbox.save_messages([full, least])
        pending = await outbox.get_pending()
        assert pending == [full, least]
        assert pending[0].occurred_at.tzinfo is not None

    async def test_a_time_without_a_zone_is_read_as_utc(self, outbox: IOutboxStorage) -> None:
        message = replace(_message("m-1"), occurred_at=PLACED_AT.replace(tzinfo=None))
        await outbox.save_messages([message])
        assert [found.occurred_at for found in await outbox.get_pending()] == [PLACED_AT]

    async def test_messages_wait_in_the_order_they_were_saved(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        await outbox.save_messages([_message("z"), _message("a", days=3)])
        async with uow_factory() as uow:
            await outbox.save_messages([_message("m", days=-3)], uow)
            await outbox.save_messages([_message("b"), _message("A")], uow)
        await outbox.save_messages([_message("0")])
        assert await _ids(outbox) == ["z", "a", "m", "b", "A", "0"]

    async def test_the_oldest_come_first_and_at_most_limit(self, outbox: IOutboxStorage) -> None:
        await outbox.save_messages([_message(f"m-{number:03}") for number in range(120)])
        assert await _ids(outbox, 3) == ["m-000", "m-001", "m-002"]
        assert len(await outbox.get_pending()) == 100  # noqa: PLR2004 - the default
        assert await _ids(outbox, 1000) == [f"m-{number:03}" for number in range(120)]
        assert await _ids(outbox, 0) == []

    async def test_reading_takes_nothing_away(self, outbox: IOutboxStorage) -> None:
        await outbox.save_messages([_message("m-1")])
        assert await _ids(outbox) == await _ids(outbox) == ["m-1"]

    async def test_nothing_to_save_is_no_harm(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        await outbox.save_messages([])
        async with uow_factory() as uow:
            await outbox.save_messages([], uow)
        assert await _ids(outbox) == []

    # -- the transaction -----------------------------------------------------------------------

    @pytest.mark.parametrize("given", [True, False], ids=["given", "current"])
    async def test_messages_are_there_once_their_unit_of_work_has_committed(
        self, outbox: IOutboxStorage, uow_factory: UowFactory, given: bool
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await outbox.save_messages([_message("m-1")], uow if given else None)
        assert await _ids(outbox) == ["m-1"]
        assert await version_of(uow_factory, "o-1") == 1

    @pytest.mark.parametrize("given", [True, False], ids=["given", "current"])
    async def test_messages_of_a_failed_unit_of_work_never_were(
        self, outbox: IOutboxStorage, uow_factory: UowFactory, given: bool
    ) -> None:
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await outbox.save_messages([_message("m-1")], uow if given else None)
                raise _Oops
        assert await _ids(outbox) == []
        assert await version_of(uow_factory, "o-1") is None

    async def test_messages_go_with_a_commit_that_is_refused(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="taken"))
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await outbox.save_messages([_message("m-1")], uow)
                await uow.orders.add(Order(id="taken"))
        assert await _ids(outbox) == []

    async def test_a_rollback_takes_back_only_what_was_not_committed(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await outbox.save_messages([_message("kept")], uow)
            await uow.commit()
            await outbox.save_messages([_message("undone")], uow)
            await uow.rollback()
            await outbox.save_messages([_message("last")], uow)
        assert await _ids(outbox) == ["kept", "last"]

    async def test_a_savepoint_takes_back_the_messages_of_its_block(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await outbox.save_messages([_message("before")], uow)
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    await outbox.save_messages([_message("inside")], uow)
                    raise _Oops
            await outbox.save_messages([_message("after")], uow)
        assert await _ids(outbox) == ["before", "after"]

    async def test_a_unit_of_work_sees_its_own_messages_behind_the_others(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        await outbox.save_messages([_message("m-1")])
        async with uow_factory() as uow:
            await outbox.save_messages([_message("m-2")])
            assert await _ids(outbox) == ["m-1", "m-2"]
            assert [m.message_id for m in await outbox.get_pending(2, uow)] == ["m-1", "m-2"]
            await uow.rollback()
            assert await _ids(outbox) == ["m-1"]

    async def test_a_unit_of_work_given_needs_not_be_current(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        uow = uow_factory()
        await outbox.save_messages([_message("committed")], uow)
        await uow.commit()
        await outbox.save_messages([_message("undone")], uow)
        await uow.close()
        assert await _ids(outbox) == ["committed"]

    # -- what is refused -----------------------------------------------------------------------

    async def test_an_id_that_is_there_already_is_refused(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        await outbox.save_messages([_message("m-1")])
        with pytest.raises(PersistenceError):
            await outbox.save_messages([_message("m-2"), _message("m-1")])
        with pytest.raises(PersistenceError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await outbox.save_messages([_message("m-1")], uow)
        assert await _ids(outbox) == ["m-1"]
        assert await version_of(uow_factory, "o-1") is None

    async def test_one_id_twice_is_refused(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        with pytest.raises(PersistenceError):
            await outbox.save_messages([_message("m-1"), _message("m-1")])
        with pytest.raises(PersistenceError):
            async with uow_factory() as uow:
                await outbox.save_messages([_message("m-1")], uow)
                await outbox.save_messages([_message("m-1")], uow)
        assert await _ids(outbox) == []

    async def test_a_unit_of_work_that_has_ended_is_refused(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await outbox.save_messages([_message("m-1")], uow)
        with pytest.raises(UnitOfWorkClosedError):
            await outbox.save_messages([_message("m-2")], uow)
        with pytest.raises(UnitOfWorkClosedError):
            await outbox.get_pending(10, uow)
        assert await _ids(outbox) == ["m-1"]

    async def test_a_unit_of_work_of_another_task_is_refused(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            save = outbox.save_messages([_message("m-1")], uow)
            with pytest.raises(ForeignTaskError):
                await asyncio.create_task(save)
        assert await _ids(outbox) == []

    async def test_a_child_task_of_a_command_is_refused(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        async def save() -> None:
            with pytest.raises(ForeignTaskError):
                await outbox.save_messages([_message("m-1")])

        async def read() -> None:
            with pytest.raises(ForeignTaskError):
                await outbox.get_pending()

        await fail_after(uow_factory, save, read)
        assert await outbox.get_pending() == []

    async def test_what_is_saved_after_the_commit_is_kept(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        async def save() -> None:
            await outbox.save_messages([_message("m-1")])

        async with uow_factory() as uow:
            uow.on_commit(save)
        assert [message.message_id for message in await outbox.get_pending()] == ["m-1"]

    async def test_a_query_cannot_save_messages(
        self, outbox: IOutboxStorage, uow_factory: UowFactory
    ) -> None:
        async def answer(_: Any, uow: Any) -> list[str]:
            with pytest.raises(ReadOnlyUnitOfWorkError):
                await outbox.save_messages([_message("m-2")], uow)
            with pytest.raises(ReadOnlyUnitOfWorkError):
                await outbox.save_messages([_message("m-2")])
            return await _ids(outbox)

        await outbox.save_messages([_message("m-1")])
        assert await ask(uow_factory, answer) == ["m-1"]
        assert await _ids(outbox) == ["m-1"]


def _message(message_id: str, days: int = 0) -> OutboxMessage:
    occurred_at = (PLACED_AT + timedelta(days=days)).astimezone(UTC)
    return OutboxMessage(
        message_id=message_id, event_type="Renamed", payload=b"{}", occurred_at=occurred_at
    )


async def _ids(outbox: IOutboxStorage, limit: int = 100) -> list[str]:
    return [message.message_id for message in await outbox.get_pending(limit)]
