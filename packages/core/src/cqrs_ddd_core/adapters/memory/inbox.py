"""The inbox in memory."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports.inbox_storage import DuplicateMessageError
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now


class InMemoryInboxStorage:
    """Remembers handled messages; joins an ``InMemoryUnitOfWork`` (see ``IInboxStorage``)."""

    def __init__(self) -> None:
        self._handled: dict[tuple[str, str], datetime] = {}

    async def handled(
        self, consumer: str, message_ids: Sequence[str], uow: IUnitOfWork | None = None
    ) -> set[str]:
        """Return those of ``message_ids`` that ``consumer`` has handled."""
        transaction = joined_transaction(uow)
        own = transaction.pending.get(self, ()) if transaction is not None else ()
        return {
            message_id
            for message_id in message_ids
            if (consumer, message_id) in self._handled or (consumer, message_id) in own
        }

    async def record(
        self, consumer: str, message_ids: Sequence[str], uow: IUnitOfWork | None = None
    ) -> None:
        """Note that ``consumer`` has handled ``message_ids``."""
        transaction = joined_transaction(uow, to_write=True)
        own = transaction.pending.get(self, ()) if transaction is not None else ()
        entries = dict.fromkeys(((consumer, message_id) for message_id in message_ids), utc_now())
        if len(entries) < len(message_ids) or entries.keys() & own:
            raise DuplicateMessageError(consumer, message_ids)

        def check() -> None:
            if entries.keys() & self._handled.keys():
                raise DuplicateMessageError(consumer, message_ids)

        if transaction is not None:
            transaction.pending[self] = (*own, *entries)
        run_or_stage(transaction, lambda: self._handled.update(entries), check)

    async def purge(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` messages handled more than ``older_than`` ago."""
        before = utc_now() - older_than
        old = [entry for entry, handled_at in self._handled.items() if handled_at < before][:limit]
        for entry in old:
            del self._handled[entry]
        return len(old)
