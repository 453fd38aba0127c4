"""An aggregate becomes a row and comes back as it was, in a table of ours or of the user's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cqrs_ddd_core import AggregateRoot, AggregateRootMixin, PersistenceError, ValueObject
from cqrs_ddd_persistence_sqlalchemy import (
    AggregateMapping,
    ExactDecimal,
    MappingError,
    SQLAlchemyRepository,
    SQLAlchemyUnitOfWork,
    UtcDateTime,
    create_schema,
)
from cqrs_ddd_persistence_sqlalchemy.mapping import IMapping, mapping_of
from cqrs_ddd_persistence_sqlalchemy.types import PlainUuid

from .conftest import Sql


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Mixed(Enum):
    TEXT = "text"
    NUMBER = 1


class Money(ValueObject):
    amount: Decimal
    currency: str = "EUR"


class Parcel(AggregateRoot[str]):
    name: str = "box"
    weight: float = 0.5
    pieces: int = 1
    fragile: bool = False
    price: Decimal = Decimal(0)
    packed_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    due: date = date(2026, 1, 2)
    reference: UUID = UUID(int=7)
    label: bytes = b""
    colour: Colour = Colour.RED
    size: Size | None = None
    mixed: Mixed = Mixed.TEXT
    note: str | None = None
    value: Money | None = None
    tags: list[str] = []


class Address(AggregateRoot[str]):
    pass


class SalesOrder(AggregateRoot[str]):
    pass


@dataclass
class Basket(AggregateRootMixin):
    id: str
    items: dict[str, int] = field(default_factory=dict[str, int])
    owner: str | None = None


def _parcels(
    sql: Sql, mapping: IMapping[Parcel] | None = None
) -> SQLAlchemyRepository[Parcel, str]:
    options = {"mapping": mapping} if mapping is not None else {}
    return SQLAlchemyRepository[Parcel, str](Parcel, sql.session_factory, **options)


# -- the default -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("name", Text),
        ("weight", Double),
        ("pieces", BigInteger),
        ("fragile", Boolean),
        ("price", ExactDecimal),
        ("packed_at", UtcDateTime),
        ("due", Date),
        ("reference", PlainUuid),
        ("label", LargeBinary),
        ("colour", Text),
        ("size", BigInteger),
        ("mixed", JSON),
        ("value", JSON),
        ("tags", JSON),
        ("version", BigInteger),
    ],
)
def test_each_kind_of_field_has_its_column_type(name: str, type_: type[Any]) -> None:
    assert isinstance(AggregateMapping(Parcel).table.c[name].type, type_)


def test_only_an_optional_field_gets_a_nullable_column() -> None:
    nullable = {column.name for column in AggregateMapping(Parcel).table.c if column.nullable}
    assert nullable == {"size", "note", "value"}


def test_the_id_is_the_primary_key() -> None:
    assert [column.name for column in AggregateMapping(Parcel).table.primary_key] == ["id"]


@pytest.mark.parametrize(
    ("aggregate_type", "name"),
    [(Parcel, "parcels"), (Address, "addresses"), (SalesOrder, "sales_orders")],
)
def test_a_table_is_named_after_the_class_in_the_plural(
    aggregate_type: type[Any], name: str
) -> None:
    assert AggregateMapping(aggregate_type).table.name == name


def test_a_table_can_be_named() -> None:
    assert AggregateMapping(Parcel, "boxes").table.name == "boxes"


async def test_every_field_comes_back_as_it_was(sql: Sql) -> None:
    parcels = _parcels(sql)
    await create_schema(sql.engine, parcels)
    parcel = Parcel(
        id="p-1",
        name="Ångström 😀",
        weight=0.1 + 0.2,
        pieces=-(2**63),
        fragile=True,
        price=Decimal("12345678901234567890.123456789012"),
        packed_at=datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=-7))),
        due=date(1, 1, 1) if not sql.is_mariadb else date(1000, 1, 1),
        reference=uuid4(),
        label=bytes(range(256)),
        colour=Colour.BLUE,
        size=Size.LARGE,
        mixed=Mixed.NUMBER,
        note="",
        value=Money(amount=Decimal("0.10")),
        tags=["a", ""],
    )
    await parcels.add(parcel)
    found = await parcels.require("p-1")
    assert found == parcel
    assert found.packed_at.utcoffset() == timedelta(0)
    assert type(found.reference) is UUID
    assert found.version == 1


async def test_none_is_null_in_every_optional_column(sql: Sql) -> None:
    parcels = _parcels(sql)
    await create_schema(sql.engine, parcels)
    await parcels.add(Parcel(id="p-1"))
    columns = parcels.table.c
    nulls = select(columns.id).where(
        columns.size.is_(None), columns.note.is_(None), columns.value.is_(None)
    )
    async with SQLAlchemyUnitOfWork(sql.session_factory) as uow:
        assert (await uow.execute(nulls)).scalars().all() == ["p-1"]
    found = await parcels.require("p-1")
    assert (found.size, found.note, found.value) == (None, None, None)


async def test_a_dataclass_can_be_an_aggregate(sql: Sql) -> None:
    baskets = SQLAlchemyRepository[Basket, str](Basket, sql.session_factory)
    await create_schema(sql.engine, baskets)
    await baskets.add(Basket("b-1", {"apple": 2}))
    found = await baskets.require("b-1")
    assert (found, found.version) == (Basket("b-1", {"apple": 2}), 1)


async def test_a_decimal_that_mariadb_would_round_is_refused(mariadb_sql: Sql) -> None:
    parcels = _parcels(mariadb_sql)
    await create_schema(mariadb_sql.engine, parcels)
    with pytest.raises(PersistenceError, match="more than 12 decimal places"):
        await parcels.add(Parcel(id="p-1", price=Decimal("0.1234567890123")))
    with pytest.raises(PersistenceError):
        await parcels.add(Parcel(id="p-2", price=Decimal("1e26")))
    assert await parcels.list_all() == []


async def test_a_decimal_keeps_its_value_whatever_its_length(sql: Sql) -> None:
    parcels = _parcels(sql)
    await create_schema(sql.engine, parcels)
    price = Decimal("-99999999999999999999999999.999999999999")
    await parcels.add(Parcel(id="p-1", price=price))
    assert (await parcels.require("p-1")).price == price


@pytest.mark.parametrize(
    "basket", [Basket("b-1", owner="\ud800"), Basket("\ud800")], ids=["in a field", "in the id"]
)
async def test_a_text_that_is_no_unicode_is_refused(sql: Sql, basket: Basket) -> None:
    baskets = SQLAlchemyRepository[Basket, str](Basket, sql.session_factory)
    await create_schema(sql.engine, baskets)
    with pytest.raises(PersistenceError, match="surrogates"):
        await baskets.add(basket)
    assert await baskets.list_all() == []


async def test_a_number_of_more_than_64_bits_is_refused(sql: Sql) -> None:
    parcels = _parcels(sql)
    await create_schema(sql.engine, parcels)
    with pytest.raises(PersistenceError):
        await parcels.add(Parcel(id="p-1", pieces=2**63))
    assert await parcels.list_all() == []


# -- what cannot be mapped ----------------------------------------------------------------------


def test_a_class_without_an_id_is_refused() -> None:
    @dataclass
    class Nameless:
        name: str

    with pytest.raises(MappingError, match="Nameless has no field 'id'"):
        AggregateMapping(Nameless)


def test_a_class_with_a_version_of_its_own_is_refused() -> None:
    @dataclass
    class Versioned:
        id: str
        version: int = 0

    with pytest.raises(MappingError, match="has a field 'version' of its own"):
        AggregateMapping(Versioned)


def test_an_unknown_option_of_a_repository_is_refused() -> None:
    with pytest.raises(MappingError, match=r"takes table=\.\.\. or mapping=\.\.\., not tabel"):
        mapping_of(Parcel, {"tabel": "parcels"})


def test_a_table_without_a_column_for_a_field_is_refused() -> None:
    table = Table(
        "boxes", MetaData(), Column("id", String(9), primary_key=True), Column("version", Integer)
    )
    with pytest.raises(MappingError, match="boxes has no column for items, owner of Basket"):
        AggregateMapping(Basket, table)


@pytest.mark.parametrize("needed", ["id", "version"])
def test_a_table_without_id_or_version_is_refused(needed: str) -> None:
    columns = [Column(name, Integer) for name in ("id", "version", "items", "owner")]
    table = Table("boxes", MetaData(), *(column for column in columns if column.name != needed))
    with pytest.raises(MappingError, match=f"boxes has no column for the {needed} of Basket"):
        AggregateMapping(Basket, table)


def test_a_model_without_a_table_is_refused() -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(MappingError, match="neither a table nor an ORM model"):
        AggregateMapping(Basket, Base)


# -- tables of the user's own ------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


class Ticket(AggregateRoot[int]):
    title: str
    opened: datetime


class TicketRow(Base):
    __tablename__ = "ticket_rows"
    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(String(50))
    opened: Mapped[datetime] = mapped_column(UtcDateTime())
    row_version: Mapped[int] = mapped_column(BigInteger)
    origin: Mapped[str] = mapped_column(String(10), server_default="shop")


_TICKETS = AggregateMapping(Ticket, TicketRow, columns={"id": "no", "version": "row_version"})
_OPENED = datetime(2026, 5, 1, 8, tzinfo=UTC)


async def test_an_orm_model_with_columns_of_other_names_is_a_table(sql: Sql) -> None:
    tickets = SQLAlchemyRepository[Ticket, int](Ticket, sql.session_factory, mapping=_TICKETS)
    await create_schema(sql.engine, tickets)
    await tickets.add(Ticket(id=1, title="first", opened=_OPENED))
    ticket = await tickets.require(1)
    ticket.title = "changed"
    await tickets.add(ticket)
    found = await tickets.require(1)
    assert (found, found.version) == (Ticket(_version=2, id=1, title="changed", opened=_OPENED), 2)
    async with SQLAlchemyUnitOfWork(sql.session_factory) as uow:
        row = await (await uow.session()).get_one(TicketRow, 1)
        assert (row.title, row.row_version) == ("changed", 2)
    await tickets.delete(1)
    assert await tickets.get(1) is None


async def test_columns_that_are_no_fields_keep_what_is_in_them(sql: Sql) -> None:
    tickets = SQLAlchemyRepository[Ticket, int](Ticket, sql.session_factory, mapping=_TICKETS)
    await create_schema(sql.engine, tickets)
    await tickets.add(Ticket(id=1, title="first", opened=_OPENED))
    origin = select(TicketRow.origin)
    async with SQLAlchemyUnitOfWork(sql.session_factory) as uow:
        assert (await uow.execute(origin)).scalar() == "shop"
        await uow.execute(update(TicketRow).values(origin="import"))
    ticket = await tickets.require(1)
    ticket.title = "changed"
    await tickets.add(ticket)
    async with SQLAlchemyUnitOfWork(sql.session_factory) as uow:
        assert (await uow.execute(origin)).scalar() == "import"


class Price(AggregateRoot[str]):
    money: Money


_PRICE_ROWS = Table(
    "price_rows",
    MetaData(),
    Column("id", String(20), primary_key=True),
    Column("amount", ExactDecimal, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("version", BigInteger, nullable=False),
)


def _dump_price(price: Price) -> dict[str, Any]:
    return {"id": price.id, "amount": price.money.amount, "currency": price.money.currency}


def _restore_price(row: Mapping[str, Any]) -> Price:
    return Price(id=row["id"], money=Money(amount=row["amount"], currency=row["currency"]))


async def test_functions_of_the_users_own_take_an_aggregate_apart_and_together(sql: Sql) -> None:
    mapping = AggregateMapping(Price, _PRICE_ROWS, dump=_dump_price, restore=_restore_price)
    prices = SQLAlchemyRepository[Price, str](Price, sql.session_factory, mapping=mapping)
    await create_schema(sql.engine, prices)
    await prices.add(Price(id="p-1", money=Money(amount=Decimal("9.90"), currency="USD")))
    price = await prices.require("p-1")
    price.money = Money(amount=Decimal(5), currency="USD")
    await prices.add(price)
    found = await prices.require("p-1")
    assert (found.money, found.version) == (Money(amount=Decimal(5), currency="USD"), 2)


async def test_a_row_that_does_not_fit_the_class_says_which_and_why(sql: Sql) -> None:
    baskets = SQLAlchemyRepository[Basket, str](Basket, sql.session_factory)
    await create_schema(sql.engine, baskets)
    async with SQLAlchemyUnitOfWork(sql.session_factory) as uow:
        await uow.execute(insert(baskets.table).values(id="b-1", items={"a": "many"}, version=1))
    with pytest.raises(MappingError, match=r"The row 'b-1' of baskets does not fit Basket") as why:
        await baskets.get("b-1")
    assert "items.a" in str(why.value)
    assert "Migrate the table" in str(why.value)
