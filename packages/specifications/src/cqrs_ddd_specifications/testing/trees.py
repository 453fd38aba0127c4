"""Random specifications over specimens."""

from collections.abc import Collection, Mapping
from typing import Any

from hypothesis import strategies as st

from cqrs_ddd_specifications.operators import (
    DISTANCE_OPERATORS,
    GEOMETRY_OPERATORS,
    Operator,
    operator_named,
)
from cqrs_ddd_specifications.specification import (
    AndSpecification,
    AttributeSpecification,
    NotSpecification,
    OrSpecification,
    Specification,
)
from cqrs_ddd_specifications.testing import pools
from cqrs_ddd_specifications.testing.conditions import CONDITIONS, Operands


def specifications(
    *,
    operators: Collection[str] | None = None,
    fields: Collection[str] | None = None,
    max_leaves: int = 8,
) -> st.SearchStrategy[Specification]:
    """Return specifications over ``Specimen`` that are well-typed and often match.

    Full text and geometry have strategies of their own, because few stores agree on them.

    Args:
        operators: the operators to use, in any spelling; None uses all.
        fields: the fields to ask about, of ``SPECIMEN_FIELDS``; None uses all.
        max_leaves: about how many conditions there are at most.

    Raises:
        ValueError: there is no such field, or none of the fields takes any of the operators.

    Example:
        >>> from hypothesis import given, settings
        >>> from cqrs_ddd_specifications import SpecificationFactory
        >>> @settings(deadline=None)
        ... @given(specifications(operators=["=", "in"], fields=["name", "stock"], max_leaves=3))
        ... def test_it_survives_being_data(specification):
        ...     assert SpecificationFactory().from_dict(specification.to_dict()) == specification
        >>> test_it_survives_being_data()
    """
    return _trees(CONDITIONS, operators, fields, max_leaves)


def full_text_specifications(*, max_leaves: int = 4) -> st.SearchStrategy[Specification]:
    """Return specifications that look for words and phrases in ``name``.

    The words are of five ASCII letters, parted by spaces, in no list of stop words.
    """
    words = st.lists(st.sampled_from(pools.WORDS), max_size=3).map(" ".join)
    operands: Operands = {Operator.FTS: words, Operator.FTS_PHRASE: words}
    return _trees({"name": operands}, None, None, max_leaves)


def geometry_specifications(
    *, operators: Collection[str] | None = None, max_leaves: int = 4
) -> st.SearchStrategy[Specification]:
    """Return specifications over ``location`` (see ``specifications``)."""
    shapes = pools.geometries()
    distances = st.sampled_from((0, 0.5, 1, 1.5, 2, 10))
    operands: Operands = {
        **dict.fromkeys(sorted(GEOMETRY_OPERATORS - DISTANCE_OPERATORS), shapes),
        **dict.fromkeys(sorted(DISTANCE_OPERATORS), st.tuples(shapes, distances).map(list)),
    }
    return _trees({"location": operands}, operators, None, max_leaves)


def _trees(
    conditions: Mapping[str, Operands],
    operators: Collection[str] | None,
    fields: Collection[str] | None,
    max_leaves: int,
) -> st.SearchStrategy[Specification]:
    leaves = st.sampled_from(_choices(conditions, operators, fields)).flatmap(_condition)
    return st.recursive(leaves, _branches, max_leaves=max_leaves)


def _choices(
    conditions: Mapping[str, Operands],
    operators: Collection[str] | None,
    fields: Collection[str] | None,
) -> list[tuple[str, Operator, st.SearchStrategy[Any]]]:
    wanted = set(Operator) if operators is None else {operator_named(name) for name in operators}
    unknown = set(fields or ()) - set(conditions)
    if unknown:
        raise ValueError(f"There are no fields {sorted(unknown)}; there are {list(conditions)}.")
    choices = [
        (field, operator, operands)
        for field in (conditions if fields is None else sorted(fields))
        for operator, operands in conditions[field].items()
        if operator in wanted
    ]
    if not choices:
        raise ValueError("None of the fields takes any of the operators; name more of them.")
    return choices


def _condition(
    choice: tuple[str, Operator, st.SearchStrategy[Any]],
) -> st.SearchStrategy[Specification]:
    field, operator, operands = choice
    return operands.map(lambda operand: AttributeSpecification(field, operator, operand))


def _branches(nodes: st.SearchStrategy[Specification]) -> st.SearchStrategy[Specification]:
    several = st.lists(nodes, max_size=3)
    return st.one_of(
        several.map(lambda parts: AndSpecification(*parts)),
        several.map(lambda parts: OrSpecification(*parts)),
        nodes.map(NotSpecification),
    )
