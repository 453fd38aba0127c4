"""What every memory of commands promises: a key is known if and only if its command committed."""
# ruff: noqa: D102, PT012 - test names are sentences; a unit of work is one step

import asyncio
from typing import Any

import pytest

from cqrs_ddd_core.cqrs.scope_errors import ForeignTaskError, UnitOfWorkClosedError
from cqrs_ddd_core.ports.idempotency_store import IIdempotencyStore
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import fail_after, store, version_of

_RESULTS: list[Any] = [
    None,
    "",
    "text é 😀",
    0,
    -1.5,
    2**53,
    False,
    [],
    {},
    {"a": [1, None, {"b": "c"}], "ключ": True},
]


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class IdempotencyStoreConformance:
    """Subclass, provide the fixtures ``idempotency_store`` and ``uow_factory``, done.

    ``idempotency_store`` is empty and on the same store as the units of work of ``uow_factory``
    (see ``UnitOfWorkConformance``).
    """

    async def test_it_implements_the_port(self, idempotency_store: IIdempotencyStore) -> None:
        assert isinstance(idempotency_store, IIdempotencyStore)

    async def test_an_unknown_key_has_no_result(self, idempotency_store: IIdempotencyStore) -> None:
        assert await idempotency_store.find("k-1") == (False, None)

    async def test_every_result_survives(self, idempotency_store: IIdempotencyStore) -> None:
        for number, result in enumerate(_RESULTS):
            await idempotency_store.save(f"k-{number}", result)
        for number, result in enumerate(_RESULTS):
            known, found = await idempotency_store.find(f"k-{number}")
            assert (known, found, type(found)) == (True, result, type(result))

    async def test_a_result_is_kept_as_it_was_when_saved(
        self, idempotency_store: IIdempotencyStore
    ) -> None:
        result = {"lines": [1]}
        await idempotency_store.save("k-1", result)
        result["lines"].append(2)
        _, found = await idempotency_store.find("k-1")
        assert found == {"lines": [1]}
        found["lines"].clear()
        assert await idempotency_store.find("k-1") == (True, {"lines": [1]})

    async def test_keys_that_look_alike_are_different_keys(
        self, idempotency_store: IIdempotencyStore
    ) -> None:
        keys = ["Place:a", "Place:A", "Place:a ", "place:a", "Place:\u00e9", "Place:e\u0301"]
        for key in keys:
            await idempotency_store.save(key, key)
        for key in keys:
            assert await idempotency_store.find(key) == (True, key)

    async def test_long_keys_that_begin_alike_are_different_keys(
        self, idempotency_store: IIdempotencyStore
    ) -> None:
        long = "shop.orders.commands.PlaceOrder:" + 1_000 * "é"
        await idempotency_store.save(f"{long}-1", 1)
        await idempotency_store.save(f"{long}-2", 2)
        assert await idempotency_store.find(f"{long}-1") == (True, 1)
        assert await idempotency_store.find(f"{long}-2") == (True, 2)
        assert await idempotency_store.find(long) == (False, None)

    async def test_a_taken_key_is_refused_and_keeps_its_result(
        self, idempotency_store: IIdempotencyStore, uow_factory: UowFactory
    ) -> None:
        await idempotency_store.save("k-1", "first")
        with pytest.raises(ConcurrencyError):
            await idempotency_store.save("k-1", "second")
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-1"))
                await idempotency_store.save("k-1", "third", uow)
        assert await idempotency_store.find("k-1") == (True, "first")
        assert await version_of(uow_factory, "o-1") is None

    async def test_a_key_is_known_once_its_unit_of_work_has_committed(
        self, idempotency_store: IIdempotencyStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await idempotency_store.save("k-1", "result", uow)
            assert await idempotency_store.find("k-1", uow) == (True, "result")
        assert await idempotency_store.find("k-1") == (True, "result")
        assert await version_of(uow_factory, "o-1") == 1

    async def test_a_key_of_a_failed_unit_of_work_is_free(
        self, idempotency_store: IIdempotencyStore, uow_factory: UowFactory
    ) -> None:
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                await idempotency_store.save("k-1", "failed", uow)
                raise _Oops
        assert await idempotency_store.find("k-1") == (False, None)
        await idempotency_store.save("k-1", "repeated")
        assert await idempotency_store.find("k-1") == (True, "repeated")

    async def test_a_key_goes_with_a_commit_that_is_refused(
        self, idempotency_store: IIdempotencyStore, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, Order(id="taken"))
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await idempotency_store.save("k-1", "refused", uow)
                await uow.orders.add(Order(id="taken"))
        assert await idempotency_store.find("k-1") == (False, None)

    async def test_a_savepoint_frees_the_keys_of_its_block(
        self, idempotency_store: IIdempotencyStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            with pytest.raises(_Oops):
                async with uow.savepoint():
                    await idempotency_store.save("k-1", "undone", uow)
                    raise _Oops
            assert await idempotency_store.find("k-1", uow) == (False, None)
            await idempotency_store.save("k-1", "kept", uow)
        assert await idempotency_store.find("k-1") == (True, "kept")

    async def test_of_many_who_take_one_key_one_commits(
        self, idempotency_store: IIdempotencyStore, uow_factory: UowFactory
    ) -> None:
        async def carry_out(number: int) -> int:
            async with uow_factory() as uow:
                await uow.orders.add(Order(id=f"o-{number}"))
                await idempotency_store.save("k-1", number, uow)
            return number

        outcomes = await asyncio.gather(
            *(carry_out(number) for number in range(8)), return_exceptions=True
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, ConcurrencyError)]
        assert (len(winners), len(losers)) == (1, 7)
        assert await idempotency_store.find("k-1") == (True, winners[0])
        async with uow_factory() as uow:
            assert [order.id for order in await uow.orders.list_all()] == [f"o-{winners[0]}"]

    async def test_a_child_task_of_a_command_is_refused(
        self, idempotency_store: IIdempotencyStore, uow_factory: UowFactory
    ) -> None:
        async def save() -> None:
            with pytest.raises(ForeignTaskError):
                await idempotency_store.save("k-1", "result")

        async def find() -> None:
            with pytest.raises(ForeignTaskError):
                await idempotency_store.find("k-1")

        await fail_after(uow_factory, save, find)
        assert await idempotency_store.find("k-1") == (False, None)

    async def test_a_unit_of_work_that_has_ended_is_refused(
        self, idempotency_store: IIdempotencyStore, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
        with pytest.raises(UnitOfWorkClosedError):
            await idempotency_store.save("k-1", "late", uow)
        with pytest.raises(UnitOfWorkClosedError):
            await idempotency_store.find("k-1", uow)
        assert await idempotency_store.find("k-1") == (False, None)
