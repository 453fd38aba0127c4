"""The outbox in memory."""

from collections.abc import Sequence

from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.errors import PersistenceError


class InMemoryOutboxStorage:
    """Keeps outgoing messages in a dict; joins an ``InMemoryUnitOfWork`` (see ``IOutboxStorage``)."""

    def __init__(self) -> None:
        self._messages: dict[str, OutboxMessage] = {}

    async def save_messages(
        self, messages: Sequence[OutboxMessage], uow: IUnitOfWork | None = None
    ) -> None:
        """Save ``messages`` behind those saved before."""
        new = {message.message_id: message for message in messages}

        def check() -> None:
            taken = new.keys() & self._messages.keys()
            if taken or len(new) < len(messages):
                raise PersistenceError(
                    f"The outbox holds {sorted(taken) or 'two of these messages'} already; a "
                    "message_id must be unique."
                )

        run_or_stage(joined_transaction(uow), lambda: self._messages.update(new), check)

    async def get_pending(
        self, limit: int = 100, uow: IUnitOfWork | None = None
    ) -> list[OutboxMessage]:
        """Return at most ``limit`` messages that wait, oldest first."""
        return list(self._messages.values())[:limit]
