"""What people do with sagas by hand."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from cqrs_ddd_advanced_core.sagas.errors import IllegalSagaTransitionError, SagaNotFoundError
from cqrs_ddd_advanced_core.sagas.instance import (
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaOutcome,
    SagaStatus,
)
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now

_FORWARD: dict[SagaStatus, SagaStatus] = {
    SagaStatus.RUNNING: SagaStatus.RUNNING,
    SagaStatus.FAILED: SagaStatus.RUNNING,
    SagaStatus.COMPENSATING: SagaStatus.COMPENSATING,
    SagaStatus.COMPENSATION_FAILED: SagaStatus.COMPENSATING,
}
_BACKWARD: dict[SagaStatus, SagaStatus] = dict.fromkeys(
    (SagaStatus.RUNNING, SagaStatus.SUSPENDED, SagaStatus.FAILED), SagaStatus.COMPENSATING
)
_AWAKE: dict[SagaStatus, SagaStatus] = {SagaStatus.SUSPENDED: SagaStatus.RUNNING}


class SagaOperations:
    """Moves sagas by hand, each move with a note in the journal of who wanted it and why.

    It changes the store alone; a ``SagaRecoveryWorker`` carries it out, at once, from the status.
    A saga that somebody runs in this moment is moved all the same: what that one saves next is
    refused, and it gives the saga up. Its step, if it has one under way, ends first.

    Args:
        repository: where the sagas are.
        operator: who does it, for the journal.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_advanced_core.sagas import InMemorySagaRepository
        >>> operations = SagaOperations(InMemorySagaRepository(), operator="ada")
        >>> asyncio.run(operations.retry("s-1"))
        Traceback (most recent call last):
        ...
        cqrs_ddd_advanced_core.sagas.errors.SagaNotFoundError: There is no saga 's-1': it never \
was, or was purged.
    """

    def __init__(self, repository: ISagaRepository, *, operator: str = "operator") -> None:
        self.repository, self._operator = repository, operator

    async def get_saga_state(self, saga_id: str) -> SagaInstance:
        """Return a saga.

        Raises:
            SagaNotFoundError: there is none.
        """
        return await self._found(saga_id)

    async def history(self, saga_id: str) -> Sequence[JournalEntry]:
        """Return what has happened to a saga, in order.

        Raises:
            SagaNotFoundError: there is none.
        """
        await self._found(saga_id)
        return await self.repository.history(saga_id)

    async def retry(
        self, saga_id: str, reason: str = "", uow: IUnitOfWork | None = None
    ) -> SagaInstance:
        """Give what the saga does now all its attempts again, the first one now.

        A saga that compensates goes on compensating; it never turns round.

        Raises:
            SagaNotFoundError: there is no such saga.
            IllegalSagaTransitionError: it has ended, or waits for somebody.
            ConcurrencyError: it has just been moved.
        """
        return await self._move(saga_id, "be retried", _FORWARD, reason, uow)

    async def compensate(
        self, saga_id: str, reason: str = "", uow: IUnitOfWork | None = None
    ) -> SagaInstance:
        """Have everything undone that the saga has done.

        Raises:
            SagaNotFoundError: there is no such saga.
            IllegalSagaTransitionError: it has ended, or is compensating.
            ConcurrencyError: it has just been moved.
        """
        return await self._move(saga_id, "be compensated", _BACKWARD, reason, uow)

    async def resume(
        self, saga_id: str, reason: str = "", uow: IUnitOfWork | None = None
    ) -> SagaInstance:
        """Have a suspended saga go on.

        Raises:
            SagaNotFoundError: there is no such saga.
            IllegalSagaTransitionError: it is not suspended.
            ConcurrencyError: it has just been moved.
        """
        return await self._move(saga_id, "be resumed", _AWAKE, reason, uow)

    async def _found(self, saga_id: str, uow: IUnitOfWork | None = None) -> SagaInstance:
        saga = await self.repository.find(saga_id, uow)
        if saga is None:
            raise SagaNotFoundError(saga_id)
        return saga

    async def _move(
        self,
        saga_id: str,
        wanted: str,
        moves: dict[SagaStatus, SagaStatus],
        reason: str,
        uow: IUnitOfWork | None,
    ) -> SagaInstance:
        saga = await self._found(saga_id, uow)
        if saga.status not in moves:
            allowed: Collection[str] = [status.value for status in moves]
            raise IllegalSagaTransitionError(saga_id, saga.status, wanted, allowed)
        now = utc_now()
        status = moves[saga.status]
        entry = JournalEntry(
            number=saga.entries + 1,
            action=SagaAction.OPERATOR,
            outcome=SagaOutcome.COMPLETED,
            step=f"{saga.status} -> {status}",
            error=f"{self._operator}: {reason}" if reason else self._operator,
            at=now,
        )
        moved = replace(
            saga, status=status, attempts=0, wake_at=now, updated_at=now, entries=entry.number
        )
        return await self.repository.save(moved, [entry], uow)
