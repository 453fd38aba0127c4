"""Makes the plan of an orchestration out of its steps."""

from collections.abc import Sequence
from typing import Any

from cqrs_ddd_advanced_core.orchestration.plan import (
    Bind,
    Carry,
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
from cqrs_ddd_advanced_core.sagas.instance import SagaAction
from cqrs_ddd_core.cqrs.circuit import guarded
from cqrs_ddd_core.middleware.retry import RetryPolicy
from cqrs_ddd_core.ports import CircuitOpenError, IHandlerScope


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
    bind = method_of(handler, "act")
    if guarded_by is not None:
        bind = _guarded(bind, guarded_by)
    forward = PlannedAction(
        label=SagaAction.ACT,
        step=name,
        bind=bind,
        verify=method_of(handler, "verify") if has_method(handler, "verify") else None,
        retry=retry,
        until_done=step.kind is StepKind.RETRIABLE,
        until_certain=step.kind is StepKind.PIVOT,
        timeout=step.timeout,
        give_up_on=(*step.give_up_on, CircuitOpenError),
        in_doubt_on=step.in_doubt_on,
    )
    backward = PlannedAction(
        label=SagaAction.COMPENSATE,
        step=name,
        bind=method_of(handler, "compensate"),
        retry=compensation_retry,
        timeout=step.timeout,
    )
    is_undone = step.kind is StepKind.COMPENSATABLE and step.compensates
    failures = (*guarded_by.failures, CircuitOpenError) if guarded_by is not None else ()
    return Variant(forward=forward, backward=backward if is_undone else None, failures=failures)


def _guarded(bind: Bind, fallback: Fallback[Any]) -> Bind:
    """Return what finds the primary, with each attempt told to the circuit breaker."""
    breaker, circuit = fallback.breaker, fallback.circuit
    if breaker is None or circuit is None:
        return bind

    async def bind_guarded(scope: IHandlerScope) -> Carry:
        carry = await bind(scope)

        async def call(context: Any, step_call: Any) -> Any:
            async with guarded(breaker, circuit, failures=fallback.failures):
                return await carry(context, step_call)

        return call

    return bind_guarded
