"""Column types whose values survive every database unchanged."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Double,
    LargeBinary,
    Numeric,
    String,
    Text,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

from cqrs_ddd_core.primitives.clock import as_utc
from cqrs_ddd_core.primitives.errors import PersistenceError

MYSQL_PRECISION, MYSQL_SCALE = 38, 12
MYSQL_COLLATION = "utf8mb4_nopad_bin"


class UtcDateTime(TypeDecorator[datetime]):
    """An instant to the microsecond: written in UTC, read back with its zone."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use a type that keeps microseconds; with a zone where the database has one."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC; without its zone where the database has none."""
        if value is None:
            return None
        instant = as_utc(value)
        return instant if dialect.name == "postgresql" else instant.replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Leave out what asyncpg does by itself: its instants are in UTC."""
        is_done = dialect.driver == "asyncpg"
        return None if is_done else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the instant with its zone, UTC."""
        if value is None or value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal number, never rounded: refused where the database could not keep it.

    PostgreSQL keeps any; MariaDB and MySQL 26 digits before and 12 behind the point; SQLite, which
    has only floats, keeps the text and compares it as a number.
    """

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use the database's decimal type, or text."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(Numeric(MYSQL_PRECISION, MYSQL_SCALE))
        return dialect.type_descriptor(Numeric())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the number as the database takes it.

        Raises:
            PersistenceError: MariaDB or MySQL would round it.
        """
        if value is None:
            return None
        number = value if isinstance(value, Decimal) else Decimal(str(value))
        if dialect.name == "sqlite":
            return format(number, "f")
        if dialect.name in {"mysql", "mariadb"}:
            exponent = _shortest(number).as_tuple().exponent
            if not isinstance(exponent, int) or exponent < -MYSQL_SCALE:
                raise PersistenceError(
                    f"{number} has more than {MYSQL_SCALE} decimal places, which this database "
                    "would round; round it yourself first."
                )
        return number

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the number; without the zeros that a fixed scale appends."""
        if value is None:
            return None
        number = value if isinstance(value, Decimal) else Decimal(str(value))
        return _shortest(number) if dialect.name in {"mysql", "mariadb"} else number


def _shortest(number: Decimal) -> Decimal:
    """Return the number without zeros at the end of its fraction, whatever its length."""
    text = format(number, "f")
    return Decimal(text.rstrip("0").rstrip(".")) if "." in text else number


class PlainUuid(TypeDecorator[UUID]):
    """A UUID that sorts as a number, which MariaDB's own type does not; read as Python's class."""

    impl = Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use the database's own type on PostgreSQL, else 32 characters."""
        return dialect.type_descriptor(Uuid(native_uuid=dialect.name == "postgresql"))

    def process_result_value(self, value: UUID | None, dialect: Dialect) -> UUID | None:  # noqa: ARG002
        """Return the UUID; drivers have classes of their own."""
        return value if value is None or type(value) is UUID else UUID(int=value.int)


def text_type(*, key: bool = False) -> TypeEngine[str]:
    """Return a type for text that is compared by code point; ``key`` where it is indexed."""
    if key:
        by_code_point = mysql.VARCHAR(255, collation=MYSQL_COLLATION)
        general: TypeEngine[str] = String(255)
        binary: TypeEngine[str] = String(255, collation="C")
    else:
        by_code_point = mysql.LONGTEXT(collation=MYSQL_COLLATION)
        general, binary = Text(), Text(collation="C")
    return general.with_variant(by_code_point, "mysql", "mariadb").with_variant(
        binary, "postgresql"
    )


def json_type() -> TypeEngine[Any]:
    """Return a type for JSON documents; null in Python is null in SQL."""
    return JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def bytes_type() -> TypeEngine[bytes]:
    """Return a type for bytes of any length."""
    return LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


_SCALARS: dict[Any, Callable[[], TypeEngine[Any]]] = {
    str: text_type,
    bool: Boolean,
    int: BigInteger,
    float: Double,
    Decimal: ExactDecimal,
    datetime: UtcDateTime,
    date: Date,
    UUID: PlainUuid,
    bytes: bytes_type,
}


def is_scalar(python_type: Any) -> bool:
    """Whether values of this type have a column type of their own."""
    try:
        return python_type in _SCALARS
    except TypeError:  # an annotation that cannot be hashed
        return False


def column_type(python_type: type | None, *, key: bool = False) -> TypeEngine[Any]:
    """Return the type of the column that keeps values of ``python_type``; None is JSON."""
    if python_type is str:
        return text_type(key=key)
    return _SCALARS[python_type]() if python_type is not None else json_type()
