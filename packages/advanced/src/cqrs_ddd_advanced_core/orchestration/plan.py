"""What orchestrations and TCCs come down to: actions, in stages, with a way back."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic_core import to_json

from cqrs_ddd_advanced_core.orchestration.call import StepCall
from cqrs_ddd_advanced_core.sagas.instance import SagaAction
from cqrs_ddd_core.ports import IHandlerScope
from cqrs_ddd_core.primitives.retry import RetryPolicy

Carry = Callable[[Any, StepCall], Any]
"""Carries an action out, given the context; may be a coroutine function."""
Bind = Callable[[IHandlerScope], Awaitable[Carry]]

Outline = list[list[Any]]
"""For each step its name, its kind, and the number of the stage that it belongs to."""


class StepKind(StrEnum):
    """What a step means for the way back."""

    COMPENSATABLE = "compensatable"
    """It can be undone."""
    PIVOT = "pivot"
    """It decides: behind it, nothing is undone any more."""
    RETRIABLE = "retriable"
    """It stands behind the decision and is tried until it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAction:
    """Something to be carried out, again if need be.

    Attributes:
        label: what the journal calls it.
        step: the step's name in the journal.
        bind: finds what carries it out.
        verify: finds what tells whether it is done, when that is in doubt.
        retry: how often and how fast it is tried again.
        until_done: whether it is tried again however often it fails.
        until_certain: whether it is tried again however often it is in doubt.
        timeout: seconds that an attempt has.
        give_up_on: errors behind which it is not tried again.
        in_doubt_on: errors behind which its effect may be there.
        guard: surrounds each attempt, and may refuse it.
    """

    label: SagaAction
    step: str
    bind: Bind
    verify: Bind | None = None
    retry: RetryPolicy
    until_done: bool = False
    until_certain: bool = False
    timeout: float | None = None
    give_up_on: tuple[type[Exception], ...] = ()
    in_doubt_on: tuple[type[Exception], ...] = ()
    guard: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way of doing a step.

    Attributes:
        forward: does it.
        backward: undoes it; None where nothing is to be undone.
        failures: errors behind which the next variant does the step.
    """

    forward: PlannedAction
    backward: PlannedAction | None = None
    failures: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step, with the ways of doing it.

    Attributes:
        name: its name.
        kind: what it means for the way back.
        variants: the ways of doing it, the preferred one first.
        reservation: seconds for which what it does holds, before it has to be confirmed.
    """

    name: str
    kind: StepKind
    variants: tuple[Variant, ...]
    reservation: float | None = None


@dataclass(frozen=True)
class Plan:
    """The steps of a saga; those of one stage are done side by side.

    Attributes:
        stages: the stages, in order.
    """

    stages: tuple[tuple[PlannedStep, ...], ...]

    @cached_property
    def steps(self) -> tuple[PlannedStep, ...]:
        """All steps, in order."""
        return tuple(step for stage in self.stages for step in stage)

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """All ways of doing a step, in order."""
        return tuple(variant for step in self.steps for variant in step.variants)

    @cached_property
    def outline(self) -> Outline:
        """The steps as they are kept with a saga that begins with them."""
        return [
            [step.name, step.kind.value, number]
            for number, stage in enumerate(self.stages)
            for step in stage
        ]

    @cached_property
    def fingerprint(self) -> str:
        """A short text that changes with the outline."""
        return hashlib.sha256(to_json(self.outline)).hexdigest()[:16]


def written_out(outline: Outline) -> str:
    """Return an outline as people read it.

    Example:
        >>> written_out([["reserve", "compensatable", 0], ["charge", "pivot", 1]])
        'reserve, charge (pivot)'
    """
    return ", ".join(
        name if kind == StepKind.COMPENSATABLE else f"{name} ({kind})" for name, kind, _ in outline
    )


def may_go_on(began: Sequence[str], old: Outline, new: Outline) -> bool:
    """Whether the steps that were begun are the first of the new ones, by name and kind."""
    by_name = {name: kind for name, kind, _ in old}
    first = {name: kind for name, kind, _ in new[: len(began)]}
    return first == {name: by_name.get(name) for name in began}
