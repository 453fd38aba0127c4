"""What every read model promises the projections that write it."""
# ruff: noqa: D102, PT012 - test names are sentences; figures; a transaction is one step

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from cqrs_ddd_core.ports.read_model import IReadModel
from cqrs_ddd_core.testing.conformance.samples import UowFactory

Reader = Callable[[str], Awaitable[dict[Any, Mapping[str, Any]]]]


class _Oops(Exception):  # noqa: N818
    """What a test raises on purpose."""


class ReadModelConformance:
    """Subclass, provide ``read_model``, ``read_live`` and ``uow_factory``, done.

    The read model has three collections: ``totals``, rows with the key ``id``, ``name`` (text or
    null), ``orders`` and ``amount`` (whole numbers, 0 by default); ``spending``, rows with the key
    ``id`` and ``spent`` (an exact decimal or null); and ``profiles``, documents.
    ``read_live(collection)`` returns what readers see, rows without their key and documents, by
    key. ``uow_factory`` makes units of work on the same store.
    """

    async def test_it_implements_the_port(self, read_model: IReadModel) -> None:
        assert isinstance(read_model, IReadModel)

    async def test_rows_are_made_changed_counted_and_deleted(
        self, read_model: IReadModel, read_live: Reader, uow_factory: UowFactory
    ) -> None:
        await read_model.create(1, live=True)
        async with uow_factory() as uow:
            writer = read_model.writer(1, uow)
            await writer.put("totals", "a", {"name": "Ann"})
            await writer.add("totals", "a", {"orders": 1, "amount": 10})
            await writer.add("totals", "a", {"orders": 1, "amount": 5})
            await writer.add("totals", "b", {"orders": 1, "amount": 1})
            await writer.put("totals", "c", {"name": "Cid"})
            await writer.delete("totals", "c")
            await writer.delete("totals", "never there")
            await writer.flush()
        assert await read_live("totals") == {
            "a": {"name": "Ann", "orders": 2, "amount": 15},
            "b": _counted(orders=1, amount=1),
        }
        async with uow_factory() as uow:
            writer = read_model.writer(1, uow)
            await writer.add("totals", "a", {"amount": 7})
            await writer.put("totals", "a", {"orders": 40})
            await writer.add("totals", "a", {"orders": 2})
            await writer.put("totals", "b", {"name": "Bob"})
            await writer.delete("totals", "b")
            await writer.add("totals", "b", {"orders": 9})
            await writer.flush()
        assert await read_live("totals") == {
            "a": {"name": "Ann", "orders": 42, "amount": 22},
            "b": _counted(orders=9),
        }

    async def test_decimals_are_added_exactly_and_begin_at_0(
        self, read_model: IReadModel, read_live: Reader, uow_factory: UowFactory
    ) -> None:
        await read_model.create(1, live=True)
        async with uow_factory() as uow:
            writer = read_model.writer(1, uow)
            await writer.put("spending", "b", {"spent": None})
            await writer.flush()
        for amount in ("0.1", "0.2", "12345678901234567890.123456", "-0.000001"):
            async with uow_factory() as uow:
                writer = read_model.writer(1, uow)
                await writer.add("spending", "a", {"spent": Decimal(amount)})
                await writer.add("spending", "b", {"spent": Decimal(amount)})
                await writer.flush()
        spent = Decimal("12345678901234567890.423455")
        assert await read_live("spending") == {"a": {"spent": spent}, "b": {"spent": spent}}

    async def test_documents_are_replaced_whole(
        self, read_model: IReadModel, read_live: Reader, uow_factory: UowFactory
    ) -> None:
        await read_model.create(1, live=True)
        async with uow_factory() as uow:
            writer = read_model.writer(1, uow)
            await writer.put("profiles", "a", {"name": "Ann", "tags": ["x", {"y": None}]})
            await writer.put("profiles", "b", {"name": "Bob"})
            await writer.flush()
        async with uow_factory() as uow:
            writer = read_model.writer(1, uow)
            await writer.put("profiles", "a", {"tags": []})
            await writer.add("profiles", "b", {"visits": 2})
            await writer.add("profiles", "b", {"visits": 1})
            await writer.flush()
        assert await read_live("profiles") == {
            "a": {"tags": []},
            "b": {"name": "Bob", "visits": 3},
        }

    async def test_what_is_read_has_what_waits(
        self, read_model: IReadModel, uow_factory: UowFactory
    ) -> None:
        await read_model.create(1, live=True)
        async with uow_factory() as uow:
            writer = read_model.writer(1, uow)
            assert await writer.get("totals", "a") is None
            await writer.add("totals", "a", {"orders": 1})
            assert (await writer.get("totals", "a") or {})["orders"] == 1
            await writer.flush()
            await writer.add("totals", "a", {"orders": 1})
            await writer.put("totals", "a", {"name": "Ann"})
            row = await writer.get("totals", "a") or {}
            assert (row["orders"], row["name"]) == (2, "Ann")
            await writer.delete("totals", "a")
            assert await writer.get("totals", "a") is None
            await writer.put("profiles", "p", {"deep": {"er": [1]}})
            assert await writer.get("profiles", "p") == {"deep": {"er": [1]}}
            await writer.flush()
            assert await writer.get("totals", "a") is None
            assert await writer.get("profiles", "p") == {"deep": {"er": [1]}}

    async def test_writes_are_seen_if_their_transaction_commits(
        self, read_model: IReadModel, read_live: Reader, uow_factory: UowFactory
    ) -> None:
        await read_model.create(1, live=True)
        with pytest.raises(_Oops):
            async with uow_factory() as uow:
                writer = read_model.writer(1, uow)
                await writer.put("totals", "a", {"name": "Ann"})
                await writer.flush()
                raise _Oops
        assert await read_live("totals") == {}

    async def test_versions_stand_side_by_side_until_the_switch(
        self, read_model: IReadModel, read_live: Reader, uow_factory: UowFactory
    ) -> None:
        await read_model.create(1, live=True)
        await read_model.create(1, live=True)
        await read_model.create(2, live=False)
        for version, amount in ((1, 10), (2, 20)):
            async with uow_factory() as uow:
                writer = read_model.writer(version, uow)
                await writer.add("totals", "a", {"amount": amount})
                await writer.put("profiles", "a", {"version": version})
                await writer.flush()
        assert await read_live("totals") == {"a": _counted(amount=10)}
        for _ in range(2):
            async with uow_factory() as uow:
                await read_model.switch(2, uow)
        assert await read_live("totals") == {"a": _counted(amount=20)}
        assert await read_live("profiles") == {"a": {"version": 2}}
        await read_model.drop(1)
        await read_model.drop(1)
        await read_model.create(2, live=True)
        assert await read_live("totals") == {"a": _counted(amount=20)}


def _counted(orders: int = 0, amount: int = 0) -> dict[str, Any]:
    """Return a row as readers see it that was never given a name."""
    return {"name": None, "orders": orders, "amount": amount}
