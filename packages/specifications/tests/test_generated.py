"""What holds for every specification: the laws of logic, and that asking never fails."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cqrs_ddd_specifications import (
    AndSpecification,
    NotSpecification,
    Operator,
    OrSpecification,
    Specification,
    SpecificationFactory,
)
from cqrs_ddd_specifications.operators import GEOMETRY_OPERATORS
from cqrs_ddd_specifications.testing import (
    SPECIMEN_FIELDS,
    Specimen,
    full_text_specifications,
    geometry_specifications,
    specifications,
    specimens,
)

ANY_SPECIFICATION = st.one_of(
    specifications(max_leaves=4), full_text_specifications(), geometry_specifications()
)
UNLIMITED = SpecificationFactory(max_depth=100, max_conditions=1000)


def operators_of(specification: Specification) -> set[str]:
    data = specification.to_dict()
    return {leaf["op"] for leaf in leaves_of(data)}


def leaves_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    if "conditions" not in data:
        return [data]
    return [leaf for condition in data["conditions"] for leaf in leaves_of(condition)]


@given(specimens(), ANY_SPECIFICATION)
def test_a_well_typed_question_always_has_an_answer(
    specimen: Specimen, specification: Specification
) -> None:
    assert specification.is_satisfied_by(specimen) in {True, False}
    assert specification.compiled(specimen) in {True, False, None}


@given(specimens(), ANY_SPECIFICATION)
def test_not_twice_changes_nothing(specimen: Specimen, one: Specification) -> None:
    assert (~~one).compiled(specimen) is one.compiled(specimen)


@given(specimens(), ANY_SPECIFICATION, ANY_SPECIFICATION)
def test_de_morgan_holds_where_something_is_unknown_too(
    specimen: Specimen, one: Specification, other: Specification
) -> None:
    assert (~(one & other)).compiled(specimen) is (~one | ~other).compiled(specimen)
    assert (~(one | other)).compiled(specimen) is (~one & ~other).compiled(specimen)


@given(specimens(), ANY_SPECIFICATION, ANY_SPECIFICATION)
def test_the_order_of_conditions_does_not_matter(
    specimen: Specimen, one: Specification, other: Specification
) -> None:
    assert (one & other).compiled(specimen) is (other & one).compiled(specimen)
    assert (one | other).compiled(specimen) is (other | one).compiled(specimen)


@given(specimens(), ANY_SPECIFICATION, ANY_SPECIFICATION, ANY_SPECIFICATION)
def test_a_flat_chain_means_the_same_as_a_nested_one(
    specimen: Specimen, one: Specification, two: Specification, three: Specification
) -> None:
    nested_and = AndSpecification(AndSpecification(one, two), three)
    nested_or = OrSpecification(one, OrSpecification(two, three))
    assert ((one & two) & three).compiled(specimen) is nested_and.compiled(specimen)
    assert (one | (two | three)).compiled(specimen) is nested_or.compiled(specimen)


@given(specimens(), ANY_SPECIFICATION)
def test_it_survives_dict_and_json_unchanged(specimen: Specimen, one: Specification) -> None:
    from_dict = UNLIMITED.from_dict(one.to_dict())
    from_json = UNLIMITED.from_json(as_json_text(one))
    assert from_dict == one == from_json
    assert hash(from_dict) == hash(one) == hash(from_json)
    assert from_json.to_dict() == one.to_dict()
    assert from_json.compiled(specimen) is one.compiled(specimen)


def as_json_text(specification: Specification) -> str:
    import json  # noqa: PLC0415

    return json.dumps(specification.to_dict(), allow_nan=False)


@pytest.mark.parametrize("field", SPECIMEN_FIELDS)
def test_every_field_can_be_asked_for_alone(field: str) -> None:
    @settings(max_examples=25)
    @given(specifications(fields=[field], max_leaves=2), specimens())
    def asks_only_for_it(specification: Specification, specimen: Specimen) -> None:
        assert {leaf["attr"] for leaf in leaves_of(specification.to_dict())} <= {field}
        specification.is_satisfied_by(specimen)

    asks_only_for_it()


@given(specifications(operators=["==", "in"]))
def test_the_operators_can_be_narrowed(specification: Specification) -> None:
    assert operators_of(specification) <= {"=", "in"}


@given(geometry_specifications(operators=["within"]))
def test_the_geometry_operators_can_be_narrowed(specification: Specification) -> None:
    assert operators_of(specification) <= {"within"}


def test_every_operator_is_generated_by_one_of_the_strategies() -> None:
    seen: set[str] = {Operator.FTS, Operator.FTS_PHRASE, *GEOMETRY_OPERATORS}
    for operator in set(Operator) - seen:
        specifications(operators=[operator])  # raises for an operator that no field takes
        seen.add(operator)
    assert seen == set(Operator)


def test_generating_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no fields"):
        specifications(fields=["nme"])
    with pytest.raises(ValueError, match="None of the fields"):
        specifications(fields=["quantity"], operators=["like"])


@given(specimens())
def test_a_specimen_survives_json(specimen: Specimen) -> None:
    assert Specimen.model_validate_json(specimen.model_dump_json()) == specimen


def test_negation_keeps_the_inner_specification() -> None:
    inner = AndSpecification()
    assert NotSpecification(inner).specifications == (inner,)
