"""How carrying out an action is guided, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from cqrs_ddd_advanced_core.orchestration.plan import PlannedAction
from cqrs_ddd_advanced_core.sagas.instance import JournalEntry


class EndingKind(Enum):
    """How carrying out an action has ended."""

    DONE = auto()
    FAILED = auto()
    """For good; the entry that says so is to be written with what follows from it."""
    LATER = auto()
    """It is to be tried again, but not soon."""
    DROPPED = auto()
    """It was not tried any more, for something beside it has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How carrying out an action has ended.

    Attributes:
        action: the action.
        kind: how.
        result: what it returned.
        error: what it failed with; None when that happened in an earlier run.
        in_doubt: whether its effect may be there although it failed.
        entry: what is to be written about that.
        again_at: when it is to be tried again.
    """

    action: PlannedAction
    kind: EndingKind
    result: Any = None
    error: Exception | None = None
    in_doubt: bool = False
    entry: JournalEntry | None = None
    again_at: datetime | None = None


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """What the state of the saga means for an action, asked again before each attempt.

    Attributes:
        decide_by: until when it has to be done; None without a limit.
        is_dropped: whether it is not to be tried any more.
        finishing: what else is to be written with its end.
        is_alone: whether no other action is carried out beside it.
        is_cut: whether an attempt under way is stopped at ``decide_by``.
    """

    decide_by: Callable[[], datetime | None] = lambda: None
    is_dropped: Callable[[], bool] = lambda: False
    finishing: Callable[[], dict[str, Any]] = _nothing
    is_alone: bool = True
    is_cut: bool = True
