"""One run through the plan of a saga: forward, or back, from wherever its journal says."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from itertools import zip_longest
from typing import Any

from cqrs_ddd_advanced_core.orchestration.definition import PlannedSaga
from cqrs_ddd_advanced_core.orchestration.ending import Ending, EndingKind, Guidance
from cqrs_ddd_advanced_core.orchestration.errors import SagaDeadlineError
from cqrs_ddd_advanced_core.orchestration.log import (
    SagaLog,
    error_text,
    refusal_entry,
    timeout_entry,
)
from cqrs_ddd_advanced_core.orchestration.performing import Performer
from cqrs_ddd_advanced_core.orchestration.plan import PlannedAction, PlannedStep, StepKind
from cqrs_ddd_advanced_core.orchestration.results import StepResult
from cqrs_ddd_advanced_core.orchestration.standing import Standing
from cqrs_ddd_advanced_core.sagas.errors import SagaLeaseLostError
from cqrs_ddd_advanced_core.sagas.instance import SagaOutcome, SagaStatus
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.error_text import leaves_of

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
        self._definition, self._log, self._performer = definition, log, performer
        self._standing = Standing(definition, log)
        self._again_at: list[datetime] = []

    async def results(self) -> AsyncGenerator[StepResult]:
        """Do, or undo, one step after another, and tell of each that has ended."""
        if self._status is SagaStatus.COMPENSATING and self._standing.has_decided():
            refusal = "It has decided to finish, so nothing is undone any more."
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
        for stage in self._definition.plan.stages:
            todo = [step for step in stage if not self._standing.is_done(step)]
            if not todo:
                continue
            if stage[0].kind is StepKind.RETRIABLE and await self._is_too_late(stage[0]):
                return
            endings = await self._stage(todo)
            if self._status is SagaStatus.COMPENSATING and not self._standing.to_undo():
                await self._end_of_way_back({})
            for ending in endings:
                if (result := self._result_of(ending)) is not None:
                    yield result
            if self._again_at:
                await self._sleep()
                return
            if self._status is not SagaStatus.RUNNING:
                return
        if self._status is SagaStatus.RUNNING:  # other steps have been deployed, and these did all
            await self._log.write(**_completion())

    async def _is_too_late(self, step: PlannedStep) -> bool:
        """Whether time was over before the decision, which beginning with ``step`` would be."""
        decide_by = self._standing.decide_by()
        if decide_by is None or utc_now() < decide_by:
            return False
        error = error_text(SagaDeadlineError(self._log.saga.saga_id, decide_by))
        entry = timeout_entry(step.name, error)
        await self._log.write(entry, status=SagaStatus.COMPENSATING, error=error)
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
        """Do a step in the first way that works; what is in doubt is undone before the next."""
        guidance = self._forward_guidance(step, is_alone=is_alone)
        undoing = Guidance(is_dropped=guidance.is_dropped, is_alone=is_alone)
        for way, next_way in zip_longest(step.variants, step.variants[1:]):
            if next_way is not None and self._standing.has_begun(next_way.forward):
                continue  # an earlier run has come so far
            if not self._standing.has_begun(way.backward):
                ending = await self._performer.perform(way.forward, guidance)
                # without an error, an earlier run has failed, and went on to the next way
                steps_in = ending.error is None or isinstance(ending.error, way.failures)
                if ending.kind is not EndingKind.FAILED or next_way is None or not steps_in:
                    return ending
                if ending.entry is not None:
                    await self._log.write(ending.entry)
            if way.backward is not None and self._standing.is_to_undo(way):
                undone = await self._performer.perform(way.backward, undoing)
                if undone.kind is not EndingKind.DONE:
                    return undone
        raise AssertionError(step.name)  # the last way has always returned

    async def _fail(self, step: PlannedStep, ending: Ending) -> None:
        """Turn back, unless it is too late for that: then a person has to look at it."""
        error = self._log.saga.error if ending.entry is None else ending.entry.error
        if self._status is SagaStatus.COMPENSATING:  # something beside it has failed first
            await self._log.write(ending.entry)
        elif step.kind is not StepKind.COMPENSATABLE and (
            ending.in_doubt or self._standing.has_decided()
        ):
            await self._log.write(ending.entry, status=SagaStatus.FAILED, error=error, **FINISHED)
        else:
            await self._log.write(ending.entry, status=SagaStatus.COMPENSATING, error=error)

    def _forward_guidance(self, step: PlannedStep, *, is_alone: bool) -> Guidance:
        def decide_by() -> datetime | None:
            is_decided = step.kind is StepKind.RETRIABLE
            is_unknown = step.kind is StepKind.PIVOT and self._standing.is_in_doubt(step)
            return None if is_decided or is_unknown else self._standing.decide_by()

        def finishing() -> dict[str, Any]:
            if self._status is not SagaStatus.RUNNING:
                return {}
            return _completion() if self._standing.is_last(step) else {"error": None}

        return Guidance(
            decide_by=decide_by,
            is_dropped=lambda: self._status is not SagaStatus.RUNNING,
            finishing=finishing,
            is_alone=is_alone,
            is_cut=step.kind is StepKind.COMPENSATABLE,
        )

    # -- back -----------------------------------------------------------------------------------

    async def _backward(self) -> AsyncGenerator[StepResult]:
        """Undo what was done, the last first."""
        failed: dict[PlannedAction, Exception | None] = {}
        for action in self._standing.to_undo():
            ending = await self._performer.perform(action, Guidance())
            if ending.kind is EndingKind.LATER and ending.again_at is not None:
                self._again_at.append(ending.again_at)
                await self._sleep()
                return
            if ending.kind is EndingKind.FAILED:
                failed[action] = ending.error
                if ending.entry is not None:
                    await self._log.write(ending.entry)
            is_over = bool(failed) and self._definition.stops_at_failure
            if is_over or all(each in failed for each in self._standing.to_undo()):
                await self._end_of_way_back(failed)
            if (result := self._result_of(ending)) is not None:
                yield result
            if self._status is not SagaStatus.COMPENSATING:
                return
        await self._end_of_way_back(failed)

    async def _end_of_way_back(self, failed: dict[PlannedAction, Exception | None]) -> None:
        """Write down that the saga is undone, or that a person has to see to the rest of it."""
        cause, left = self._log.cause, [_named(*each) for each in failed.items()]
        if (pivot := self._standing.pivot_in_doubt()) is not None:
            left.append(pivot.name)
        if left:
            status = SagaStatus.COMPENSATION_FAILED
            error = f"Not undone: {', '.join(left)}. It turned back because of: {cause}"
            await self._log.write(status=status, error=error, **FINISHED)
        else:
            status, now = SagaStatus.COMPENSATED, utc_now()
            await self._log.write(status=status, error=cause, finished_at=now, **FINISHED)

    # -- what both need -------------------------------------------------------------------------

    async def _sleep(self) -> None:
        """Leave the saga until its next attempt, or until it has to turn back."""
        decide_by = self._standing.decide_by()
        if self._status is SagaStatus.RUNNING and decide_by is not None:
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
            attempts=self._log.record_of(ending.action).attempts,
            result=ending.result,
            error=ending.error,
            status=self._status,
        )


def _named(action: PlannedAction, error: Exception | None) -> str:
    return action.step if error is None else f"{action.step} ({error_text(error)})"


def _completion() -> dict[str, Any]:
    """Return what is written when a saga is done."""
    done = {"status": SagaStatus.COMPLETED, "finished_at": utc_now(), "error": None}
    return {**done, **FINISHED}
