"""The operators: one canonical name each, what they take, and the other spellings."""

from enum import Enum, StrEnum

from cqrs_ddd_specifications.errors import OperatorNotFoundError


class Operator(StrEnum):
    """Every operator by its canonical name."""

    EQ = "="
    NE = "!="
    GT = ">"
    LT = "<"
    GE = ">="
    LE = "<="
    IN = "in"
    NOT_IN = "not_in"
    ALL = "all"
    CONTAINS_ANY = "contains_any"
    BETWEEN = "between"
    NOT_BETWEEN = "not_between"
    LIKE = "like"
    NOT_LIKE = "not_like"
    ILIKE = "ilike"
    CONTAINS = "contains"
    ICONTAINS = "icontains"
    STARTSWITH = "startswith"
    ISTARTSWITH = "istartswith"
    ENDSWITH = "endswith"
    IENDSWITH = "iendswith"
    REGEX = "regex"
    IREGEX = "iregex"
    IS_NULL = "is_null"
    IS_NOT_NULL = "is_not_null"
    IS_EMPTY = "is_empty"
    IS_NOT_EMPTY = "is_not_empty"
    JSON_CONTAINS = "json_contains"
    JSON_CONTAINED_BY = "json_contained_by"
    JSON_HAS_KEY = "json_has_key"
    JSON_HAS_ANY = "json_has_any"
    JSON_HAS_ALL = "json_has_all"
    JSON_PATH_EXISTS = "json_path_exists"
    INTERSECTS = "intersects"
    WITHIN = "within"
    CONTAINS_GEOM = "contains_geom"
    TOUCHES = "touches"
    CROSSES = "crosses"
    OVERLAPS = "overlaps"
    DISJOINT = "disjoint"
    GEOM_EQUALS = "geom_equals"
    DISTANCE_LT = "distance_lt"
    DWITHIN = "dwithin"
    BBOX_INTERSECTS = "bbox_intersects"
    FTS = "fts"
    FTS_PHRASE = "fts_phrase"


class Takes(Enum):
    """What an operator wants as its value."""

    NOTHING = "no value"
    VALUE = "a value"
    TEXT = "a text"
    LIST = "a list"
    PAIR = "a list of two values, lower and upper"
    JSON = "anything JSON can hold"
    GEOMETRY = "a GeoJSON geometry"
    GEOMETRY_AND_DISTANCE = "a list of a GeoJSON geometry and a distance"


_O = Operator

COMPARISONS = frozenset({_O.EQ, _O.NE, _O.GT, _O.LT, _O.GE, _O.LE})
TEXT_OPERATORS = frozenset(
    {
        *(_O.LIKE, _O.NOT_LIKE, _O.ILIKE, _O.CONTAINS, _O.ICONTAINS, _O.STARTSWITH),
        *(_O.ISTARTSWITH, _O.ENDSWITH, _O.IENDSWITH, _O.REGEX, _O.IREGEX, _O.FTS, _O.FTS_PHRASE),
    }
)
JSON_OPERATORS = frozenset(operator for operator in _O if operator.startswith("json_"))
TEXT_LISTS = frozenset({_O.JSON_HAS_ANY, _O.JSON_HAS_ALL})
ARRAY_OPERATORS = frozenset({_O.ALL, _O.CONTAINS_ANY})
DISTANCE_OPERATORS = frozenset({_O.DISTANCE_LT, _O.DWITHIN})
GEOMETRY_OPERATORS = frozenset(
    {
        *(_O.INTERSECTS, _O.WITHIN, _O.CONTAINS_GEOM, _O.TOUCHES, _O.CROSSES, _O.OVERLAPS),
        *(_O.DISJOINT, _O.GEOM_EQUALS, _O.BBOX_INTERSECTS, *DISTANCE_OPERATORS),
    }
)
NULL_OPERATORS = frozenset({_O.IS_NULL, _O.IS_NOT_NULL, _O.IS_EMPTY, _O.IS_NOT_EMPTY})

_ALIASES = {
    "==": _O.EQ,
    "eq": _O.EQ,
    "<>": _O.NE,
    "ne": _O.NE,
    "gt": _O.GT,
    "lt": _O.LT,
    "gte": _O.GE,
    "ge": _O.GE,
    "lte": _O.LE,
    "le": _O.LE,
    "nin": _O.NOT_IN,
    "starts_with": _O.STARTSWITH,
    "ends_with": _O.ENDSWITH,
    "istarts_with": _O.ISTARTSWITH,
    "iends_with": _O.IENDSWITH,
    "overlap": _O.CONTAINS_ANY,
    "isnull": _O.IS_NULL,
}


def operator_named(name: str) -> Operator:
    """Return the operator that ``name`` means, in any of its spellings.

    Raises:
        OperatorNotFoundError: there is none; says which ones are spelled alike.

    Example:
        >>> operator_named("==") is operator_named("=")
        True
    """
    try:
        return _ALIASES.get(name) or Operator(name)
    except ValueError:
        known = [*(operator.value for operator in Operator), *_ALIASES]
        raise OperatorNotFoundError(name, known) from None


_TAKES: dict[Operator, Takes] = {
    **dict.fromkeys(COMPARISONS, Takes.VALUE),
    **dict.fromkeys({_O.IN, _O.NOT_IN, *TEXT_LISTS, *ARRAY_OPERATORS}, Takes.LIST),
    **dict.fromkeys({_O.BETWEEN, _O.NOT_BETWEEN}, Takes.PAIR),
    **dict.fromkeys({*TEXT_OPERATORS, _O.JSON_HAS_KEY, _O.JSON_PATH_EXISTS}, Takes.TEXT),
    **dict.fromkeys(NULL_OPERATORS, Takes.NOTHING),
    **dict.fromkeys({_O.JSON_CONTAINS, _O.JSON_CONTAINED_BY}, Takes.JSON),
    **dict.fromkeys(GEOMETRY_OPERATORS - DISTANCE_OPERATORS, Takes.GEOMETRY),
    **dict.fromkeys(DISTANCE_OPERATORS, Takes.GEOMETRY_AND_DISTANCE),
}


def takes(operator: Operator) -> Takes:
    """Return what ``operator`` wants as its value."""
    return _TAKES[operator]
