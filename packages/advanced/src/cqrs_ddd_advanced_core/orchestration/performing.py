"""Carries an action of a saga out: journaled, timed, tried again."""

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cqrs_ddd_advanced_core.orchestration.bounding import StoppedByItselfError, bounded, pause
from cqrs_ddd_advanced_core.orchestration.call import StepCall, idempotency_key
from cqrs_ddd_advanced_core.orchestration.context import ContextCodec, Fields, changes
from cqrs_ddd_advanced_core.orchestration.ending import Ending, EndingKind, Guidance
from cqrs_ddd_advanced_core.orchestration.errors import (
    ContextConflictError,
    SagaContextError,
    SagaDeadlineError,
    StepInterruptedError,
    StepTimeoutError,
)
from cqrs_ddd_advanced_core.orchestration.log import SagaLog, entry_of, error_text, timeout_entry
from cqrs_ddd_advanced_core.orchestration.plan import PlannedAction
from cqrs_ddd_advanced_core.orchestration.records import ActionRecord
from cqrs_ddd_advanced_core.sagas.errors import SagaError, SagaLeaseLostError
from cqrs_ddd_advanced_core.sagas.instance import SagaOutcome
from cqrs_ddd_core.cqrs.context import with_correlation_context, with_tenant
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.ports import CircuitOpenError, IHandlerFactory, IHandlerScope, IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now

_log = logging.getLogger(__name__)

_IN_VAIN = (SagaDeadlineError, ContextConflictError, SagaContextError)
"""Errors that another attempt would meet again."""
_IN_DOUBT = (*_IN_VAIN, StepTimeoutError, StoppedByItselfError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """How long a run waits, and how often it lets itself be interrupted.

    Attributes:
        patience: seconds that a run waits for another attempt; for longer ones, it ends.
        max_interruptions: how often an attempt may end without anybody saying how.
    """

    patience: float
    max_interruptions: int


class Performer:
    """Carries out the actions of one saga.

    Args:
        log: the saga.
        codec: how its context is stored.
        handlers: makes the handlers of steps.
        limits: how long it waits.
        lost: set when the lease is lost, which stops what is under way.
    """

    def __init__(
        self,
        log: SagaLog,
        codec: ContextCodec[Any],
        handlers: IHandlerFactory,
        limits: RunLimits,
        lost: asyncio.Event,
    ) -> None:
        self._log, self._codec, self._handlers = log, codec, handlers
        self._limits, self._lost = limits, lost

    async def perform(self, action: PlannedAction, guidance: Guidance) -> Ending:
        """Carry an action out, unless it is done; try it again as its policy says.

        Raises:
            SagaLeaseLostError: somebody else goes on with the saga.
        """
        record = self._log.record_of(action)
        while not record.is_done:
            if self._lost.is_set():
                raise self._log.lost_error
            if guidance.is_dropped():
                return Ending(action=action, kind=EndingKind.DROPPED)
            decide_by = guidance.decide_by()
            if (ending := self._given_up(action, record, decide_by)) is not None:
                return ending
            if (again_at := _next_look(record, decide_by)) is not None:
                seconds = (again_at - utc_now()).total_seconds()
                if seconds > self._limits.patience:
                    return Ending(action=action, kind=EndingKind.LATER, again_at=again_at)
                await pause(seconds, self._lost, self._log.lost_error)
                continue
            ending = await self._attempt(action, record, guidance)
            if ending is not None:
                return ending
        return Ending(action=action, kind=EndingKind.DONE)

    def _given_up(
        self, action: PlannedAction, record: ActionRecord, decide_by: datetime | None
    ) -> Ending | None:
        """Return the end of an action that is not to be begun once more."""
        if decide_by is not None and utc_now() >= decide_by:
            error = SagaDeadlineError(self._log.saga.saga_id, decide_by)
            entry = timeout_entry(action.step, error_text(error))
            return Ending(action=action, kind=EndingKind.FAILED, error=error, entry=entry)
        if record.interruptions > self._limits.max_interruptions:
            interrupted = StepInterruptedError(action.step, record.interruptions)
            return _failed(action, record, interrupted, in_doubt=True)
        if _is_exhausted(action, record.failures, in_doubt=record.in_doubt):
            return Ending(action=action, kind=EndingKind.FAILED)  # written down by an earlier run
        return None

    async def _attempt(
        self, action: PlannedAction, record: ActionRecord, guidance: Guidance
    ) -> Ending | None:
        """Make one attempt; return how the action has ended, None when it goes on."""
        is_in_doubt, before = record.in_doubt, self._log.fields
        call = self._call_of(action, record, guidance, before)
        if not await self._log.write(
            entry_of(action, SagaOutcome.STARTED, call.attempt, key=call.idempotency_key),
            unless=guidance.is_dropped,
            step=action.step,
            attempts=call.attempt,
        ):
            return None
        try:
            async with action.guard():
                work = self._work(action, call, before, is_in_doubt=is_in_doubt)
                result, context = await self._bounded(action, work, guidance)
            if not record.is_done:  # else it has written that down together with its effect
                await self._completed(action, call.attempt, before, context, guidance=guidance)
        except SagaLeaseLostError as error:
            if error.saga_id == self._log.saga.saga_id:
                raise
            return await self._tried(action, record, error)
        except Exception as error:  # noqa: BLE001 - it is the outcome
            if record.is_done:
                return Ending(action=action, kind=EndingKind.DONE)
            return await self._tried(action, record, error)
        return Ending(action=action, kind=EndingKind.DONE, result=result)

    # -- one attempt ----------------------------------------------------------------------------

    def _call_of(
        self, action: PlannedAction, record: ActionRecord, guidance: Guidance, before: Fields
    ) -> StepCall:
        saga_id = self._log.saga.saga_id
        attempt = record.attempts + 1

        async def complete(context: Any, uow: IUnitOfWork | None) -> None:
            if not guidance.is_alone:
                raise SagaError(
                    f"{action.step!r} is done side by side with other steps and cannot write its "
                    "end down by itself. Return, or let the steps run one after another."
                )
            scope = current_scope() if uow is None else None
            uow = scope.uow if scope is not None else uow
            await self._completed(action, attempt, before, context, guidance=guidance, uow=uow)

        key = idempotency_key(saga_id, action.step, action.label)
        return StepCall(
            saga_id, action.step, action.label, attempt, key, record.may_have_acted, complete
        )

    async def _work(
        self, action: PlannedAction, call: StepCall, before: Fields, *, is_in_doubt: bool
    ) -> tuple[Any, Any]:
        """Carry it out, unless it turns out to be done; return its result and the context."""
        context = self._codec.context_of(before)
        saga = self._log.saga
        with (
            with_correlation_context(saga.correlation_id, call.idempotency_key),
            with_tenant(saga.tenant_id),
        ):
            async with _ended_quietly(self._handlers.open_scope()) as scope:
                if is_in_doubt and action.verify is not None:
                    if await _called(await action.verify(scope), context, call):
                        return None, context
                    context = self._codec.context_of(before)
                result = await _called(await action.bind(scope), context, call)
                return (None, result) if isinstance(result, type(context)) else (result, context)

    async def _bounded(self, action: PlannedAction, work: Any, guidance: Guidance) -> Any:
        limits: dict[float, Exception] = {}
        if action.timeout is not None:
            limits[action.timeout] = StepTimeoutError(action.step, action.timeout)
        decide_by = guidance.decide_by() if guidance.is_cut else None
        if decide_by is not None:
            seconds = max(0.0, (decide_by - utc_now()).total_seconds())
            limits[seconds] = SagaDeadlineError(self._log.saga.saga_id, decide_by)
        return await bounded(work, limits=limits, lost=self._lost, lost_error=self._log.lost_error)

    # -- what has come of it --------------------------------------------------------------------

    async def _completed(
        self,
        action: PlannedAction,
        attempt: int,
        before: Fields,
        context: Any,
        *,
        guidance: Guidance,
        uow: IUnitOfWork | None = None,
    ) -> None:
        """Write down that the action is done, and what it has changed."""
        changed = changes(before, self._codec.fields_of(context))
        others = changes(before, self._log.fields)
        conflict = [name for name in changed if name in others]
        if conflict:
            raise ContextConflictError(action.step, conflict)
        data = {"changed": changed} if changed else None
        entry = entry_of(action, SagaOutcome.COMPLETED, attempt, data=data)
        await self._log.write(entry, changed=changed, uow=uow, **guidance.finishing())

    async def _tried(
        self, action: PlannedAction, record: ActionRecord, error: Exception
    ) -> Ending | None:
        """Write down that an attempt failed; return the end when there is to be no other."""
        in_doubt = isinstance(error, (*_IN_DOUBT, *action.in_doubt_on))
        if isinstance(error, CircuitOpenError):  # nothing was called, so nothing is new
            in_doubt = record.in_doubt
        is_refused = isinstance(error, action.give_up_on)
        if (
            isinstance(error, _IN_VAIN)
            or (is_refused and not (action.until_certain and in_doubt))
            or _is_exhausted(action, record.failures + 1, in_doubt=in_doubt)
        ):
            return _failed(action, record, error, in_doubt=in_doubt)
        again_at = utc_now() + timedelta(seconds=action.retry.delay(record.failures + 1))
        entry = entry_of(
            action,
            SagaOutcome.FAILED,
            record.attempts,
            data={"in_doubt": in_doubt, "again_at": again_at.isoformat()},
            error=error_text(error),
        )
        await self._log.write(entry, error=entry.error)
        return None


def _failed(
    action: PlannedAction, record: ActionRecord, error: Exception, *, in_doubt: bool
) -> Ending:
    entry = entry_of(
        action,
        SagaOutcome.FAILED,
        record.attempts,
        data={"in_doubt": in_doubt},
        error=error_text(error),
    )
    return Ending(
        action=action, kind=EndingKind.FAILED, error=error, in_doubt=in_doubt, entry=entry
    )


def _is_exhausted(action: PlannedAction, failures: int, *, in_doubt: bool) -> bool:
    """Whether an action that has failed so often is not to be tried again."""
    if action.until_done or (action.until_certain and in_doubt):
        return False
    return failures >= action.retry.max_attempts


def _next_look(record: ActionRecord, decide_by: datetime | None) -> datetime | None:
    """Return when an action is to be looked at again; None when that is now."""
    if record.again_at is None or record.again_at <= utc_now():
        return None
    return record.again_at if decide_by is None else min(record.again_at, decide_by)


@asynccontextmanager
async def _ended_quietly(
    opening: AbstractAsyncContextManager[IHandlerScope],
) -> AsyncGenerator[IHandlerScope]:
    """Open a scope whose end cannot undo what was done in it: a failure there goes to the log."""
    is_through = False
    try:
        async with opening as scope:
            yield scope
            is_through = True
    except Exception:
        if not is_through:
            raise
        _log.exception("The step is done, but what it was made of could not be ended")


async def _called(carry: Any, context: Any, call: StepCall) -> Any:
    result = carry(context, call)
    return await result if inspect.isawaitable(result) else result
