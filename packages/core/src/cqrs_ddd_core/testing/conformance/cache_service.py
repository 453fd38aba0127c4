"""What every cache promises: the value that was set, or None; never another one."""
# ruff: noqa: D102 - test names are sentences

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic import BaseModel

from cqrs_ddd_core.ports.cache import ICacheService
from cqrs_ddd_core.testing.conformance.samples import (
    PLACED_AT,
    REFERENCE,
    Money,
    Order,
    OrderStatus,
    full_order,
)
from cqrs_ddd_core.testing.until import until

_LIFE = 0.3
_LONG = 60.0
_PLAIN: list[Any] = [
    "",
    "text é 😀",
    0,
    -1.5,
    2**53,
    True,
    False,
    [],
    {},
    [1, "two", None, {"a": [True]}],
    {"a": {"b": [1.5]}, "ключ": None},
]


class Shelf(BaseModel):
    """A model to be cached."""

    prices: dict[str, Decimal]
    counted_at: datetime


@dataclass
class Parcel:
    """A dataclass to be cached."""

    reference: UUID
    weights: tuple[float, ...]


class CacheServiceConformance:
    """Subclass, provide the fixture ``cache``, empty when a test begins, done."""

    async def test_it_implements_the_port(self, cache: ICacheService) -> None:
        assert isinstance(cache, ICacheService)

    async def test_an_unknown_key_has_no_value(self, cache: ICacheService) -> None:
        assert await cache.get("k") is None
        assert await cache.get("k", Shelf) is None

    async def test_what_json_can_hold_comes_back_as_it_was(self, cache: ICacheService) -> None:
        for number, value in enumerate(_PLAIN):
            await cache.set(f"k-{number}", value)
        for number, value in enumerate(_PLAIN):
            found = await cache.get(f"k-{number}")
            assert (found, type(found)) == (value, type(value))

    @pytest.mark.parametrize(
        "value",
        [
            Shelf(prices={"a": Decimal("0.10")}, counted_at=PLACED_AT),
            Parcel(reference=REFERENCE, weights=(0.1, 2.0)),
            Money(amount=Decimal("1.10")),
            Decimal("12345678901234567890.123456789"),
            REFERENCE,
            PLACED_AT,
            OrderStatus.SHIPPED,
        ],
        ids=lambda value: type(value).__name__,
    )
    async def test_a_value_is_read_as_the_class_that_is_asked_for(
        self, cache: ICacheService, value: Any
    ) -> None:
        cls = cast("type[Any]", type(value))
        await cache.set("k", value)
        found = await cache.get("k", cls)
        assert (found, type(found)) == (value, type(value))
        (found,) = await cache.get_batch(["k"], cls)
        assert (found, type(found)) == (value, type(value))

    async def test_an_aggregate_comes_back_with_all_its_fields(self, cache: ICacheService) -> None:
        order = full_order()
        await cache.set("k", order)
        found = await cache.get("k", Order)
        assert found is not None
        assert found.model_dump() == order.model_dump()

    async def test_what_comes_out_shares_nothing_with_what_went_in(
        self, cache: ICacheService
    ) -> None:
        value = {"list": [1]}
        await cache.set("k", value)
        value["list"].append(2)
        found = await cache.get("k")
        assert found == {"list": [1]}
        cast("Any", found)["list"].clear()
        assert await cache.get("k") == {"list": [1]}

    async def test_the_last_value_counts(self, cache: ICacheService) -> None:
        await cache.set("k", "first")
        await cache.set("k", "second")
        assert await cache.get("k") == "second"

    async def test_keys_that_look_alike_are_different_keys(self, cache: ICacheService) -> None:
        keys = ["a", "A", "a ", "a:b", "a/b", "\u00e9", "e\u0301", "ключ 😀"]
        await cache.set_batch({key: key for key in keys})
        assert await cache.get_batch(keys) == keys

    # -- how long ------------------------------------------------------------------------------

    async def test_a_value_is_gone_after_its_time(self, cache: ICacheService) -> None:
        await cache.set("short", "value", ttl=_LIFE)
        await cache.set("long", "value", ttl=_LONG)
        await cache.set("for ever", "value")
        await cache.set_batch({"short, too": "value"}, ttl=_LIFE)
        await until(lambda: _gone(cache, "short"), timeout=10)
        await until(lambda: _gone(cache, "short, too"), timeout=10)
        assert await cache.get_batch(["short", "long", "for ever"]) == [None, "value", "value"]

    async def test_setting_again_sets_the_time_again(self, cache: ICacheService) -> None:
        await cache.set("k", "first", ttl=_LIFE)
        await cache.set("witness", "first", ttl=_LIFE)
        await cache.set("k", "second")
        await until(lambda: _gone(cache, "witness"), timeout=10)
        assert await cache.get("k") == "second"

    # -- several -------------------------------------------------------------------------------

    async def test_a_batch_comes_in_the_order_of_its_keys(self, cache: ICacheService) -> None:
        await cache.set_batch({"a": 1, "b": 2, "c": 3})
        assert await cache.get_batch(["c", "x", "a", "c"]) == [3, None, 1, 3]
        assert await cache.get("b") == 2  # noqa: PLR2004
        assert await cache.get_batch([]) == []
        await cache.set_batch({})

    async def test_deleted_keys_are_gone_and_no_others(self, cache: ICacheService) -> None:
        await cache.set_batch({"a": 1, "b": 2, "c": 3})
        await cache.delete("a", "c", "unknown")
        await cache.delete()
        assert await cache.get_batch(["a", "b", "c"]) == [None, 2, None]

    @pytest.mark.parametrize("prefix", ["order:", "order:*", "or?er:", "[o]rder:", "100%_\\"])
    async def test_a_namespace_is_cleared_and_no_other(
        self, cache: ICacheService, prefix: str
    ) -> None:
        others = ["order", "Order:1", "an order:1", "orxer:1", "o", "100 percent"]
        if prefix != "order:":
            others.append("order:1")
        inside = [f"{prefix}1", f"{prefix}1:a", prefix]
        await cache.set_batch(dict.fromkeys((*others, *inside), "value"))
        await cache.clear_namespace(prefix)
        await cache.clear_namespace("nothing has this")
        assert await cache.get_batch(inside) == [None] * len(inside)
        assert await cache.get_batch(others) == ["value"] * len(others)

    async def test_a_large_namespace_is_cleared(self, cache: ICacheService) -> None:
        keys = [f"many:{number}" for number in range(2_500)]
        await cache.set_batch(dict.fromkeys(keys, 1))
        assert await cache.get_batch(keys) == [1] * len(keys)
        await cache.clear_namespace("many:")
        assert await cache.get_batch(keys) == [None] * len(keys)


async def _gone(cache: ICacheService, key: str) -> bool:
    return await cache.get(key) is None
