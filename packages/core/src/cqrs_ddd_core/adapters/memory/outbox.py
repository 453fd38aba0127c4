"""The outbox in memory."""

from collections.abc import Iterable, Sequence

from cqrs_ddd_core.adapters.memory.database import InMemoryTransaction
from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.errors import PersistenceError


class InMemoryOutboxStorage:
    """Keeps outgoing messages; joins an ``InMemoryUnitOfWork`` (see ``IOutboxStorage``)."""

    def __init__(self) -> None:
        self._messages: dict[str, OutboxMessage] = {}

    async def save_messages(
        self, messages: Sequence[OutboxMessage], uow: IUnitOfWork | None = None
    ) -> None:
        """Save ``messages`` behind those saved before."""
        transaction = joined_transaction(uow, to_write=True)
        own = self._own(transaction)
        new = {message.message_id: message for message in messages}
        taken = new.keys() & {message.message_id for message in own}
        if taken or len(new) < len(messages):
            raise _already_there(taken)

        def check() -> None:
            if taken := new.keys() & self._messages.keys():
                raise _already_there(taken)

        if transaction is not None:
            transaction.pending[self, "messages"] = (*own, *messages)
        run_or_stage(transaction, lambda: self._messages.update(new), check)

    async def get_pending(
        self, limit: int = 100, uow: IUnitOfWork | None = None
    ) -> list[OutboxMessage]:
        """Return at most ``limit`` messages that wait, oldest first."""
        return [*self._messages.values(), *self._own(joined_transaction(uow))][:limit]

    def _own(self, transaction: InMemoryTransaction | None) -> tuple[OutboxMessage, ...]:
        """Return what the joined transaction has saved and not yet committed."""
        return transaction.pending.get((self, "messages"), ()) if transaction is not None else ()


def _already_there(taken: Iterable[str]) -> PersistenceError:
    return PersistenceError(
        f"The outbox holds {sorted(taken) or 'two of these messages'} already; a message_id must "
        "be unique."
    )
