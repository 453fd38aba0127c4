"""What every repository promises: what goes in comes out, unchanged."""
# ruff: noqa: D102 - test names are sentences; a unit of work is one step

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest

from cqrs_ddd_core.ports.repository import IRepository
from cqrs_ddd_core.primitives.errors import EntityNotFoundError
from cqrs_ddd_core.testing.conformance.samples import (
    PLACED_AT,
    Address,
    Money,
    Order,
    OrderLine,
    OrderStatus,
    UowFactory,
    full_order,
)
from cqrs_ddd_core.testing.conformance.steps import change, store, version_of

_VALUES: list[tuple[str, Any]] = [
    ("customer", ""),
    ("customer", " spaces around "),
    ("customer", 'it\'s "quoted" 100%_\\ \t\n; DROP TABLE orders --'),
    ("customer", "e\u0301 is not \u00e9"),
    ("customer", "汉字 עברית 😀 \U0001f468\u200d\U0001f469"),
    ("customer", "x" * 100_000),
    ("status", OrderStatus.CANCELLED),
    ("total", Decimal("0.000000000001")),
    ("total", Decimal("-99999999999999999999999999.999999999999")),
    ("total", Decimal("1E+3")),
    ("total", Decimal("10.10")),
    ("discount", Decimal(0)),
    ("discount", Decimal("0.1")),
    ("quantity", 2**63 - 1),
    ("quantity", -(2**63)),
    ("weight", 0.1 + 0.2),
    ("weight", 1 / 3),
    ("weight", -1.5e300),
    ("weight", 5e-300),
    ("paid", True),
    ("placed_at", datetime(1000, 1, 1, tzinfo=UTC)),
    ("placed_at", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ("placed_at", datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=-9, minutes=-30)))),
    ("shipped_at", PLACED_AT + timedelta(microseconds=1)),
    ("due_on", date(1000, 1, 1)),
    ("due_on", date(9999, 12, 31)),
    ("reference", UUID(int=0)),
    ("reference", UUID(int=2**128 - 1)),
    ("country", ""),
    ("ship_to", Address(city="Rīga", street="")),
    ("lines", [OrderLine(sku="a", quantity=1, price=Money(amount=Decimal("1.10")))]),
    ("lines", [OrderLine(sku="a", quantity=1, price=Money(amount=Decimal("-1e-20")))] * 3),
    ("attributes", {"": {"a": [None, True, 0, 0.5, "x", [], {}]}, "a.b": "dots", "$c": "dollar"}),
    ("attributes", {"big": 2**53 - 1, "small": -0.25, "text": "é😀\u2028\\"}),
]


class RepositoryConformance:
    """Subclass, provide the fixture ``uow_factory`` (see ``UnitOfWorkConformance``), done."""

    async def test_it_implements_the_port(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            assert isinstance(uow.orders, IRepository)

    # -- values --------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "make", [lambda: Order(id="o-full"), full_order], ids=["defaults", "a value in every field"]
    )
    async def test_every_value_survives(
        self, uow_factory: UowFactory, make: Callable[[], Order]
    ) -> None:
        order = make()
        expected = order.model_dump()
        await store(uow_factory, order)
        async with uow_factory() as uow:
            stored = await uow.orders.require("o-full")
            _require_same(stored.model_dump(), expected)

    @pytest.mark.parametrize("field", dict(_VALUES))
    async def test_a_value_survives_its_insert_and_its_update(
        self, uow_factory: UowFactory, field: str
    ) -> None:
        values = [value for name, value in _VALUES if name == field]
        await store(uow_factory, full_order("updated"))
        for number, value in enumerate(values):
            inserted = Order(id=f"inserted-{number}")
            setattr(inserted, field, value)
            await store(uow_factory, inserted)
            await change(uow_factory, "updated", **{field: value})
            async with uow_factory() as uow:
                for order_id in (inserted.id, "updated"):
                    _require_same(getattr(await uow.orders.require(order_id), field), value)

    @pytest.mark.parametrize("field", ["discount", "shipped_at", "country", "ship_to"])
    async def test_a_value_can_be_taken_away(self, uow_factory: UowFactory, field: str) -> None:
        await store(uow_factory, full_order("o-1"))
        await change(uow_factory, "o-1", **{field: None})
        async with uow_factory() as uow:
            assert getattr(await uow.orders.require("o-1"), field) is None

    async def test_an_instant_comes_back_with_its_zone(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, full_order("o-1"))
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
        assert order.placed_at == datetime(2026, 3, 29, 0, 30, 0, 1, tzinfo=UTC)
        assert order.placed_at.tzinfo is not None
        assert order.lines[1].added_at.tzinfo is not None

    async def test_an_instant_without_a_zone_is_read_as_utc(self, uow_factory: UowFactory) -> None:
        naive = PLACED_AT.replace(tzinfo=None)
        line = OrderLine(sku="a", quantity=1, price=Money(amount=Decimal(1)), added_at=naive)
        given = Order(id="given", placed_at=naive, shipped_at=naive, lines=[line])
        assert given.placed_at.tzinfo is not None
        await store(uow_factory, given, Order(id="changed"))
        await change(uow_factory, "changed", placed_at=naive, shipped_at=naive, lines=[line])
        async with uow_factory() as uow:
            for order in await uow.orders.list_all():
                moments = [order.placed_at, order.shipped_at, order.lines[0].added_at]
                assert moments == [PLACED_AT] * 3

    @pytest.mark.parametrize(
        "ids", [("A", "a"), ("a", "a "), ("e\u0301", "\u00e9"), ("ss", "ß"), ("1", "01")], ids=repr
    )
    async def test_ids_that_look_alike_are_different_ids(
        self, uow_factory: UowFactory, ids: tuple[str, str]
    ) -> None:
        first, second = ids
        await store(uow_factory, Order(id=first, customer="first"))
        async with uow_factory() as uow:
            assert await uow.orders.get(second) is None
        await store(uow_factory, Order(id=second, customer="second"))
        async with uow_factory() as uow:
            assert (await uow.orders.require(first)).customer == "first"
            assert (await uow.orders.require(second)).customer == "second"

    async def test_what_is_loaded_has_no_pending_events(self, uow_factory: UowFactory) -> None:
        order = Order(id="o-1")
        order.rename("c-2")
        await store(uow_factory, order)
        assert len(order.pending_events) == 1
        async with uow_factory() as uow:
            assert (await uow.orders.require("o-1")).pending_events == ()

    # -- add, get, delete ----------------------------------------------------------------------

    async def test_add_returns_the_id(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            assert await uow.orders.add(Order(id="o-1")) == "o-1"

    async def test_adding_again_is_no_harm(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            order = Order(id="o-1")
            await uow.orders.add(order)
            await uow.orders.add(order)
            await uow.flush()
            await uow.orders.add(order)
        assert await version_of(uow_factory, "o-1") == 1
        async with uow_factory() as uow:
            await uow.orders.add(await uow.orders.require("o-1"))
        assert await version_of(uow_factory, "o-1") == 1

    async def test_what_does_not_exist_is_none_or_an_error(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            assert await uow.orders.get("o-1") is None
            with pytest.raises(EntityNotFoundError) as failure:
                await uow.orders.require("o-1")
            assert (failure.value.entity_type, failure.value.entity_id) == ("Order", "o-1")
            with pytest.raises(EntityNotFoundError):
                await uow.orders.delete("o-1")

    async def test_what_is_deleted_is_gone(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"), Order(id="o-2"))
        async with uow_factory() as uow:
            assert await uow.orders.delete("o-1") == "o-1"
            assert await uow.orders.get("o-1") is None
            assert [order.id for order in await uow.orders.list_all()] == ["o-2"]
            with pytest.raises(EntityNotFoundError):
                await uow.orders.delete("o-1")
        assert await version_of(uow_factory, "o-1") is None
        assert await version_of(uow_factory, "o-2") == 1

    async def test_a_deleted_id_can_be_used_again(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"))
        await change(uow_factory, "o-1", quantity=1)
        async with uow_factory() as uow:
            await uow.orders.delete("o-1")
        await store(uow_factory, Order(id="o-1", quantity=7))
        async with uow_factory() as uow:
            order = await uow.orders.require("o-1")
            assert (order.quantity, order.version) == (7, 1)

    async def test_what_is_added_and_deleted_was_never_there(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await uow.orders.delete("o-1")
            await uow.orders.add(Order(id="o-2"))
            await uow.flush()
            await uow.orders.delete("o-2")
        assert await version_of(uow_factory, "o-1") is None
        assert await version_of(uow_factory, "o-2") is None

    # -- several -------------------------------------------------------------------------------

    async def test_list_all_gives_all_or_those_of_the_ids_that_exist(
        self, uow_factory: UowFactory
    ) -> None:
        await store(uow_factory, *(Order(id=f"o-{number}") for number in range(4)))
        async with uow_factory() as uow:
            assert await _ids(uow.orders) == ["o-0", "o-1", "o-2", "o-3"]
            assert await _ids(uow.orders, ["o-3", "o-9", "o-1", "o-3"]) == ["o-1", "o-3"]
            assert await _ids(uow.orders, []) == []

    async def test_list_all_sees_what_this_unit_of_work_did(self, uow_factory: UowFactory) -> None:
        await store(uow_factory, Order(id="o-1"), Order(id="o-2"))
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-3"))
            await uow.orders.delete("o-1")
            assert await _ids(uow.orders) == ["o-2", "o-3"]
            assert await _ids(uow.orders, ["o-1", "o-3"]) == ["o-3"]

    async def test_many_are_written_and_read_at_once(self, uow_factory: UowFactory) -> None:
        ids = [f"o-{number:04}" for number in range(1_100)]
        await store(uow_factory, *(Order(id=order_id) for order_id in ids))
        async with uow_factory() as uow:
            orders = await uow.orders.list_all(ids)
            assert sorted(order.id for order in orders) == ids
            for order in orders:
                order.quantity = 1
        async with uow_factory() as uow:
            changed = await uow.orders.list_all()
            assert {(order.quantity, order.version) for order in changed} == {(1, 2)}


async def _ids(orders: IRepository[Order, str], ids: list[str] | None = None) -> list[str]:
    return sorted(order.id for order in await orders.list_all(ids))


def _require_same(actual: Any, expected: Any) -> None:
    """Compare values and their types: a Decimal that comes back as a float is another value."""
    assert actual == expected
    assert _types(actual) == _types(expected)


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _types(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_types(item) for item in cast("list[Any]", value)]
    return cast("Any", type(value))
