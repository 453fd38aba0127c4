"""Makes the plan of an orchestration out of its steps."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

from cqrs_ddd_advanced_core.orchestration.errors import SagaDeadlineError
from cqrs_ddd_advanced_core.orchestration.plan import (
    Plan,
    PlannedAction,
    PlannedStep,
    StepKind,
    Variant,
)
from cqrs_ddd_advanced_core.orchestration.records import FALLBACK_SUFFIX
from cqrs_ddd_advanced_core.orchestration.step import (
    Fallback,
    ParallelSteps,
    Step,
    has_method,
    method_of,
)
from cqrs_ddd_advanced_core.sagas.errors import SagaLeaseLostError
from cqrs_ddd_advanced_core.sagas.instance import SagaAction
from cqrs_ddd_core.cqrs.circuit import guarded
from cqrs_ddd_core.ports import CircuitOpenError
from cqrs_ddd_core.primitives.retry import RetryPolicy


def compiled(
    steps: Sequence[Step[Any] | ParallelSteps[Any]],
    retry: RetryPolicy,
    compensation_retry: RetryPolicy,
) -> Plan:
    """Return the plan of these steps."""
    return Plan(
        tuple(
            tuple(
                _planned(step, step.retry or retry, step.compensation_retry or compensation_retry)
                for step in (each.steps if isinstance(each, ParallelSteps) else (each,))
            )
            for each in steps
        )
    )


def _planned(step: Step[Any], retry: RetryPolicy, compensation_retry: RetryPolicy) -> PlannedStep:
    handler = step.handler
    if not isinstance(handler, Fallback):
        variants = (_variant(step, step.name, handler, retry, compensation_retry),)
        return PlannedStep(name=step.name, kind=step.kind, variants=variants)
    primary = _variant(
        step, step.name, handler.primary, retry, compensation_retry, guarded_by=handler
    )
    fallback = _variant(
        step, step.name + FALLBACK_SUFFIX, handler.fallback, retry, compensation_retry
    )
    return PlannedStep(name=step.name, kind=step.kind, variants=(primary, fallback))


def _variant(
    step: Step[Any],
    name: str,
    handler: Any,
    retry: RetryPolicy,
    compensation_retry: RetryPolicy,
    *,
    guarded_by: Fallback[Any] | None = None,
) -> Variant:
    refused = (CircuitOpenError,) if guarded_by is not None else ()
    forward = PlannedAction(
        label=SagaAction.ACT,
        step=name,
        bind=method_of(handler, "act"),
        verify=method_of(handler, "verify") if has_method(handler, "verify") else None,
        retry=retry,
        until_done=step.kind is StepKind.RETRIABLE,
        until_certain=step.kind is StepKind.PIVOT,
        timeout=step.timeout,
        give_up_on=(*step.give_up_on, *refused),
        in_doubt_on=step.in_doubt_on,
        guard=_guard_of(guarded_by),
    )
    backward = PlannedAction(
        label=SagaAction.COMPENSATE,
        step=name,
        bind=method_of(handler, "compensate"),
        retry=compensation_retry,
        timeout=step.timeout,
    )
    is_undone = step.kind is StepKind.COMPENSATABLE and step.compensates
    failures = (*guarded_by.failures, *refused) if guarded_by is not None else ()
    return Variant(forward=forward, backward=backward if is_undone else None, failures=failures)


def _guard_of(fallback: Fallback[Any] | None) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Return what tells the circuit breaker of a primary how its attempts come out."""
    if fallback is None or fallback.breaker is None or fallback.circuit is None:
        return nullcontext
    return partial(
        guarded,
        fallback.breaker,
        fallback.circuit,
        failures=fallback.failures,
        neutral=(SagaDeadlineError, SagaLeaseLostError),
    )
