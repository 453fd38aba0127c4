"""Building specifications step by step."""

import pytest

from cqrs_ddd_specifications import (
    AndSpecification,
    AttributeSpecification,
    NotSpecification,
    OrSpecification,
    SpecificationBuilder,
    SpecificationError,
)

A = AttributeSpecification("a", "=", 1)
B = AttributeSpecification("b", "=", 2)
C = AttributeSpecification("c", "=", 3)


def test_nothing_matches_everything() -> None:
    everything = SpecificationBuilder().build()
    assert everything == AndSpecification()
    assert everything.is_satisfied_by({})


def test_one_condition_is_that_condition() -> None:
    assert SpecificationBuilder().where("a", "==", 1).build() == A


def test_several_conditions_must_all_hold() -> None:
    assert SpecificationBuilder().where("a", "=", 1).add(B).build() == AndSpecification(A, B)


def test_an_operator_that_takes_no_value_needs_none() -> None:
    specification = SpecificationBuilder().where("deleted_at", "is_null").build()
    assert specification.is_satisfied_by({"deleted_at": None})


def test_groups_say_otherwise() -> None:
    specification = (
        SpecificationBuilder()
        .add(A)
        .or_group()
        .add(B)
        .and_group()
        .add(A)
        .add(C)
        .end_group()
        .end_group()
        .not_group()
        .add(B)
        .add(C)
        .end_group()
        .build()
    )
    assert specification == AndSpecification(
        A, OrSpecification(B, AndSpecification(A, C)), NotSpecification(AndSpecification(B, C))
    )


def test_a_group_of_one_in_a_not_group_is_negated_itself() -> None:
    specification = SpecificationBuilder().not_group().add(A).end_group().build()
    assert specification == ~A


def test_a_builder_goes_on_after_build_without_changing_what_it_built() -> None:
    builder = SpecificationBuilder().add(A)
    first = builder.build()
    second = builder.add(B).build()
    assert first == A
    assert second == AndSpecification(A, B)


def test_reset_forgets_conditions_and_open_groups() -> None:
    assert SpecificationBuilder().add(A).or_group().add(B).reset().add(C).build() == C


def test_a_group_that_never_began_cannot_end() -> None:
    with pytest.raises(SpecificationError, match="without a group"):
        SpecificationBuilder().end_group()


@pytest.mark.parametrize("kind", ["and", "or", "not"])
def test_an_empty_group_is_refused(kind: str) -> None:
    builder = SpecificationBuilder()
    getattr(builder, f"{kind}_group")()
    with pytest.raises(SpecificationError, match=rf"{kind}_group\(\) is empty"):
        builder.end_group()


def test_a_group_that_never_ended_is_refused() -> None:
    with pytest.raises(SpecificationError, match=r"or_group\(\) has no end_group"):
        SpecificationBuilder().or_group().add(A).build()


def test_specifications_are_reused_in_others() -> None:
    active = SpecificationBuilder().where("status", "in", ["new", "open"]).build()
    valuable = SpecificationBuilder().where("total", ">", 1000).build()
    both = AndSpecification(active, valuable)
    assert both == active & valuable == active.merge(valuable)
    assert both.is_satisfied_by({"status": "new", "total": 1001})
    assert not both.is_satisfied_by({"status": "done", "total": 1001})


def test_a_long_chain_stays_flat() -> None:
    all_of, one_of = A & B, A | B
    for _ in range(2000):
        all_of, one_of = all_of & C, one_of | C
    assert len(all_of.specifications) == len(one_of.specifications) == 2002
    assert not all_of.is_satisfied_by({"a": 1, "b": 2, "c": 4})
    assert one_of.is_satisfied_by({"a": 2, "b": 3, "c": 3})


def test_and_does_not_swallow_an_or() -> None:
    assert AndSpecification(OrSpecification(A, B), C) == (A | B) & C
    assert AndSpecification(A, B, C) == A & (B & C)
