"""A saga in the hands of whoever runs it: what is stored of it, and what is written next."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from cqrs_ddd_advanced_core.orchestration.context import Fields
from cqrs_ddd_advanced_core.orchestration.plan import Outline, Plan, PlannedAction
from cqrs_ddd_advanced_core.orchestration.records import ActionRecord, Records
from cqrs_ddd_advanced_core.sagas.errors import SagaLeaseLostError
from cqrs_ddd_advanced_core.sagas.instance import (
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaOutcome,
)
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.error_text import described
from cqrs_ddd_core.primitives.errors import ConcurrencyError


class SagaLog:
    """Holds a leased saga and its journal, and writes what happens to it, one thing at a time.

    Args:
        repository: where the saga is stored.
        saga: the saga, as it was added or claimed.
        journal: its journal.

    Attributes:
        saga: the saga, as it is stored now.
        fields: its context, as it is stored now.
        outline: the steps that it began with.
    """

    def __init__(
        self, repository: ISagaRepository, saga: SagaInstance, journal: Sequence[JournalEntry]
    ) -> None:
        self._repository, self.saga = repository, saga
        self.fields = stored_fields(saga)
        self.outline: Outline = from_json(saga.data)["steps"]
        self._records = Records(journal)
        self._records.interrupt()
        self._lock = asyncio.Lock()

    def record_of(self, action: PlannedAction) -> ActionRecord:
        """Return how far an action has come."""
        return self._records.of(action.label, action.step)

    def begun(self) -> set[str]:
        """Return the names of the steps that have been begun, as an outline has them."""
        return self._records.begun()

    @property
    def cause(self) -> str | None:
        """Why the saga has turned back."""
        return self._records.cause

    async def adopt(self, plan: Plan) -> None:
        """Go on with the steps of today."""
        self.outline = plan.outline
        data = encoded(self.fields, self.outline)
        await self.write(definition=plan.fingerprint, data=data)

    @property
    def lost_error(self) -> SagaLeaseLostError:
        """What is raised when somebody else goes on with the saga."""
        return SagaLeaseLostError(self.saga.saga_id, self.saga.epoch)

    async def write(
        self,
        entry: JournalEntry | None = None,
        *,
        changed: Fields | None = None,
        uow: IUnitOfWork | None = None,
        release: bool = False,
        unless: Callable[[], bool] = lambda: False,
        **changes: Any,
    ) -> bool:
        """Write down what has happened, and return whether that was done.

        Args:
            entry: what is added to the journal; its number is given here.
            changed: fields of the context that are other now.
            uow: the unit of work to join.
            release: whether the lease ends with this.
            unless: whether nothing is to be written any more, behind what others have written.
            **changes: attributes of the saga that are other now.

        Raises:
            SagaLeaseLostError: somebody else goes on with the saga, or has moved it.
        """
        async with self._lock:
            if unless():
                return False
            fields = {**self.fields, **(changed or {})}
            if changed:
                changes["data"] = encoded(fields, self.outline)
            entries = [replace(entry, number=self.saga.entries + 1)] if entry is not None else []
            wanted = replace(
                self.saga,
                updated_at=utc_now(),
                entries=self.saga.entries + len(entries),
                **changes,
            )
            try:
                saved = await self._repository.save(wanted, entries, uow, release=release)
            except ConcurrencyError as error:
                raise self.lost_error from error

            async def take_in() -> None:
                self.saga, self.fields = saved, fields
                for each in entries:
                    self._records.take_in(each)

            if uow is None:
                await take_in()
            else:
                uow.on_commit(take_in)
            return True


def encoded(fields: Fields, outline: Outline) -> bytes:
    """Return what is stored as the data of a saga."""
    return to_json({"context": fields, "steps": outline})


def error_text(error: BaseException) -> str:
    """Return an error in one line that every database can hold."""
    return described(error).replace("\0", "\N{SYMBOL FOR NULL}")


def stored_fields(saga: SagaInstance) -> Fields:
    """Return the context that is stored with a saga."""
    return from_json(saga.data)["context"]


def entry_of(
    action: PlannedAction,
    outcome: SagaOutcome,
    attempt: int,
    *,
    key: str | None = None,
    data: dict[str, Any] | None = None,
    error: str | None = None,
) -> JournalEntry:
    """Return an entry about an action; its number is given when it is written."""
    return JournalEntry(
        number=0,
        action=action.label,
        outcome=outcome,
        step=action.step,
        attempt=attempt,
        message_id=key,
        data=to_json(data) if data is not None else None,
        error=error,
        at=utc_now(),
    )


def timeout_entry(step: str, error: str) -> JournalEntry:
    """Return an entry that says that time was over before a step was done."""
    return JournalEntry(
        number=0,
        action=SagaAction.TIMEOUT,
        outcome=SagaOutcome.FAILED,
        step=step,
        error=error,
        at=utc_now(),
    )


def refusal_entry(error: str) -> JournalEntry:
    """Return an entry that says that a saga is not compensated although a person wants it."""
    return JournalEntry(
        number=0,
        action=SagaAction.COMPENSATE,
        outcome=SagaOutcome.SKIPPED,
        error=error,
        at=utc_now(),
    )
