"""Where a saga stands in its plan, as its journal says."""

from datetime import datetime, timedelta
from typing import Any

from cqrs_ddd_advanced_core.orchestration.definition import PlannedSaga
from cqrs_ddd_advanced_core.orchestration.log import SagaLog
from cqrs_ddd_advanced_core.orchestration.plan import (
    PlannedAction,
    PlannedStep,
    StepKind,
    Variant,
)


class Standing:
    """Answers what is done, what is decided, and what is to be undone.

    Args:
        definition: the saga's definition.
        log: the saga.
    """

    def __init__(self, definition: PlannedSaga[Any], log: SagaLog) -> None:
        self._definition, self._plan, self._log = definition, definition.plan, log

    # -- what is done ---------------------------------------------------------------------------

    def is_done(self, step: PlannedStep) -> bool:
        """Whether a step is done, in whatever way."""
        return any(self._log.record_of(way.forward).is_done for way in step.variants)

    def is_last(self, step: PlannedStep) -> bool:
        """Whether all other steps are done."""
        return all(self.is_done(each) for each in self._plan.steps if each is not step)

    def has_begun(self, action: PlannedAction | None) -> bool:
        """Whether an action has been begun."""
        return action is not None and self._log.record_of(action).attempts > 0

    # -- the decision ---------------------------------------------------------------------------

    def has_decided(self) -> bool:
        """Whether nothing is undone any more: the pivot is done, or what is behind has begun."""
        return any(
            self._log.record_of(way.forward).is_done
            or (step.kind is StepKind.RETRIABLE and self.has_begun(way.forward))
            for step in self._plan.steps
            if step.kind is not StepKind.COMPENSATABLE
            for way in step.variants
        )

    def pivot_in_doubt(self) -> PlannedStep | None:
        """Return the pivot, if nobody knows whether it is done."""
        pivots = (step for step in self._plan.steps if step.kind is StepKind.PIVOT)
        return next((step for step in pivots if self.is_in_doubt(step)), None)

    def is_in_doubt(self, step: PlannedStep) -> bool:
        """Whether a step may have had its effect although it is not done."""
        return any(self._log.record_of(way.forward).in_doubt for way in step.variants)

    def decide_by(self) -> datetime | None:
        """Return until when the decision has to be made; None without a limit."""
        if self.has_decided():
            return None
        limits: list[datetime] = []
        if self._definition.deadline is not None:
            limits.append(self._log.saga.created_at + self._definition.deadline)
        for step in self._plan.steps:
            began_at = self._log.record_of(step.variants[0].forward).began_at
            if step.reservation is not None and began_at is not None:
                limits.append(began_at + timedelta(seconds=step.reservation))
        return min(limits, default=None)

    # -- the way back ---------------------------------------------------------------------------

    def to_undo(self) -> list[PlannedAction]:
        """Return what undoes what was done, or may have been, the last first."""
        return [
            way.backward
            for way in reversed(self._plan.variants)
            if way.backward is not None and self.is_to_undo(way)
        ]

    def is_to_undo(self, way: Variant) -> bool:
        """Whether what was done in this way is to be undone, if the saga is."""
        if way.backward is None or self._log.record_of(way.backward).is_done:
            return False
        record = self._log.record_of(way.forward)
        return record.may_have_acted or record.is_open
