"""Reading specifications from data, which may come from anybody."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqrs_ddd_core import CQRSDDDError
from cqrs_ddd_specifications import (
    AndSpecification,
    AttributeSpecification,
    FieldNotQueryableError,
    NotSpecification,
    OperandError,
    Operator,
    OperatorNotFoundError,
    OrSpecification,
    Specification,
    SpecificationError,
    SpecificationFactory,
    SpecificationFormatError,
)
from cqrs_ddd_specifications.operators import TEXT_LISTS, Takes, takes
from cqrs_ddd_specifications.testing import pools

ORDERINGS = {Operator.GT, Operator.LT, Operator.GE, Operator.LE}
FACTORY = SpecificationFactory()
A: dict[str, Any] = {"op": "=", "attr": "a", "val": 1}


class Colour(StrEnum):
    RED = "red"


SCALARS = st.one_of(
    st.none(),
    pools.json_scalars(),
    pools.texts(),
    pools.integers(),
    pools.floats(),
    pools.decimals(),
    pools.instants(),
    pools.instants().map(lambda moment: moment.replace(tzinfo=None)),
    pools.dates(),
    pools.uuids(),
    st.sampled_from(Colour),
)
DOCUMENTS = pools.documents() | st.lists(SCALARS, max_size=3)
OPERANDS: dict[Takes, st.SearchStrategy[Any]] = {
    Takes.NOTHING: st.none(),
    Takes.VALUE: SCALARS | pools.documents(),
    Takes.TEXT: pools.texts() | st.none(),
    Takes.LIST: st.lists(SCALARS, max_size=4) | st.sets(SCALARS, max_size=4),
    Takes.PAIR: st.lists(SCALARS, min_size=2, max_size=2) | st.tuples(SCALARS, SCALARS),
    Takes.JSON: DOCUMENTS | pools.json_scalars(),
    Takes.GEOMETRY: pools.geometries(),
    Takes.GEOMETRY_AND_DISTANCE: st.tuples(pools.geometries(), st.integers(0, 5)),
}


def operands_of(operator: Operator) -> st.SearchStrategy[Any]:
    if operator in TEXT_LISTS:
        return st.lists(pools.texts(), max_size=3)
    return SCALARS if operator in ORDERINGS else OPERANDS[takes(operator)]


def failed(data: Any, factory: SpecificationFactory = FACTORY) -> SpecificationError:
    """Return the error of ``data``, the same from a dict, from JSON and from a check."""
    with pytest.raises(SpecificationError) as caught:
        factory.from_dict(data)
    with pytest.raises(type(caught.value)):
        factory.validate(data)
    with pytest.raises(type(caught.value)):
        factory.from_json(json.dumps(data))
    assert isinstance(caught.value, CQRSDDDError)
    return caught.value


@pytest.mark.parametrize("operator", Operator)
def test_every_operator_and_type_of_value_survives_dict_and_json(operator: Operator) -> None:
    @settings(max_examples=50)
    @given(operands_of(operator))
    def survives(operand: Any) -> None:
        specification = AttributeSpecification("field.path", operator, operand)
        data = specification.to_dict()
        for read in (FACTORY.from_dict(data), FACTORY.from_json(json.dumps(data))):
            assert read == specification
            assert read.to_dict() == data
            assert isinstance(read, AttributeSpecification)
            assert read.op is operator

    survives()


@pytest.mark.parametrize(
    ("value", "written", "kind"),
    [
        (datetime(2024, 1, 1, 2, tzinfo=UTC), "2024-01-01T02:00:00+00:00", "datetime"),
        (datetime(2024, 1, 1, 2), "2024-01-01T02:00:00", "datetime"),  # noqa: DTZ001
        (
            datetime(2024, 1, 1, 0, 0, 0, 5, tzinfo=timezone(timedelta(hours=-3))),
            "2024-01-01T00:00:00.000005-03:00",
            "datetime",
        ),
        (date(2024, 1, 1), "2024-01-01", "date"),
        (Decimal("1.50"), "1.50", "decimal"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001", "uuid"),
    ],
)
def test_a_type_that_json_lacks_is_named_and_comes_back(
    value: Any, written: str, kind: str
) -> None:
    data = AttributeSpecification("field", "=", value).to_dict()
    assert data == {"op": "=", "attr": "field", "val": written, "value_type": kind}
    read = FACTORY.from_dict(data)
    assert isinstance(read, AttributeSpecification)
    assert read.val == value
    assert type(read.val) is type(value)


def test_in_a_list_each_value_keeps_its_type() -> None:
    members = [Decimal("1.5"), "a", None, date(2024, 1, 1), 3]
    data = AttributeSpecification("field", "in", members).to_dict()
    assert data["value_type"] == ["decimal", None, None, "date", None]
    read = FACTORY.from_json(json.dumps(data))
    assert isinstance(read, AttributeSpecification)
    assert read.val == members


def test_an_enum_is_written_as_its_value() -> None:
    specification = AttributeSpecification("colour", "in", [Colour.RED])
    assert specification.to_dict()["val"] == ["red"]
    assert FACTORY.from_dict(specification.to_dict()).is_satisfied_by({"colour": Colour.RED})


def test_trees_are_written_and_read_with_their_shape() -> None:
    leaf = AttributeSpecification("a", "=", 1)
    tree = OrSpecification(AndSpecification(), NotSpecification(OrSpecification(leaf, leaf)))
    assert tree.to_dict() == {
        "op": "or",
        "conditions": [
            {"op": "and", "conditions": []},
            {"op": "not", "conditions": [{"op": "or", "conditions": [A, A]}]},
        ],
    }
    assert FACTORY.from_dict(tree.to_dict()) == tree


def test_one_condition_may_be_given_without_a_list() -> None:
    assert FACTORY.from_dict({"op": "not", "condition": A}) == ~FACTORY.from_dict(A)


def test_not_of_several_conditions_negates_them_together() -> None:
    several = FACTORY.from_dict({"op": "not", "conditions": [A, A]})
    assert several == ~AndSpecification(FACTORY.from_dict(A), FACTORY.from_dict(A))


def nested(leaf: Any) -> list[tuple[str, Any]]:
    """Return where a leaf may hide, and the path it then has."""
    return [
        ("$", leaf),
        ("$.conditions[0]", {"op": "not", "conditions": [leaf]}),
        ("$.conditions[0]", {"op": "not", "condition": leaf}),
        ("$.conditions[1]", {"op": "and", "conditions": [A, leaf]}),
        (
            "$.conditions[0].conditions[1].conditions[0]",
            {
                "op": "or",
                "conditions": [{"op": "not", "conditions": [A, {"op": "not", "condition": leaf}]}],
            },
        ),
    ]


@pytest.mark.parametrize("place", range(5))
def test_an_operator_that_is_not_allowed_is_refused_wherever_it_stands(place: int) -> None:
    path, data = nested({"op": "regex", "attr": "a", "val": "(a+)+$"})[place]
    error = failed(data, SpecificationFactory(allowed_operators=["eq", "like"]))
    assert isinstance(error, FieldNotQueryableError)
    assert (error.what, error.name, error.path) == ("operator", "regex", path)
    assert error.allowed == ["=", "like"]
    assert str(error).startswith(f"At {path}: ")


@pytest.mark.parametrize("place", range(5))
def test_a_field_that_is_not_allowed_is_refused_wherever_it_stands(place: int) -> None:
    path, data = nested({"op": "=", "attr": "password_hash", "val": "x"})[place]
    error = failed(data, SpecificationFactory(allowed_fields={"a", "password_hint"}))
    assert isinstance(error, FieldNotQueryableError)
    assert (error.what, error.name, error.path) == ("field", "password_hash", path)
    assert error.suggestions == ["password_hint"]
    assert error.to_dict()["path"] == path


@pytest.mark.parametrize("attr", ["a.b", "A", "a ", "b", "address"])
def test_only_the_very_fields_that_are_allowed_are(attr: str) -> None:
    factory = SpecificationFactory(allowed_fields=["a", "address.city"])
    failed({"op": "=", "attr": attr, "val": 1}, factory)
    factory.validate({"op": "=", "attr": "address.city", "val": 1})


def test_an_allowed_operator_is_allowed_in_every_spelling() -> None:
    factory = SpecificationFactory(allowed_operators=["starts_with"])
    for spelling in ("startswith", "starts_with"):
        factory.validate({"op": spelling, "attr": "a", "val": "x"})


def test_allowing_an_operator_that_does_not_exist_is_a_mistake_at_once() -> None:
    with pytest.raises(OperatorNotFoundError, match="startswith"):
        SpecificationFactory(allowed_operators=["startwith"])


@pytest.mark.parametrize("place", range(5))
def test_an_unknown_operator_is_a_specification_error_with_a_path_and_a_suggestion(
    place: int,
) -> None:
    path, data = nested({"op": "containz", "attr": "a", "val": "x"})[place]
    error = failed(data)
    assert isinstance(error, OperatorNotFoundError)
    assert (error.operator, error.path, error.suggestions[0]) == ("containz", path, "contains")
    assert str(error).startswith(f"At {path}: There is no operator 'containz'.")
    assert error.to_dict()["error"] == "OperatorNotFoundError"


@pytest.mark.parametrize("place", range(5))
def test_a_value_that_does_not_fit_its_operator_is_an_error_with_a_path(place: int) -> None:
    path, data = nested({"op": "between", "attr": "a", "val": [1]})[place]
    error = failed(data)
    assert isinstance(error, OperandError)
    assert (error.attr, error.operator, error.path) == ("a", "between", path)


@pytest.mark.parametrize(
    "data",
    [
        None,
        5,
        "a = 1",
        [],
        [A],
        {},
        {"op": "="},
        {"attr": "a", "val": 1},
        {"op": None, "attr": "a", "val": 1},
        {"op": 5, "attr": "a", "val": 1},
        {"op": ["="], "attr": "a", "val": 1},
        {"op": {}, "attr": "a", "val": 1},
        {"op": "=", "attr": "", "val": 1},
        {"op": "=", "attr": None, "val": 1},
        {"op": "=", "attr": 5, "val": 1},
        {"op": "=", "attr": ["a"], "val": 1},
        {"op": "=", "attr": "a"},
        {"op": "=", "attr": "a", "value": 1},
        {"op": "=", "attr": "a", "val": 1, "conditions": []},
        {"op": "and"},
        {"op": "and", "conditions": None},
        {"op": "or", "conditions": A},
        {"op": "or", "conditions": "a"},
        {"op": "and", "conditions": [None]},
        {"op": "not"},
        {"op": "not", "conditions": []},
        {"op": "not", "condition": None},
    ],
)
def test_malformed_data_is_a_typed_error_with_a_path(data: Any) -> None:
    error = failed(data)
    assert isinstance(error, SpecificationFormatError)
    assert error.path.startswith("$") if error.path else False


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("soon", "datetime"),
        ("2024-13-01", "date"),
        ("1,5", "decimal"),
        ("1", "uuid"),
        ("1", "int"),
        ("1", {"a": 1}),
        ("1", 5),
        (["1"], "decimal"),
        (["1"], []),
        (["1"], ["decimal", "decimal"]),
        (["x"], ["decimal"]),
        ("1", ["decimal"]),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_a_typed_error(value: Any, kind: Any) -> None:
    error = failed({"op": "json_contains", "attr": "a", "val": value, "value_type": kind})
    assert isinstance(error, SpecificationFormatError)
    assert error.path == "$"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999999"])
def test_a_decimal_that_no_store_has_is_a_typed_error(number: str) -> None:
    data = {"op": ">", "attr": "a", "val": number, "value_type": "decimal"}
    assert isinstance(failed(data), OperandError)


@pytest.mark.parametrize(
    "text", ["", "{", "nonsense", b"\xff", '{"op": "=", "attr": "a", "val": NaN}']
)
def test_text_that_is_no_json_is_a_typed_error(text: str | bytes) -> None:
    with pytest.raises(SpecificationError):
        FACTORY.from_json(text)


def test_a_mistyped_key_is_an_error_with_a_suggestion() -> None:
    error = failed({"op": "=", "attr": "a", "value": 1})
    assert "Did you mean 'val'?" in str(error)


def test_a_missing_value_is_an_error_where_null_would_be_a_value() -> None:
    assert "null has to be said" in str(failed({"op": "!=", "attr": "a"}))
    assert FACTORY.from_dict({"op": "!=", "attr": "a", "val": None}).to_dict()["val"] is None
    FACTORY.validate({"op": "is_null", "attr": "a"})


def deep(levels: int) -> dict[str, Any]:
    data = A
    for _ in range(levels):
        data = {"op": "not", "conditions": [data]}
    return data


def test_conditions_may_be_nested_as_deep_as_allowed_and_no_deeper() -> None:
    factory = SpecificationFactory(max_depth=4)
    factory.validate(deep(3))
    error = failed(deep(4), factory)
    assert isinstance(error, SpecificationFormatError)
    assert error.path == "$" + ".conditions[0]" * 4


def test_very_deep_data_is_refused_before_it_exhausts_the_stack() -> None:
    with pytest.raises(SpecificationFormatError):
        FACTORY.from_dict(deep(100_000))
    with pytest.raises(SpecificationFormatError):
        FACTORY.from_json('{"op": "not", "condition": ' * 100_000 + "1" + "}" * 100_000)


def test_there_may_be_as_many_conditions_as_allowed_and_no_more() -> None:
    factory = SpecificationFactory(max_conditions=5)
    factory.validate({"op": "and", "conditions": [A] * 4})
    failed({"op": "and", "conditions": [A] * 5}, factory)
    halves: list[Any] = [{"op": "or", "conditions": [A, A]}] * 2
    failed({"op": "and", "conditions": halves}, factory)


@pytest.mark.parametrize(
    "value", [[1] * 5, [[1, 2], [3]], [{"a": 1, "b": 2}, 3], {"a": [1, 2, 3, 4]}]
)
def test_a_condition_may_hold_as_many_values_as_allowed_and_no_more(value: Any) -> None:
    data = {"op": "json_contains", "attr": "a", "val": value}
    SpecificationFactory(max_values=6).validate(data)
    error = failed(data, SpecificationFactory(max_values=4))
    assert "too many values" in str(error)


def test_a_very_deep_value_is_refused_before_it_exhausts_the_stack() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(SpecificationFormatError, match="too deep"):
        FACTORY.from_dict({"op": "json_contains", "attr": "a", "val": value})


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(("op", "attr", "val", "value_type", "conditions", "condition", "x")),
            children | st.sampled_from(("and", "or", "not", "=", "in", "like", "decimal", "a")),
            max_size=5,
        )
    ),
    max_leaves=20,
)


def outcome(read: Callable[[Any], Specification], data: Any) -> Specification | SpecificationError:
    try:
        return read(data)
    except SpecificationError as error:
        return error


@given(JUNK)
def test_any_data_is_a_specification_or_a_specification_error(data: Any) -> None:
    match outcome(FACTORY.from_dict, data):
        case SpecificationError(path=path):
            assert path
        case specification:
            assert FACTORY.from_dict(specification.to_dict()) == specification


@given(st.binary(max_size=50) | st.text(max_size=50))
def test_any_text_is_a_specification_or_a_specification_error(text: str | bytes) -> None:
    match outcome(FACTORY.from_json, text):
        case SpecificationError(path=path):
            assert path
        case specification:
            assert FACTORY.from_dict(specification.to_dict()) == specification
