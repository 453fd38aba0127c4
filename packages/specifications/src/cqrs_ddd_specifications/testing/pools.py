"""Values that every database keeps exactly, from pools so small that data and operands meet."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

LARGEST_INT = 2**53
WORDS = ("alpha", "bravo", "delta", "tango")

_SIMPLE_TEXTS = (
    *("", "a", "A", "ab", "aB", "b", "bab", " a", "a ", "1", "10", "50%", "50_", "5%0", "a_b"),
    *("a%b", "a\\b", "\\", "%", "_", "é", "É", "café", "CAFÉ", "жук", "ЖУК"),
    *("alpha", "Alpha bravo", "alpha, bravo delta.", "BRAVO alpha", "delta tango alpha bravo"),
)
_OTHER_TEXTS = (
    *("ß", "SS", "İ", "i\u0307", "Σ", "ς", "日本", "😀", "e\u0301", "\u00a0", "\uffff"),
    *("two\nlines", "tab\t", "it's", '"', "; --", "\x01", "$1", "{a}", ":name", "?"),
)
_SIMPLE_ALPHABET = "abAB1 %_\\éÉ"
_RANGES = (
    *((0x01, 0x17F), (0x2B0, 0x37F), (0x391, 0x3C9), (0x410, 0x44F), (0x5D0, 0x5EA)),
    *((0x1E00, 0x1EFF), (0x2000, 0x206F), (0x2126, 0x212B), (0x3041, 0x3050), (0xD7F0, 0xD7FF)),
    *((0xE000, 0xE001), (0xFB00, 0xFB06), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFF), (0x10000, 0x10001)),
    *((0x1F600, 0x1F60F), (0xE0001, 0xE0002), (0x10FFF0, 0x10FFFF)),
)
_ALPHABET = "".join(chr(code) for first, last in _RANGES for code in range(first, last + 1))
_INSTANTS = (
    datetime(1970, 1, 2, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 3, 31, 0, 30, tzinfo=UTC),
    datetime(2099, 12, 30, tzinfo=UTC),
)
_ZONES = tuple(
    timezone(timedelta(minutes=minutes)) for minutes in (0, 60, 120, 345, 840, -210, -720)
)
_UUIDS = (
    UUID(int=1),
    UUID("00000000-0000-4000-8000-000000000000"),
    UUID("018f2f6e-0000-7000-8000-000000000001"),
    UUID("ffffffff-ffff-4fff-bfff-ffffffffffff"),
)


def simple_texts() -> st.SearchStrategy[str]:
    """Return text whose lower case is the same by Python and by ICU, without line breaks."""
    return st.sampled_from(_SIMPLE_TEXTS) | st.text(_SIMPLE_ALPHABET, max_size=5)


def texts() -> st.SearchStrategy[str]:
    """Return any text that every database can hold."""
    return simple_texts() | st.sampled_from(_OTHER_TEXTS) | st.text(_ALPHABET, max_size=5)


def integers() -> st.SearchStrategy[int]:
    """Return whole numbers that a float holds exactly."""
    return st.integers(-3, 3) | st.integers(-LARGEST_INT, LARGEST_INT)


def quarters() -> st.SearchStrategy[float]:
    """Return small floats that are exact in binary and in decimal."""
    return st.integers(-12, 12).map(lambda number: number / 4)


def floats() -> st.SearchStrategy[float]:
    """Return finite floats; never -0.0, which not every database tells from 0.0."""
    anything = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
    return quarters() | st.sampled_from((0.1, 0.2, 0.30000000000000004)) | anything.map(_unsigned)


def _unsigned(number: float) -> float:
    return number + 0.0


def decimals() -> st.SearchStrategy[Decimal]:
    """Return decimals of at most 12 digits, at most 6 of them behind the point."""
    small = st.integers(-3000, 3000).map(lambda number: Decimal(number).scaleb(-3))
    limit = 10**12 - 1
    any_scale = st.tuples(st.integers(-limit, limit), st.integers(0, 6))
    scaled = any_scale.map(lambda pair: Decimal(pair[0]).scaleb(-pair[1]))
    return quarters().map(lambda number: Decimal(repr(number))) | small | scaled


def instants() -> st.SearchStrategy[datetime]:
    """Return times from 1970 to 2100 in various zones, to the microsecond."""
    anything = st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
    moments = st.sampled_from(_INSTANTS) | anything
    return st.tuples(moments, st.sampled_from(_ZONES)).map(lambda pair: pair[0].astimezone(pair[1]))


def dates() -> st.SearchStrategy[date]:
    """Return dates from 1970 to 2100."""
    pool = st.sampled_from(tuple(instant.date() for instant in _INSTANTS))
    return pool | st.dates(date(1970, 1, 1), date(2099, 12, 31))


def uuids() -> st.SearchStrategy[UUID]:
    """Return UUIDs."""
    return st.sampled_from(_UUIDS) | st.uuids()


def labels() -> st.SearchStrategy[list[str]]:
    """Return short lists of texts."""
    return st.lists(st.sampled_from(("a", "b", "A", "é", "50%", "")) | texts(), max_size=3)


def json_scalars() -> st.SearchStrategy[Any]:
    """Return what JSON has besides lists, objects and null."""
    return st.booleans() | st.integers(-3, 3) | quarters() | simple_texts()


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Return JSON objects; ``mixed`` holds anything, each of the others one kind or null."""
    anything = json_scalars() | st.lists(json_scalars(), max_size=2) | st.just({"a": 1}) | st.none()
    size = st.fixed_dictionaries(
        {}, optional={"width": st.integers(-3, 3), "unit": simple_texts() | st.none()}
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "count": st.integers(-3, 3) | quarters() | st.none(),
            "colour": simple_texts() | st.none(),
            "active": st.booleans() | st.none(),
            "size": size | st.none(),
            "tags": labels(),
            "mixed": anything,
            "with space": st.just(1),
            "50%": st.just("é"),
        },
    )


def geometries() -> st.SearchStrategy[dict[str, Any]]:
    """Return GeoJSON points, lines and rectangles on a small grid."""
    place = st.integers(0, 4)
    points = st.tuples(place, place).map(list)
    corners = st.tuples(place, place, st.integers(1, 3), st.integers(1, 3)).map(_rectangle)
    lines = st.lists(points, min_size=2, max_size=2, unique_by=tuple)
    return st.one_of(
        points.map(lambda point: {"type": "Point", "coordinates": point}),
        lines.map(lambda line: {"type": "LineString", "coordinates": line}),
        corners.map(lambda ring: {"type": "Polygon", "coordinates": [ring]}),
    )


def _rectangle(place: tuple[int, int, int, int]) -> list[list[int]]:
    x, y, width, height = place
    right, top = x + width, y + height
    return [[x, y], [right, y], [right, top], [x, top], [x, y]]
