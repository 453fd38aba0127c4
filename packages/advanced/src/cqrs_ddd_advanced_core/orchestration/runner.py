"""Runs sagas that have a plan: orchestrations and TCCs."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from cqrs_ddd_advanced_core.background_jobs.wake_up import WakeUp
from cqrs_ddd_advanced_core.orchestration.definition import PlannedSaga
from cqrs_ddd_advanced_core.orchestration.errors import (
    InsideUnitOfWorkError,
    StepsChangedError,
)
from cqrs_ddd_advanced_core.orchestration.leasing import LeaseKeeper
from cqrs_ddd_advanced_core.orchestration.log import SagaLog, encoded, error_text, stored_fields
from cqrs_ddd_advanced_core.orchestration.performing import Performer, RunLimits
from cqrs_ddd_advanced_core.orchestration.plan import may_go_on, written_out
from cqrs_ddd_advanced_core.orchestration.results import SagaResult, StepResult
from cqrs_ddd_advanced_core.orchestration.run import FINISHED, PlanRun
from cqrs_ddd_advanced_core.sagas.errors import (
    SagaConfigurationError,
    SagaError,
    SagaNotFoundError,
)
from cqrs_ddd_advanced_core.sagas.instance import SagaInstance, SagaStatus
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository
from cqrs_ddd_core.cqrs.context import get_correlation_id, get_tenant_id
from cqrs_ddd_core.cqrs.invocation import ConstructingHandlerFactory
from cqrs_ddd_core.cqrs.scope import unit_of_work_to_join
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports import IHandlerFactory, IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.ids import new_id

C = TypeVar("C")


class OrchestrationRunner:
    """Runs orchestrations and TCCs, and goes on with those that a recovery worker has claimed.

    A step is written down before it acts and after it has; a saga whose process died is resumed,
    or undone, from there. No transaction is open while a step acts. Any number of runners may
    share a repository: a saga is leased to one at a time.

    Args:
        repository: where the sagas are stored.
        definitions: all that may run here, old versions with unfinished instances included.
        handler_factory: makes steps that are given as classes, anew for each attempt.
        lease: seconds after which a recovery worker takes over from a runner that died.
        patience: seconds that a run waits itself for another attempt at a step; for longer ones,
            it ends, and a recovery worker makes the attempt.
        max_interruptions: how often the process that runs a step may die before the step counts
            as failed.

    Attributes:
        started: tells listeners of this process that a saga was started, once it is committed:
            ``runner.started.add(worker.trigger)`` spares a recovery worker the waiting.

    Raises:
        SagaConfigurationError: two definitions have one name and version.

    Example:
        >>> from dataclasses import dataclass
        >>> from cqrs_ddd_advanced_core.orchestration import Orchestration, Step, StepFunctions
        >>> from cqrs_ddd_advanced_core.sagas import InMemorySagaRepository
        >>> @dataclass
        ... class Trip:
        ...     room: str | None = None
        >>> async def book(trip, call):
        ...     trip.room = "12"
        >>> async def cancel(trip, call): ...
        >>> trip = Orchestration("trip", Trip, [Step("room", StepFunctions(book, cancel))])
        >>> runner = OrchestrationRunner(InMemorySagaRepository(), [trip])
        >>> asyncio.run(runner.run(trip, Trip())).require_completed()
        Trip(room='12')
    """

    def __init__(
        self,
        repository: ISagaRepository,
        definitions: Iterable[PlannedSaga[Any]],
        *,
        handler_factory: IHandlerFactory | None = None,
        lease: float = 30.0,
        patience: float = 1.0,
        max_interruptions: int = 10,
    ) -> None:
        self._repository, self._lease = repository, lease
        self._handlers = handler_factory or ConstructingHandlerFactory()
        self._limits = RunLimits(patience=patience, max_interruptions=max_interruptions)
        self._worker = f"{socket.gethostname()}:{os.getpid()} runner"
        self._definitions: dict[str, PlannedSaga[Any]] = {}
        self.started = WakeUp()
        for definition in definitions:
            if definition.saga_type in self._definitions:
                raise SagaConfigurationError(
                    definition.saga_type, ["It is given twice; count the version of one up."]
                )
            self._definitions[definition.saga_type] = definition

    @property
    def saga_types(self) -> Collection[str]:
        """The stored names of the definitions."""
        return self._definitions.keys()

    # -- beginning ------------------------------------------------------------------------------

    async def start(
        self,
        definition: PlannedSaga[C],
        context: C,
        *,
        saga_id: str | None = None,
        key: str | None = None,
        uow: IUnitOfWork | None = None,
    ) -> str:
        """Add a saga in the given or current unit of work, and return its id.

        It commits with the business transaction; a recovery worker runs it then.

        Args:
            definition: what it is to do.
            context: what its steps begin with.
            saga_id: its id; a new one unless given.
            key: what makes it the only one of its definition and tenant; None without such.
            uow: the unit of work to join.

        Raises:
            SagaExistsError: now or at commit, when the id or the key is taken.
            SagaContextError: the context cannot be stored.
            SagaConfigurationError: this runner does not know the definition.
        """
        saga = self._new(definition, context, saga_id, key)
        await self._repository.add(saga, uow=uow)
        self.started.tell(uow)
        return saga.saga_id

    async def run(
        self,
        definition: PlannedSaga[C],
        context: C,
        *,
        saga_id: str | None = None,
        key: str | None = None,
    ) -> SagaResult[C]:
        """Run a new saga as far as it comes, and return how far that is (see ``stream``)."""
        saga_id = saga_id or new_id()
        async with aclosing(self.stream(definition, context, saga_id=saga_id, key=key)) as steps:
            async for _ in steps:
                pass
        return await self.result(definition, saga_id)

    async def stream(
        self,
        definition: PlannedSaga[C],
        context: C,
        *,
        saga_id: str | None = None,
        key: str | None = None,
    ) -> AsyncGenerator[StepResult]:
        """Run a new saga and yield how each step has ended, compensations included.

        The next step begins when its result is asked for. Who stops asking gives the saga up: a
        recovery worker goes on with it.

        Args:
            definition: what it is to do.
            context: what its steps begin with.
            saga_id: its id; a new one unless given.
            key: what makes it the only one of its definition and tenant; None without such.

        Raises:
            SagaExistsError: the id or the key is taken.
            SagaLeaseLostError: a recovery worker has taken the saga over.
            InsideUnitOfWorkError: there is a unit of work here; call ``start``.
            SagaContextError: the context cannot be stored.
            SagaConfigurationError: this runner does not know the definition.
        """
        if unit_of_work_to_join() is not None:
            raise InsideUnitOfWorkError(definition.saga_type)
        new = replace(self._new(definition, context, saga_id, key), worker=self._worker)
        saga = await self._repository.add(new, lease=self._lease)
        keeper = LeaseKeeper(self._repository, saga, lease=self._lease)
        log = SagaLog(self._repository, saga, ())
        results = self._run_of(definition, log, keeper.lost).results()
        try:
            while True:
                async with keeper.kept():
                    result = await anext(results, None)
                if result is None:
                    return
                yield result
        finally:
            await results.aclose()
            if log.saga.lease_until is not None:
                await shielded(self._repository.release(saga.saga_id, saga.epoch))

    async def result(self, definition: PlannedSaga[C], saga_id: str) -> SagaResult[C]:
        """Return how far a saga has come.

        Raises:
            SagaNotFoundError: there is no such saga.
            SagaContextError: its context does not fit its class any more.
        """
        saga = await self._repository.find(saga_id)
        if saga is None:
            raise SagaNotFoundError(saga_id)
        return SagaResult(
            saga_id=saga_id,
            status=saga.status,
            context=definition.codec.context_of(stored_fields(saga)),
            error=saga.error,
            wake_at=saga.wake_at,
        )

    # -- going on -------------------------------------------------------------------------------

    async def resume(self, saga: SagaInstance) -> None:
        """Go on with a saga that a recovery worker has just claimed (see ``ISagaRunner``)."""
        definition = self._definitions[saga.saga_type]
        log = SagaLog(self._repository, saga, await self._repository.history(saga.saga_id))
        try:
            await _accept_steps(definition, log)
            definition.codec.context_of(log.fields)
        except SagaError as error:
            await _leave_to_a_person(log, error)
            return
        async with aclosing(self._run_of(definition, log, asyncio.Event()).results()) as results:
            async for _ in results:
                pass
        if log.saga.lease_until is not None:  # nothing was to be done
            await log.write(**FINISHED)

    # -- inside ---------------------------------------------------------------------------------

    def _new(
        self, definition: PlannedSaga[C], context: C, saga_id: str | None, key: str | None
    ) -> SagaInstance:
        if self._definitions.get(definition.saga_type) is not definition:
            raise SagaConfigurationError(
                definition.saga_type, ["The runner does not know it; give it to the runner."]
            )
        saga_id, now = saga_id or new_id(), utc_now()
        plan = definition.plan
        return SagaInstance(
            saga_id=saga_id,
            saga_type=definition.saga_type,
            kind=definition.kind,
            key=key,
            correlation_id=get_correlation_id() or saga_id,
            tenant_id=get_tenant_id(),
            definition=plan.fingerprint,
            data=encoded(definition.codec.fields_of(context), plan.outline),
            wake_at=now,
            created_at=now,
            updated_at=now,
        )

    def _run_of(self, definition: PlannedSaga[Any], log: SagaLog, lost: asyncio.Event) -> PlanRun:
        performer = Performer(log, definition.codec, self._handlers, self._limits, lost)
        return PlanRun(definition, log, performer)


async def _accept_steps(definition: PlannedSaga[Any], log: SagaLog) -> None:
    """Refuse a saga that began with other steps, unless it may go on with these.

    Raises:
        StepsChangedError: it may not.
    """
    plan = definition.plan
    if log.saga.definition == plan.fingerprint:
        return
    begun = log.begun()
    began = [name for name, *_ in log.outline if name in begun]
    if definition.accepts_changes and may_go_on(began, log.outline, plan.outline):
        await log.adopt(plan)
        return
    raise StepsChangedError(
        log.saga.saga_id,
        definition.saga_type,
        written_out(log.outline),
        written_out(plan.outline),
    )


async def _leave_to_a_person(log: SagaLog, error: SagaError) -> None:
    is_back = log.saga.status is SagaStatus.COMPENSATING
    status = SagaStatus.COMPENSATION_FAILED if is_back else SagaStatus.FAILED
    await log.write(status=status, error=error_text(error), **FINISHED)
