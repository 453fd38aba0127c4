"""What every search promises: one answer on every store, read when it is asked for."""
# ruff: noqa: D102, PLR2004 - test names are sentences; a unit of work is one step

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from cqrs_ddd_core.ports.cursor import encode_cursor
from cqrs_ddd_core.ports.query_options import Ordering, QueryOptions
from cqrs_ddd_core.ports.search_result import SearchResult
from cqrs_ddd_core.primitives.query_errors import (
    FieldNotFoundError,
    InvalidCursorError,
    QueryOptionsError,
)
from cqrs_ddd_core.testing.conformance.samples import (
    PLACED_AT,
    Address,
    Order,
    OrderStatus,
    SampleUnitOfWork,
    UowFactory,
)
from cqrs_ddd_core.testing.conformance.steps import ask, store

_TEXTS = ["", " ", "A", "Z", "a", "a ", "ab", "z", "É", "é", "\uff5e", "😀"]  # by code point
_FIELDS: list[tuple[str, list[Any]]] = [
    ("customer", _TEXTS),
    ("id", _TEXTS[2:]),
    ("status", [OrderStatus.CANCELLED, OrderStatus.OPEN, OrderStatus.SHIPPED]),
    ("total", [Decimal(value) for value in ("-10", "-9.5", "0", "0.10", "2", "10", "1E+3")]),
    ("discount", [Decimal("-0.01"), Decimal(0), Decimal(5), None]),
    ("quantity", [-(2**62), -1, 0, 9, 10, 2**62]),
    ("weight", [-1.5, 0.0, 1e-9, 0.1, 1e9]),
    ("paid", [False, True]),
    ("placed_at", [PLACED_AT + timedelta(microseconds=n) for n in (-(10**13), 0, 1, 10**6)]),
    ("shipped_at", [datetime(1999, 1, 1, tzinfo=UTC), PLACED_AT, None]),
    ("due_on", [date(1999, 12, 31), date(2026, 2, 28), date(2026, 3, 1)]),
    ("reference", [UUID(int=value) for value in (0, 1, 2**64, 2**100, 2**127, 2**128 - 1)]),
    ("country", [*_TEXTS[2:], None]),
    ("ship_to.city", ["A", "a", "é", "😀", None]),
]

Search = Callable[..., Any]


class SearchConformance:
    """Subclass, provide the fixture ``uow_factory`` (see ``UnitOfWorkConformance``), done.

    Conditions are not part of it: they are the specifications' own matter. A search without one
    shows all the rest.
    """

    # -- ordering ------------------------------------------------------------------------------

    @pytest.mark.parametrize(("field", "values"), _FIELDS, ids=[name for name, _ in _FIELDS])
    async def test_the_order_is_the_same_on_every_store(
        self, uow_factory: UowFactory, field: str, values: list[Any]
    ) -> None:
        orders = [_order_with(field, value, number) for number, value in enumerate(values)]
        await store(uow_factory, *orders[1::2], *reversed(orders[::2]))
        expected = [order.id for order in orders]
        async with uow_factory() as uow:
            upwards = await uow.orders.search(QueryOptions().with_ordering(field))
            assert [order.id for order in await upwards] == expected
            downwards = await uow.orders.search(QueryOptions().with_ordering(f"-{field}"))
            assert [order.id for order in await downwards] == expected[::-1]

    async def test_the_first_field_counts_most_and_the_id_tells_equals_apart(
        self, uow_factory: UowFactory
    ) -> None:
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            found = await uow.orders.search(QueryOptions().with_ordering("-country", "quantity"))
            assert [order.id for order in await found] == [
                "n-0", "n-1", "n-2", "lv-0", "lv-1", "lv-2", "ee-0", "ee-1", "ee-2",
            ]  # fmt: skip
            found = await uow.orders.search(QueryOptions().with_ordering("quantity"))
            assert [order.id for order in await found] == [
                "ee-0", "lv-0", "n-0", "ee-1", "lv-1", "n-1", "ee-2", "lv-2", "n-2",
            ]  # fmt: skip
            found = await uow.orders.search(QueryOptions().with_ordering("quantity", "-id"))
            assert [order.id for order in await found][:3] == ["n-0", "lv-0", "ee-0"]

    # -- pages ---------------------------------------------------------------------------------

    async def test_limit_and_offset_cut_out_a_page(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        ordered = QueryOptions().with_ordering("id")
        async with uow_factory() as uow:
            everything = await _found(uow, ordered)
            assert everything == sorted(everything)
            for limit, offset in ((3, 0), (3, 3), (5, 7), (0, 0), (None, 4), (9, 0), (1, 9)):
                page = ordered.with_pagination(limit=limit, offset=offset)
                end = None if limit is None else offset + limit
                assert await _found(uow, page) == everything[offset:end]

    async def test_pages_without_an_ordering_are_pages_by_id(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            pages = [
                await _found(uow, QueryOptions().with_pagination(limit=4, offset=offset))
                for offset in (0, 4, 8)
            ]
        assert [len(page) for page in pages] == [4, 4, 1]
        ids = [order_id for page in pages for order_id in page]
        assert ids == sorted(ids)

    @pytest.mark.parametrize(
        "ordering",
        [
            ("id",),
            ("-id",),
            ("country",),
            ("-country",),
            ("country", "-discount"),
            ("-discount", "total"),
            ("discount", "-country", "-quantity"),
            ("-placed_at",),
            ("due_on", "reference"),
            ("status", "-weight"),
            ("paid", "-shipped_at"),
            ("ship_to.city", "customer"),
        ],
        ids=",".join,
    )
    async def test_a_cursor_leads_through_all_pages(
        self, uow_factory: UowFactory, ordering: tuple[str, ...]
    ) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_ordering(*ordering)
        async with uow_factory() as uow:
            everything = await _found(uow, options)
            assert len(everything) == 9
            for limit in (1, 2, 4, 9, 10):
                assert await _paged(uow, options.with_limit(limit)) == everything

    async def test_a_cursor_goes_on_where_the_page_ended_whatever_is_added_before(
        self, uow_factory: UowFactory
    ) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_ordering("id").with_limit(4)
        async with uow_factory() as uow:
            first = await uow.orders.search(options)
            ids = [order.id for order in await first]
            cursor = await first.next_cursor()
        await store(uow_factory, Order(id="a-new-first"))
        async with uow_factory() as uow:
            await uow.orders.delete(ids[-1])
            assert await _found(uow, options.with_cursor(cursor)) == ["lv-1", "lv-2", "n-0", "n-1"]

    async def test_a_cursor_pages_through_projections(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_ordering("-quantity").with_fields(["id", "quantity"])
        async with uow_factory() as uow:
            first = await uow.orders.search(options.with_limit(2))
            assert await _rows(first) == [
                {"id": "ee-2", "quantity": 2},
                {"id": "lv-2", "quantity": 2},
            ]
            second = await uow.orders.search(
                options.with_limit(2).with_cursor(await first.next_cursor())
            )
            assert await _rows(second) == [
                {"id": "n-2", "quantity": 2},
                {"id": "ee-1", "quantity": 1},
            ]
            without = await uow.orders.search(options.with_fields(["id"]).with_limit(2))
            with pytest.raises(QueryOptionsError):
                await without.next_cursor()

    async def test_a_cursor_of_another_ordering_is_refused(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        by_country = [Ordering("country"), Ordering("id")]
        options = QueryOptions().with_ordering("-country").with_limit(2)
        async with uow_factory() as uow:
            for cursor in (encode_cursor(by_country, ["LV", "lv-0"]), "nonsense", "", "é"):
                with pytest.raises(InvalidCursorError):
                    await _found(uow, options.with_cursor(cursor))

    # -- how it is read ------------------------------------------------------------------------

    async def test_a_search_without_options_finds_everything(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            nothing = await uow.orders.search()
            assert await nothing == []
            assert await nothing.first() is None
            assert await nothing.total_count() == 0
            assert await nothing.next_cursor() is None
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            assert len(await (await uow.orders.search())) == 9
            first = await uow.orders.search(QueryOptions().with_ordering("-id"))
            assert (await _first(first)).id == "n-2"

    async def test_it_sees_what_this_unit_of_work_did(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="a-new", quantity=50))
            (await uow.orders.require("n-0")).quantity = 100
            await uow.orders.delete("lv-0")
            options = QueryOptions().with_ordering("-quantity").with_limit(2)
            result = await uow.orders.search(options)
            assert [order.id for order in await result] == ["n-0", "a-new"]
            assert await result.total_count() == 9

    async def test_what_it_finds_is_saved_when_changed(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            for order in await (await uow.orders.search(QueryOptions().with_limit(2))):
                order.customer = "changed"
        assert await self._changed(uow_factory) == ["ee-0", "ee-1"]

    @pytest.mark.parametrize("batch_size", [1, 2, 4, 9, 100])
    async def test_a_stream_comes_in_batches(
        self, uow_factory: UowFactory, batch_size: int
    ) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_ordering("-id")
        async with uow_factory() as uow:
            result = await uow.orders.search(options)
            batches = [[order.id for order in batch] async for batch in result.stream(batch_size)]
            ids = [order_id for batch in batches for order_id in batch]
            assert ids == await _found(uow, options)
            assert all(0 < len(batch) <= batch_size for batch in batches)

    async def test_a_stream_obeys_the_page(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_ordering("id").with_pagination(limit=5, offset=2)
        async with uow_factory() as uow:
            result = await uow.orders.search(options)
            streamed = [order.id async for batch in result.stream(2) for order in batch]
            assert streamed == await _found(uow, options)
            projected = await uow.orders.search(options.with_fields(["id"]))
            rows: list[Any] = [row async for batch in projected.stream(2) for row in batch]
            assert rows == [{"id": order_id} for order_id in streamed]

    async def test_what_a_stream_gave_is_saved_when_changed(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            result = await uow.orders.search()
            async for batch in result.stream(2):
                for order in batch:
                    if order.quantity == 1:
                        order.customer = "changed"
        assert await self._changed(uow_factory) == ["ee-1", "lv-1", "n-1"]

    async def test_a_stream_holds_on_only_to_what_has_changed(
        self, uow_factory: UowFactory
    ) -> None:
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            result = await uow.orders.search(QueryOptions().with_ordering("id"))
            async for batch in result.stream(3):
                assert len(uow.tracked()) <= 3 + 1
                if batch[0].id == "ee-0":
                    batch[0].rename("changed")
            assert [order.id for order in uow.tracked()] == ["ee-0"]

    async def test_a_stream_can_be_left_early(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            result = await uow.orders.search(QueryOptions().with_ordering("id"))
            stream: Any = result.stream(2)
            assert [order.id for order in await anext(stream)] == ["ee-0", "ee-1"]
            await stream.aclose()
            await uow.orders.add(Order(id="after"))
            assert len(await uow.orders.list_all()) == 10

    async def test_a_batch_has_at_least_one_item(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            result = await uow.orders.search()
            for batch_size in (0, -1):
                with pytest.raises(QueryOptionsError):
                    await anext(result.stream(batch_size))

    async def test_the_total_count_does_not_depend_on_the_page(
        self, uow_factory: UowFactory
    ) -> None:
        await self._store_nine(uow_factory)
        async with uow_factory() as uow:
            for options in (
                QueryOptions(),
                QueryOptions().with_pagination(limit=2, offset=3),
                QueryOptions().with_pagination(limit=0),
                QueryOptions().with_ordering("-country").with_pagination(offset=100),
                QueryOptions().with_fields(["country"]).with_limit(1),
            ):
                assert await (await uow.orders.search(options)).total_count() == 9
            groups = QueryOptions().with_grouping("country").with_limit(1)
            assert await (await uow.orders.search(groups)).total_count() == 3

    async def test_a_query_reads_all_of_it_as_well(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)

        async def answer(_: Any, uow: SampleUnitOfWork) -> list[Any]:
            result = await uow.orders.search(QueryOptions().with_ordering("id"))
            streamed = [order.id async for batch in result.stream(4) for order in batch]
            return [await _found(uow, QueryOptions().with_ordering("id")), streamed]

        found, streamed = await ask(uow_factory, answer)
        assert found == streamed
        assert len(found) == 9

    # -- what it gives -------------------------------------------------------------------------

    async def test_a_projection_gives_dicts_of_the_fields(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_ordering("id").with_limit(1)
        fields = ["status", "total", "placed_at", "due_on", "reference", "discount", "lines"]
        async with uow_factory() as uow:
            (order,) = await (await uow.orders.search(options))
            (row,) = await _rows(await uow.orders.search(options.with_fields(fields)))
        assert row == {field: getattr(order, field) for field in fields}
        assert {name: type(value) for name, value in row.items()} == {
            field: type(getattr(order, field)) for field in fields
        }

    async def test_a_projection_reaches_into_nested_values(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_fields(["id", "ship_to.city"]).with_ordering("id")
        async with uow_factory() as uow:
            rows = await _rows(await uow.orders.search(options.with_limit(2)))
        assert rows == [{"id": "ee-0", "ship_to.city": None}, {"id": "ee-1", "ship_to.city": "b"}]

    async def test_distinct_gives_equal_rows_once(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_fields(["country"]).with_ordering("country")
        async with uow_factory() as uow:
            rows = await _rows(await uow.orders.search(options.with_distinct()))
            assert rows == [{"country": "EE"}, {"country": "LV"}, {"country": None}]
            rows = await _rows(await uow.orders.search(options))
            assert [row["country"] for row in rows] == ["EE"] * 3 + ["LV"] * 3 + [None] * 3
            second = options.with_distinct().with_pagination(limit=1, offset=1)
            assert await _rows(await uow.orders.search(second)) == [{"country": "LV"}]

    async def test_groups_come_with_their_figures(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        options = (
            QueryOptions()
            .with_grouping("country")
            .with_ordering("-country")
            .with_aggregation("id", "count")
            .with_aggregation("total", "sum")
            .with_aggregation("discount", "avg", key="average")
        )
        async with uow_factory() as uow:
            assert await _rows(await uow.orders.search(options)) == [
                {"country": None, "id_count": 3, "total_sum": Decimal("30.3"), "average": None},
                {"country": "LV", "id_count": 3, "total_sum": Decimal("30.3"), "average": 5},
                {"country": "EE", "id_count": 3, "total_sum": Decimal("30.3"), "average": 5},
            ]
            page = options.with_pagination(limit=1, offset=1)
            assert [row["country"] for row in await _rows(await uow.orders.search(page))] == ["LV"]

    async def test_groups_can_be_ordered_by_a_figure_and_formed_by_several_fields(
        self, uow_factory: UowFactory
    ) -> None:
        await self._store_nine(uow_factory)
        options = (
            QueryOptions()
            .with_grouping("status", "paid")
            .with_aggregation("quantity", "sum", key="pieces")
            .with_ordering("-pieces", "status")
        )
        async with uow_factory() as uow:
            assert await _rows(await uow.orders.search(options)) == [
                {"status": OrderStatus.OPEN, "paid": True, "pieces": 6},
                {"status": OrderStatus.SHIPPED, "paid": False, "pieces": 3},
                {"status": OrderStatus.OPEN, "paid": False, "pieces": 0},
            ]

    async def test_figures_are_over_all_that_matches(self, uow_factory: UowFactory) -> None:
        await self._store_nine(uow_factory)
        options = QueryOptions().with_limit(1)
        expected: dict[str, Any] = {}
        for field, function, value in _FIGURES:
            options = options.with_aggregation(field, function)
            expected[f"{field}_{function}"] = value
        async with uow_factory() as uow:
            figures = await (await uow.orders.search(options)).aggregations()
        assert figures == expected
        assert {key: type(value) for key, value in figures.items()} == {
            key: type(value) for key, value in expected.items()
        }

    async def test_the_figures_of_nothing_are_none_and_their_count_is_zero(
        self, uow_factory: UowFactory
    ) -> None:
        options = QueryOptions()
        for function in ("sum", "avg", "min", "max", "count"):
            options = options.with_aggregation("total", function, key=function)
        async with uow_factory() as uow:
            nothing = await (await uow.orders.search(options)).aggregations()
        assert nothing == {"sum": None, "avg": None, "min": None, "max": None, "count": 0}
        await store(uow_factory, Order(id="o-1", discount=None))
        only_null = QueryOptions()
        for function in ("sum", "avg", "min", "max", "count"):
            only_null = only_null.with_aggregation("discount", function, key=function)
        async with uow_factory() as uow:
            assert await (await uow.orders.search(only_null)).aggregations() == nothing

    async def test_no_figures_are_an_empty_dict(self, uow_factory: UowFactory) -> None:
        async with uow_factory() as uow:
            assert await (await uow.orders.search()).aggregations() == {}

    # -- what cannot be asked ------------------------------------------------------------------

    @pytest.mark.parametrize("filled", [True, False], ids=["filled", "empty"])
    @pytest.mark.parametrize(
        "options",
        [
            QueryOptions().with_ordering("custmer"),
            QueryOptions().with_fields(["id", "custmer"]),
            QueryOptions().with_grouping("custmer"),
            QueryOptions().with_grouping("customer").with_ordering("custmer"),
        ],
        ids=["ordering", "projection", "grouping", "ordering of groups"],
    )
    async def test_an_unknown_field_is_refused_with_a_suggestion(
        self, uow_factory: UowFactory, options: QueryOptions, filled: bool
    ) -> None:
        if filled:
            await store(uow_factory, Order(id="o-1", country="LV"))
        async with uow_factory() as uow:
            with pytest.raises(FieldNotFoundError) as refusal:
                await (await uow.orders.search(options))
        assert (refusal.value.field, refusal.value.suggestions) == ("custmer", ["customer"])

    @pytest.mark.parametrize("filled", [True, False], ids=["filled", "empty"])
    async def test_the_figure_of_an_unknown_field_is_refused(
        self, uow_factory: UowFactory, filled: bool
    ) -> None:
        if filled:
            await store(uow_factory, Order(id="o-1"))
        async with uow_factory() as uow:
            result = await uow.orders.search(QueryOptions().with_aggregation("totl", "sum"))
            with pytest.raises(FieldNotFoundError) as refusal:
                await result.aggregations()
        assert "total" in refusal.value.suggestions

    async def test_distinct_rows_are_not_ordered_by_what_they_do_not_have(
        self, uow_factory: UowFactory
    ) -> None:
        options = QueryOptions().with_fields(["country"]).with_distinct().with_ordering("total")
        async with uow_factory() as uow:
            with pytest.raises(QueryOptionsError):
                await (await uow.orders.search(options))

    async def test_options_that_make_no_sense_are_refused(self) -> None:
        for nonsense in (
            lambda: QueryOptions(limit=-1),
            lambda: QueryOptions(offset=-1),
            lambda: QueryOptions().with_pagination(offset=1).with_cursor("x"),
            lambda: QueryOptions().with_grouping("country").with_cursor("x"),
            lambda: QueryOptions().with_grouping("country").with_fields(["id"]),
            lambda: QueryOptions().with_aggregation("total", "median"),
            lambda: QueryOptions().with_ordering("-"),
        ):
            with pytest.raises(QueryOptionsError):
                nonsense()

    # -- steps ---------------------------------------------------------------------------------

    async def _store_nine(self, uow_factory: UowFactory) -> None:
        """Store three orders for each of two countries and for none, in no order."""
        orders = [
            Order(
                id=f"{(country or 'n').lower()}-{number}",
                customer="caB"[number],
                country=country,
                quantity=number,
                status=OrderStatus.SHIPPED if number == 1 else OrderStatus.OPEN,
                total=Decimal("10.1") * number,
                discount=Decimal(5) * number if country and number < 3 else None,
                weight=number / 4,
                paid=number == 2,
                placed_at=PLACED_AT + timedelta(days=number),
                shipped_at=PLACED_AT if number == 1 else None,
                due_on=date(2026, 4, 1 + number),
                reference=UUID(int=2**100 * number),
                ship_to=Address(city="ab"[number - 1]) if number == 2 else None,
            )
            for number in (1, 0, 2)
            for country in ("LV", None, "EE")
        ]
        for order in orders:
            if order.id == "ee-1":
                order.ship_to = Address(city="b")
        await store(uow_factory, *orders)

    async def _changed(self, uow_factory: UowFactory) -> list[str]:
        async with uow_factory() as uow:
            orders = await uow.orders.list_all()
        return sorted(order.id for order in orders if order.customer == "changed")


_FIGURES: list[tuple[str, str, Any]] = [
    ("id", "count", 9),
    ("discount", "count", 6),
    ("total", "sum", Decimal("90.9")),
    ("total", "avg", Decimal("10.1")),
    ("total", "min", Decimal("0.0")),
    ("total", "max", Decimal("20.2")),
    ("discount", "avg", Decimal(5)),
    ("quantity", "sum", 9),
    ("quantity", "avg", 1.0),
    ("quantity", "min", 0),
    ("quantity", "max", 2),
    ("weight", "sum", 2.25),
    ("weight", "avg", 0.25),
    ("weight", "max", 0.5),
    ("placed_at", "min", PLACED_AT),
    ("placed_at", "max", PLACED_AT + timedelta(days=2)),
    ("shipped_at", "max", PLACED_AT),
    ("due_on", "max", date(2026, 4, 3)),
    ("country", "max", "LV"),
    ("country", "min", "EE"),
]


def _order_with(field: str, value: Any, number: int) -> Order:
    """Return an order with one value; ids run against the order that the values have."""
    if field == "id":
        return Order(id=value)
    order = Order(id=f"o-{99 - number}")
    if field == "ship_to.city":
        order.ship_to = None if value is None else Address(city=value)
    else:
        setattr(order, field, value)
    return order


async def _found(uow: SampleUnitOfWork, options: QueryOptions) -> list[str]:
    return [order.id for order in await (await uow.orders.search(options))]


async def _paged(uow: SampleUnitOfWork, options: QueryOptions) -> list[str]:
    """Return what all pages together hold, following the cursors."""
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(11):
        page = await uow.orders.search(options.with_cursor(cursor))
        seen += [order.id for order in await page]
        cursor = await page.next_cursor()
        if cursor is None:
            return seen
    return pytest.fail(f"The cursors lead on for ever: {seen}")


async def _rows(result: SearchResult[Any]) -> Sequence[dict[str, Any]]:
    return await result


async def _first(result: SearchResult[Order]) -> Order:
    order = await result.first()
    assert order is not None
    return order
