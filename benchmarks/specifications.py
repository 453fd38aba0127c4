"""What a specification costs over the condition written by hand."""

from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import Numeric, Text

from benchmarks.harness import Pair, case
from benchmarks.unit_of_work import BenchOrder
from cqrs_ddd_persistence_sqlalchemy import AggregateMapping
from cqrs_ddd_persistence_sqlalchemy.specifications import compiled, dialect_named
from cqrs_ddd_persistence_sqlalchemy.specifications.fields import resolver_of
from cqrs_ddd_specifications import AttributeSpecification, SpecificationBuilder

_ITEMS = [
    SimpleNamespace(status="open" if number % 3 else "done", total=number, note=None)
    for number in range(20_000)
]


def _counting(matches: Callable[[Any], bool]) -> Callable[[], Any]:
    async def work() -> int:
        sum(1 for item in _ITEMS if matches(item))
        return len(_ITEMS)

    return work


@case("specifications", "specification.one_comparison", unit="µs", better="lower")
async def one_comparison() -> AsyncGenerator[Pair, Any]:
    """One field compared with one value."""
    specification = AttributeSpecification("status", "==", "open")
    yield Pair(
        ours=_counting(specification.is_satisfied_by),
        twin=_counting(lambda item: item.status == "open"),
    )


@case("specifications", "specification.three_conditions", unit="µs", better="lower")
async def three_conditions() -> AsyncGenerator[Pair, Any]:
    """Three conditions joined by and, or."""
    specification = (
        SpecificationBuilder()
        .where("status", "==", "open")
        .or_group()
        .where("total", ">", 10_000)
        .where("note", "is_not_null")
        .end_group()
        .build()
    )
    yield Pair(
        ours=_counting(specification.is_satisfied_by),
        twin=_counting(
            lambda item: item.status == "open" and (item.total > 10_000 or item.note is not None)
        ),
    )


@case("specifications", "specification.to_sql", unit="µs", better="lower")
async def to_sql() -> AsyncGenerator[Pair, Any]:
    """A specification made into a statement, beside the statement written in SQLAlchemy."""
    mapping = AggregateMapping(BenchOrder, "bench_orders")
    resolve, dialect = resolver_of(mapping), dialect_named("postgresql")
    table, target = mapping.table, postgresql.dialect()  # pyright: ignore[reportUnknownMemberType]
    specification = AttributeSpecification("customer_id", "==", "c-1") & AttributeSpecification(
        "total", ">", 5
    )
    rounds = 500

    async def ours() -> int:
        for _ in range(rounds):
            condition = compiled(specification, resolve, dialect)
            select(table).where(condition).compile(dialect=target)
        return rounds

    async def twin() -> int:
        for _ in range(rounds):
            condition = (table.c.customer_id == literal("c-1", Text())) & (
                table.c.total > literal(5, Numeric())
            )
            select(table).where(condition).compile(dialect=target)
        return rounds

    yield Pair(ours, twin)
