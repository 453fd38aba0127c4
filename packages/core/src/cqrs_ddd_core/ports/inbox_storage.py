"""The port of the table that remembers which messages have been handled."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.errors import PersistenceError


class DuplicateMessageError(PersistenceError):
    """A message has been handled already, by this consumer; nothing of this attempt is kept.

    Attributes:
        consumer: who handled it.
        message_ids: those that were to be recorded, one of which is there already.
    """

    def __init__(self, consumer: str, message_ids: Sequence[str]) -> None:
        self.consumer, self.message_ids = consumer, list(message_ids)
        super().__init__(
            f"{consumer!r} has handled {', '.join(message_ids) or 'a message'} already. "
            "Acknowledge the message: its effect is there."
        )


@runtime_checkable
class IInboxStorage(Protocol):
    """Remembers which messages a consumer has handled, in the transaction of their effects.

    Joins the unit of work that is given or current: a message is recorded if and only if its
    effect commits. Without one, each call is a transaction of its own. The store's constraint
    ``unique(consumer, message_id)`` decides, so of two deliveries at once one commits.
    """

    async def handled(
        self, consumer: str, message_ids: Sequence[str], uow: IUnitOfWork | None = None
    ) -> set[str]:
        """Return those of ``message_ids`` that ``consumer`` has handled: one query a batch.

        It spares the work of a repeated delivery; ``record`` is what prevents a second effect.
        """
        ...

    async def record(
        self, consumer: str, message_ids: Sequence[str], uow: IUnitOfWork | None = None
    ) -> None:
        """Note that ``consumer`` has handled ``message_ids``.

        Raises:
            DuplicateMessageError: now or at commit, when one of them is there already.
        """
        ...

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` messages handled more than ``older_than`` ago; return how many.

        A message that is delivered again after that is handled again: keep them longer than any
        broker or relay can hold one back.
        """
        ...
