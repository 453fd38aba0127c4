"""Which operators each field of a specimen can be asked with, and what they are given."""

from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import strategies as st

from cqrs_ddd_specifications.operators import COMPARISONS, NULL_OPERATORS, Operator
from cqrs_ddd_specifications.testing import pools
from cqrs_ddd_specifications.testing.specimen import SpecimenKind

Operands = Mapping[Operator, st.SearchStrategy[Any]]

_O = Operator
_CASE_SENSITIVE = (_O.CONTAINS, _O.STARTSWITH, _O.ENDSWITH)
_CASE_INSENSITIVE = (_O.ICONTAINS, _O.ISTARTSWITH, _O.IENDSWITH)
_PATHS = ("$", "$.count", "$.size.width", "$.tags[0]", "$.mixed[1]", "$.mixed.a", "$.none", "$[0]")
_KEYS = ("count", "colour", "size", "tags", "a", "b", "é", "50%", "with space", "city", "number")


def _scalar(values: st.SearchStrategy[Any]) -> Operands:
    """Return what any scalar can be asked."""
    operands = _or_null(values)
    members = st.lists(operands, max_size=4)
    bounds = st.lists(operands, min_size=2, max_size=2)
    return {
        **_each(COMPARISONS, operands),
        **_each((_O.IN, _O.NOT_IN), members),
        **_each((_O.BETWEEN, _O.NOT_BETWEEN), bounds),
        **_each(NULL_OPERATORS, st.none()),
    }


def _text(values: st.SearchStrategy[str]) -> Operands:
    """Return what any text can be asked."""
    return {
        **_scalar(values),
        **_each((_O.LIKE, _O.NOT_LIKE), _or_null(_patterns(values))),
        **_each(_CASE_SENSITIVE, _or_null(values)),
    }


def _simple_text(values: st.SearchStrategy[str]) -> Operands:
    """Return what text can be asked in which every database finds the same letters."""
    return {
        **_text(values),
        _O.ILIKE: _or_null(_patterns(pools.simple_texts())),
        **_each(_CASE_INSENSITIVE, _or_null(pools.simple_texts())),
        **_each((_O.REGEX, _O.IREGEX), _or_null(_expressions())),
    }


def _collection(items: st.SearchStrategy[Any], whole: st.SearchStrategy[Any]) -> Operands:
    """Return what a list or an object can be asked."""
    keys = st.sampled_from(_KEYS) | pools.texts()
    return {
        **_each((_O.EQ, _O.NE, _O.JSON_CONTAINS, _O.JSON_CONTAINED_BY), _or_null(whole)),
        **_each((_O.ALL, _O.CONTAINS_ANY), st.lists(items, max_size=3)),
        **_each((_O.JSON_HAS_ANY, _O.JSON_HAS_ALL), st.lists(keys, max_size=3)),
        _O.JSON_HAS_KEY: keys,
        _O.JSON_PATH_EXISTS: st.sampled_from(_PATHS),
        **_each(NULL_OPERATORS, st.none()),
    }


def _or_null(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return values and, now and then, null."""
    return st.integers(0, 15).flatmap(lambda number: values if number else st.none())


def _each(
    operators: Iterable[Operator], operands: st.SearchStrategy[Any]
) -> dict[Operator, st.SearchStrategy[Any]]:
    return dict.fromkeys(sorted(operators), operands)


def _patterns(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return LIKE patterns: pieces of text with everything that has a meaning there."""
    special = st.sampled_from(("%", "%", "_", "\\%", "\\_", "\\\\", "\\", "\\a"))
    pieces = special | st.sampled_from(("a", "b", "é", "5", "0")) | values
    return st.lists(pieces, max_size=4).map("".join)


def _expressions() -> st.SearchStrategy[str]:
    """Return regular expressions that mean the same everywhere."""
    atoms = st.sampled_from(("a", "b", "A", "1", ".", "[ab]", "[^a]", "(a|b)"))
    repeats = st.sampled_from(("", "", "?", "*", "+"))
    bodies = st.lists(st.tuples(atoms, repeats).map("".join), min_size=1, max_size=4).map("".join)
    ends = st.sampled_from(("", "$"))
    return st.tuples(st.sampled_from(("", "^")), bodies, ends).map("".join)


_numbers = st.integers(-3, 3) | pools.quarters() | pools.decimals()
_small_numbers = st.integers(-3, 3) | pools.quarters()
_times = pools.instants()
_time_operands = (
    _times
    | _times.map(lambda moment: moment.isoformat())
    | _times.map(lambda moment: moment.replace(tzinfo=None))
    | pools.dates()
)
_days = pools.dates()
_uuids = pools.uuids()
_kinds = st.sampled_from(SpecimenKind)
_addresses = st.fixed_dictionaries(
    {}, optional={"city": pools.simple_texts(), "number": _small_numbers | st.none()}
)

CONDITIONS: Mapping[str, Operands] = {
    "name": _simple_text(pools.simple_texts()),
    "note": _text(pools.texts()),
    "quantity": _scalar(pools.integers() | _numbers),
    "stock": _scalar(pools.integers() | _numbers),
    "weight": _scalar(pools.floats() | pools.integers() | _numbers),
    "price": _scalar(pools.decimals() | _numbers),
    "active": _scalar(st.booleans()),
    "shipped_at": _scalar(_time_operands),
    "due": _scalar(_days | _days.map(lambda day: day.isoformat())),
    "reference": _scalar(_uuids | _uuids.map(str)),
    "kind": _simple_text(_kinds | _kinds.map(str) | st.just("none of them")),
    "address": _collection(pools.json_scalars(), _addresses),
    "address.city": _simple_text(pools.simple_texts()),
    "address.zip": _text(pools.texts()),
    "address.number": _scalar(pools.integers() | _numbers),
    "address.tags": _collection(pools.texts(), pools.labels()),
    "labels": _collection(pools.texts(), pools.labels()),
    "attributes": _collection(pools.json_scalars(), pools.documents()),
    "attributes.count": _scalar(_small_numbers),
    "attributes.colour": _simple_text(pools.simple_texts()),
    "attributes.active": _scalar(st.booleans()),
    "attributes.size.width": _scalar(_small_numbers),
    "attributes.size.unit": _simple_text(pools.simple_texts()),
    "attributes.tags": _collection(pools.texts(), pools.labels()),
    "attributes.mixed": _scalar(pools.json_scalars()),
    "attributes.mixed.a": _scalar(_small_numbers),
}
"""What each field can be asked."""

SPECIMEN_FIELDS = tuple(CONDITIONS)
"""The fields that ``specifications`` asks about; dots lead into JSON."""
