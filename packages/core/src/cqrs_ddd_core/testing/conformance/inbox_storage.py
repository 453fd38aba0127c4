"""What every inbox promises: a message is recorded if and only if its effect committed."""
# ruff: noqa: D102, PT012 - test names are sentences; a unit of work is one step

import asyncio
from datetime import timedelta

import pytest

from cqrs_ddd_core.cqrs.scope_errors import UnitOfWorkClosedError
from cqrs_ddd_core.ports.inbox_storage import DuplicateMessageError, IInboxStorage
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import version_of
from cqrs_ddd_core.testing.until import until


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class InboxStorageConformance:
    """Subclass, provide the fixtures ``inbox`` and ``uow_factory``, done.

    ``inbox`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance``).
    """

    async def test_it_implements_the_port(self, inbox: IInboxStorage) -> None:
        assert isinstance(inbox, IInboxStorage)

    async def test_an_empty_inbox_has_handled_nothing(self, inbox: IInboxStorage) -> None:
        assert await inbox.handled("c", ["m-1"]) == set()
        assert await inbox.handled("c", []) == set()
        await inbox.record("c", [])

    async def test_what_was_recorded_is_handled_by_that_consumer_alone(
        self, inbox: IInboxStorage
    ) -> None:
        await inbox.record("c", ["m-1", "m-2"])
        await inbox.record("d", ["m-3"])
        assert await inbox.handled("c", ["m-1", "m-2", "m-3"]) == {"m-1", "m-2"}
        assert await inbox.handled("d", ["m-1", "m-2", "m-3"]) == {"m-3"}

    async def test_ids_that_look_alike_are_different_messages(self, inbox: IInboxStorage) -> None:
        ids = ["a", "A", "a ", "\u00e9", "e\u0301", "ключ"]
        await inbox.record("c", ids[:1])
        assert await inbox.handled("c", ids) == {"a"}
        await inbox.record("c", ids[1:])
        assert await inbox.handled("c", ids) == set(ids)
        assert await inbox.handled("C", ids) == set()

    async def test_a_message_can_be_recorded_once(self, inbox: IInboxStorage) -> None:
        await inbox.record("c", ["m-1"])
        with pytest.raises(DuplicateMessageError) as caught:
            await inbox.record("c", ["m-2", "m-1"])
        assert (caught.value.consumer, caught.value.message_ids) == ("c", ["m-2", "m-1"])
        assert await inbox.handled("c", ["m-1", "m-2"]) == {"m-1"}

    async def test_a_repetition_undoes_the_effect_it_came_with(
        self, inbox: IInboxStorage, uow_factory: UowFactory
    ) -> None:
        await inbox.record("c", ["m-1"])
        with pytest.raises(DuplicateMessageError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await inbox.record("c", ["m-1"], uow)
        assert await version_of(uow_factory, "o-1") is None

    @pytest.mark.parametrize("given", [True, False], ids=["given", "current"])
    async def test_a_message_is_handled_once_its_unit_of_work_has_committed(
        self, inbox: IInboxStorage, uow_factory: UowFactory, given: bool
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await inbox.record("c", ["m-1"], uow if given else None)
            assert await inbox.handled("c", ["m-1"]) == {"m-1"}
        assert await inbox.handled("c", ["m-1"]) == {"m-1"}
        assert await version_of(uow_factory, "o-1") == 1

    async def test_a_message_of_a_failed_unit_of_work_is_not_handled(
        self, inbox: IInboxStorage, uow_factory: UowFactory
    ) -> None:
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await inbox.record("c", ["m-1"], uow)
                raise _Oops
        assert await inbox.handled("c", ["m-1"]) == set()
        await inbox.record("c", ["m-1"])

    async def test_one_message_twice_in_a_unit_of_work_is_refused(
        self, inbox: IInboxStorage, uow_factory: UowFactory
    ) -> None:
        with pytest.raises(DuplicateMessageError):
            async with uow_factory() as uow:
                await inbox.record("c", ["m-1"], uow)
                await inbox.record("c", ["m-1"], uow)
        assert await inbox.handled("c", ["m-1"]) == set()

    async def test_of_many_deliveries_at_once_one_takes_effect(
        self, inbox: IInboxStorage, uow_factory: UowFactory
    ) -> None:
        async def deliver(number: int) -> bool:
            try:
                async with uow_factory() as uow:
                    await uow.orders.add(Order(id=f"o-{number}"))
                    await inbox.record("c", ["m-1"], uow)
            except DuplicateMessageError:
                return False
            return True

        assert sum(await asyncio.gather(*map(deliver, range(5)))) == 1
        async with uow_factory() as uow:
            assert len(await uow.orders.list_all()) == 1

    async def test_a_unit_of_work_that_has_ended_is_refused(
        self, inbox: IInboxStorage, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            pass
        with pytest.raises(UnitOfWorkClosedError):
            await inbox.record("c", ["m-1"], uow)
        assert await inbox.handled("c", ["m-1"]) == set()

    async def test_old_messages_can_be_forgotten(self, inbox: IInboxStorage) -> None:
        await inbox.record("c", ["m-1", "m-2", "m-3"])
        assert await inbox.purge(timedelta(days=1)) == 0
        assert await until(lambda: inbox.purge(timedelta(0), limit=2), timeout=30) == 2  # noqa: PLR2004
        assert await inbox.purge(timedelta(0)) == 1
        assert await inbox.handled("c", ["m-1", "m-2", "m-3"]) == set()
