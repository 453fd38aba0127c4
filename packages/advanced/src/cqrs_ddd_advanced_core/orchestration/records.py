"""What a journal says of each action of a saga's steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from cqrs_ddd_advanced_core.sagas.instance import JournalEntry, SagaAction, SagaOutcome

FALLBACK_SUFFIX = " (fallback)"
"""What the journal adds to a step's name where its fallback does it."""


def name_in_outline(action: SagaAction, step: str) -> str:
    """Return the name of what a step does, where it has to be done in several ways."""
    return f"{action.value} {step}"


@dataclass(slots=True)
class ActionRecord:
    """How far one action of one step has come.

    Attributes:
        attempts: how often it was begun.
        began_at: when it was begun first.
        failures: how often it failed since the beginning, or since a person had it tried again.
        interruptions: how often, since then, nobody has written down how an attempt ended.
        is_open: whether an attempt is under way.
        is_done: whether it is done.
        in_doubt: whether the last attempt may have had its effect although it is not done.
        may_have_acted: whether any attempt may have had its effect.
        again_at: when it is to be tried again, at the earliest.
    """

    attempts: int = 0
    began_at: datetime | None = None
    failures: int = 0
    interruptions: int = 0
    is_open: bool = False
    is_done: bool = False
    in_doubt: bool = False
    may_have_acted: bool = False
    again_at: datetime | None = None

    def take_in(self, entry: JournalEntry) -> None:
        """Take in the next entry about it."""
        if entry.outcome is SagaOutcome.STARTED:
            self.interrupt()
            self.attempts += 1
            self.began_at = self.began_at or entry.at
            self.is_open = True
        elif entry.outcome is SagaOutcome.COMPLETED:
            self.is_open, self.is_done, self.may_have_acted = False, True, True
        elif entry.outcome is SagaOutcome.FAILED:
            said: dict[str, Any] = from_json(entry.data) if entry.data is not None else {}
            self.is_open = False
            self.failures += 1
            self.in_doubt = bool(said.get("in_doubt"))
            self.may_have_acted = self.may_have_acted or self.in_doubt
            again_at = said.get("again_at")
            self.again_at = datetime.fromisoformat(again_at) if again_at else None

    def interrupt(self) -> None:
        """An attempt under way has ended without a word."""
        if self.is_open:
            self.is_open, self.in_doubt, self.may_have_acted = False, True, True
            self.interruptions += 1

    def forgive(self) -> None:
        """Give it all its attempts again: a person wants it tried."""
        self.interrupt()
        self.failures = self.interruptions = 0
        self.again_at = None


class Records:
    """The records of a saga, by action and step.

    Attributes:
        cause: what failed last on the way forward, or who had the saga moved last, and why.
    """

    def __init__(self, journal: Iterable[JournalEntry] = ()) -> None:
        self.cause: str | None = None
        self._records: dict[tuple[SagaAction, str], ActionRecord] = {}
        for entry in journal:
            self.take_in(entry)

    def take_in(self, entry: JournalEntry) -> None:
        """Take in the next entry of the journal."""
        is_back = entry.action in {SagaAction.COMPENSATE, SagaAction.CANCEL}
        if entry.error is not None and not is_back:
            self.cause = entry.error
        if entry.action is SagaAction.OPERATOR:
            for record in self._records.values():
                record.forgive()
        elif entry.step:
            self.of(entry.action, entry.step).take_in(entry)

    def of(self, action: SagaAction, step: str) -> ActionRecord:
        """Return the record of one action of one step."""
        return self._records.setdefault((action, step), ActionRecord())

    def begun(self) -> set[str]:
        """Return the names of the steps that have been begun, as an outline has them."""
        begun = [key for key, record in self._records.items() if record.attempts]
        return {
            name
            for action, step in begun
            for name in (step.removesuffix(FALLBACK_SUFFIX), name_in_outline(action, step))
        }

    def interrupt(self) -> None:
        """Whoever ran the saga runs it no more."""
        for record in self._records.values():
            record.interrupt()
