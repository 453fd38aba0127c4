"""One run through the plan of a saga: forward, or back, from wherever its journal says."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

from cqrs_ddd_advanced_core.orchestration.definition import PlannedSaga
from cqrs_ddd_advanced_core.orchestration.ending import Ending, EndingKind, Guidance
from cqrs_ddd_advanced_core.orchestration.errors import SagaDeadlineError
from cqrs_ddd_advanced_core.orchestration.log import SagaLog, refusal_entry, timeout_entry
from cqrs_ddd_advanced_core.orchestration.performing import Performer
from cqrs_ddd_advanced_core.orchestration.plan import (
    PlannedAction,
    PlannedStep,
    StepKind,
    Variant,
)
from cqrs_ddd_advanced_core.orchestration.results import StepResult
from cqrs_ddd_advanced_core.sagas.errors import SagaLeaseLostError
from cqrs_ddd_advanced_core.sagas.instance import SagaOutcome, SagaStatus
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.error_text import described, leaves_of

FINISHED: dict[str, Any] = {"wake_at": None, "release": True}
"""What is written when nobody is to look at a saga any more."""


class PlanRun:
    """Takes a leased saga as far as it comes.

    The journal alone says what is done: a run begins anew where an earlier one was killed.

    Args:
        definition: the saga's definition.
        log: the saga.
        performer: carries its actions out.
    """

    def __init__(self, definition: PlannedSaga[Any], log: SagaLog, performer: Performer) -> None:
        self._definition, self._plan = definition, definition.plan
        self._log, self._performer = log, performer
        self._again_at: list[datetime] = []

    async def results(self) -> AsyncGenerator[StepResult]:
        """Do, or undo, one step after another, and tell of each that has ended."""
        if self._status is SagaStatus.COMPENSATING and self._has_decided():
            refusal = f"{self._definition.saga_type!r} has decided, so nothing is undone any more"
            await self._log.write(refusal_entry(refusal), status=SagaStatus.RUNNING)
        if self._status is SagaStatus.RUNNING:
            async for result in self._forward():
                yield result
        if self._status is SagaStatus.COMPENSATING:
            async for result in self._backward():
                yield result

    @property
    def _status(self) -> SagaStatus:
        return self._log.saga.status

    # -- forward --------------------------------------------------------------------------------

    async def _forward(self) -> AsyncGenerator[StepResult]:
        for stage in self._plan.stages:
            todo = [step for step in stage if not self._is_done(step)]
            if not todo:
                continue
            if stage[0].kind is StepKind.RETRIABLE and await self._turned_back(stage[0]):
                return
            endings = await self._stage(todo)
            if self._status is SagaStatus.COMPENSATING and not self._to_undo():
                await self._end_of_way_back([])
            for ending in endings:
                if (result := self._result_of(ending)) is not None:
                    yield result
            if self._again_at:
                await self._sleep()
                return
            if self._status is not SagaStatus.RUNNING:
                return
        if self._status is SagaStatus.RUNNING:  # everything had been done by other steps
            await self._log.write(**self._completion())

    async def _turned_back(self, step: PlannedStep) -> bool:
        """Whether time was over before the decision, which beginning with ``step`` is."""
        decide_by = self._decide_by()
        if decide_by is None or utc_now() < decide_by:
            return False
        error = described(SagaDeadlineError(self._log.saga.saga_id, decide_by))
        await self._log.write(
            timeout_entry(step.name, error), status=SagaStatus.COMPENSATING, error=error
        )
        return True

    async def _stage(self, steps: list[PlannedStep]) -> list[Ending]:
        """Do the steps of a stage, side by side."""
        if len(steps) == 1:
            return [await self._do(steps[0], is_alone=True)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._do(step, is_alone=False)) for step in steps]
        except BaseExceptionGroup as errors:
            leaves = leaves_of(errors)
            lost = [leaf for leaf in leaves if isinstance(leaf, SagaLeaseLostError)]
            raise (lost or leaves)[0] from None
        return [task.result() for task in tasks]

    async def _do(self, step: PlannedStep, *, is_alone: bool) -> Ending:
        """Do a step, and write down what follows when it cannot be done."""
        ending = await self._act(step, is_alone=is_alone)
        if ending.kind is EndingKind.LATER and ending.again_at is not None:
            self._again_at.append(ending.again_at)
        if ending.kind is EndingKind.FAILED:
            await self._fail(step, ending)
        return ending

    async def _act(self, step: PlannedStep, *, is_alone: bool) -> Ending:
        """Do a step in the first way that works."""
        guidance = self._forward_guidance(step, is_alone=is_alone)
        ways = list(zip(step.variants, [*step.variants[1:], None], strict=True))
        for way, next_way in ways:
            if next_way is not None and self._record(next_way.forward).attempts:
                continue  # an earlier run has begun it
            if not self._undo_has_begun(way):
                ending = await self._performer.perform(way.forward, guidance)
                is_in_vain = isinstance(ending.error, SagaDeadlineError)
                steps_in = ending.error is None or isinstance(ending.error, way.failures)
                if ending.kind is not EndingKind.FAILED or is_in_vain or not steps_in:
                    return ending
                if next_way is None:
                    return ending
                await self._log.write(ending.entry)
            if way.backward is not None and self._is_to_undo(way):
                undoing = Guidance(is_dropped=guidance.is_dropped, is_alone=is_alone)
                undone = await self._performer.perform(way.backward, undoing)
                if undone.kind is not EndingKind.DONE:
                    return undone
        raise AssertionError(step.name)  # the last way always returns

    def _undo_has_begun(self, way: Variant) -> bool:
        return way.backward is not None and self._record(way.backward).attempts > 0

    async def _fail(self, step: PlannedStep, ending: Ending) -> None:
        """Turn back, unless it is too late for that: then a person has to look at it."""
        error = self._log.saga.error if ending.entry is None else ending.entry.error
        if self._status is SagaStatus.COMPENSATING:  # something beside it has failed first
            await self._log.write(ending.entry)
        elif step.kind is StepKind.COMPENSATABLE or not (self._has_decided() or ending.in_doubt):
            await self._log.write(ending.entry, status=SagaStatus.COMPENSATING, error=error)
        else:
            await self._log.write(ending.entry, status=SagaStatus.FAILED, error=error, **FINISHED)

    def _forward_guidance(self, step: PlannedStep, *, is_alone: bool) -> Guidance:
        def decide_by() -> datetime | None:
            if step.kind is StepKind.RETRIABLE:
                return None
            in_doubt = any(self._record(way.forward).in_doubt for way in step.variants)
            return None if step.kind is StepKind.PIVOT and in_doubt else self._decide_by()

        def finishing() -> dict[str, Any]:
            others = (each for each in self._plan.steps if each is not step)
            if self._status is not SagaStatus.RUNNING or not all(map(self._is_done, others)):
                return {}
            return self._completion()

        return Guidance(
            decide_by=decide_by,
            is_dropped=lambda: self._status is not SagaStatus.RUNNING,
            finishing=finishing,
            is_alone=is_alone,
            is_cut=step.kind is StepKind.COMPENSATABLE,
        )

    def _completion(self) -> dict[str, Any]:
        done = {"status": SagaStatus.COMPLETED, "finished_at": utc_now(), "error": None}
        return {**done, **FINISHED}

    # -- the decision ---------------------------------------------------------------------------

    def _has_decided(self) -> bool:
        """Whether nothing is undone any more: the pivot is done, or what is behind has begun."""
        return any(
            self._record(way.forward).is_done
            or (step.kind is StepKind.RETRIABLE and self._record(way.forward).attempts > 0)
            for step in self._plan.steps
            if step.kind is not StepKind.COMPENSATABLE
            for way in step.variants
        )

    def _may_be_decided(self) -> bool:
        """Whether the decision has been made, or nobody knows."""
        return self._has_decided() or any(
            self._record(way.forward).in_doubt
            for step in self._plan.steps
            if step.kind is StepKind.PIVOT
            for way in step.variants
        )

    def _decide_by(self) -> datetime | None:
        """Return until when the decision has to be made; None without a limit."""
        if self._has_decided():
            return None
        limits: list[datetime] = []
        if self._definition.deadline is not None:
            limits.append(self._log.saga.created_at + self._definition.deadline)
        for step in self._plan.steps:
            began_at = self._record(step.variants[0].forward).began_at
            if step.reservation is not None and began_at is not None:
                limits.append(began_at + timedelta(seconds=step.reservation))
        return min(limits, default=None)

    # -- back -----------------------------------------------------------------------------------

    async def _backward(self) -> AsyncGenerator[StepResult]:
        """Undo what was done, the last first."""
        failed: list[PlannedAction] = []
        guidance = Guidance()
        for action in self._to_undo():
            ending = await self._performer.perform(action, guidance)
            if ending.kind is EndingKind.LATER and ending.again_at is not None:
                self._again_at.append(ending.again_at)
                await self._sleep()
                return
            if ending.kind is EndingKind.FAILED:
                failed.append(action)
                if ending.entry is not None:
                    await self._log.write(ending.entry, error=ending.entry.error)
            is_over = failed and self._definition.stops_at_failure
            if is_over or all(each in failed for each in self._to_undo()):
                await self._end_of_way_back(failed)
            if (result := self._result_of(ending)) is not None:
                yield result
            if is_over:
                return
        if self._status is SagaStatus.COMPENSATING:
            await self._end_of_way_back(failed)

    async def _end_of_way_back(self, failed: list[PlannedAction]) -> None:
        """Write down that the saga is undone, or that a person has to see to the rest of it."""
        problems = [action.step for action in failed]
        if self._may_be_decided():
            problems += [step.name for step in self._plan.steps if step.kind is StepKind.PIVOT]
        if not problems:
            await self._log.write(status=SagaStatus.COMPENSATED, finished_at=utc_now(), **FINISHED)
            return
        names = ", ".join(dict.fromkeys(problems))
        error = f"Not undone: {names}. {self._log.saga.error or ''}".strip()
        await self._log.write(status=SagaStatus.COMPENSATION_FAILED, error=error, **FINISHED)

    def _to_undo(self) -> list[PlannedAction]:
        """Return what undoes what was done, or may have been, the last first."""
        return [
            way.backward
            for way in reversed(self._plan.variants)
            if way.backward is not None and self._is_to_undo(way)
        ]

    def _is_to_undo(self, way: Variant) -> bool:
        if way.backward is None or self._record(way.backward).is_done:
            return False
        record = self._record(way.forward)
        return record.may_have_acted or record.is_open

    # -- what both need -------------------------------------------------------------------------

    def _record(self, action: PlannedAction) -> Any:
        return self._log.record_of(action)

    def _is_done(self, step: PlannedStep) -> bool:
        return any(self._record(way.forward).is_done for way in step.variants)

    async def _sleep(self) -> None:
        """Leave the saga until its next attempt, or until it has to turn back."""
        if self._status is SagaStatus.RUNNING and (decide_by := self._decide_by()) is not None:
            self._again_at.append(decide_by)
        await self._log.write(wake_at=min(self._again_at), release=True)

    def _result_of(self, ending: Ending) -> StepResult | None:
        if ending.kind not in {EndingKind.DONE, EndingKind.FAILED}:
            return None
        is_done = ending.kind is EndingKind.DONE
        return StepResult(
            saga_id=self._log.saga.saga_id,
            step=ending.action.step,
            action=ending.action.label,
            outcome=SagaOutcome.COMPLETED if is_done else SagaOutcome.FAILED,
            attempts=self._record(ending.action).attempts,
            result=ending.result,
            error=ending.error,
            status=self._status,
        )
