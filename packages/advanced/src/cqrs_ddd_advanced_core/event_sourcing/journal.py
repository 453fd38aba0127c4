"""What an aggregate has recorded since it was loaded, also after its events were taken."""

from datetime import datetime
from typing import Any


class Journal(list[Any]):
    """The pending events of an aggregate, which remembers them when they are cleared.

    Which of them are stored follows from the aggregate's version, so that a rollback, which
    restores the version, makes them new again.

    Attributes:
        base: the version at which it began.
        recorded: all events since.
        snapshot_version: the version of the last snapshot known of; 0 without one.
        snapshot_taken_at: when it was taken.
    """

    def __init__(self, base: int, pending: list[Any]) -> None:
        super().__init__(pending)
        self.base, self.recorded = base, list(pending)
        self.snapshot_version: int = 0
        self.snapshot_taken_at: datetime | None = None

    def __deepcopy__(self, _: object) -> "Journal":
        """Return a copy with the same events, which never change."""
        copied = Journal(self.base, list(self))
        copied.recorded = list(self.recorded)
        copied.snapshot_version = self.snapshot_version
        copied.snapshot_taken_at = self.snapshot_taken_at
        return copied

    def append(self, event: Any) -> None:
        """Record ``event``."""
        super().append(event)
        self.recorded.append(event)

    def unsaved(self, version: int) -> list[Any]:
        """Return the events behind the stored ``version``."""
        return self.recorded[version - self.base :]


def journal_of(aggregate: Any) -> Journal:
    """Return the journal of ``aggregate``, begun now where it has none."""
    pending: Any = getattr(aggregate, "_pending_events", None)
    if not isinstance(pending, Journal):
        pending = Journal(aggregate.version, list(pending or ()))
        aggregate._pending_events = pending  # noqa: SLF001 - as restore_version does
    return pending
