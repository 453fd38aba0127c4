"""Uses undo tokens: sends the commands, in one unit of work with the token."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cqrs_ddd_advanced_core.scheduling.command_names import command_class_of
from cqrs_ddd_advanced_core.undo.service import UndoService, service_on
from cqrs_ddd_advanced_core.undo.token import StoredCommand, UndoStatus, UndoToken
from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.cqrs.registry import Registration
from cqrs_ddd_core.ports import IEventStore


class UndoExecutor:
    """Undoes and redoes what tokens stand for.

    The commands, their events and the use of the token commit together, so that a token is used
    once, whoever is killed when.

    Args:
        mediator: sends the commands.
        event_store: the record; the service that was made on it is found by it.
        undo_service: the service, where there are several on one event store.
    """

    def __init__(
        self,
        mediator: Mediator,
        event_store: IEventStore,
        undo_service: UndoService | None = None,
    ) -> None:
        self._mediator = mediator
        self._service = undo_service or service_on(event_store)

    async def undo(self, token_id: str) -> UndoToken:
        """Undo what the token stands for; return the token, which can be redone now.

        Raises:
            UndoTokenNotFoundError: there is no such token.
            UndoExpiredError: its time is over.
            UndoStatusError: it is undone already.
            UndoUnsafeError: something has happened since.
            ConcurrencyError: something happened in this very moment.
        """
        token = await self._service.usable(token_id, UndoStatus.DONE)
        return await self._apply(token, token.undo, UndoStatus.UNDONE)

    async def redo(self, token_id: str) -> UndoToken:
        """Bring back what was undone; return the token, which can be undone again.

        Raises:
            UndoError: as with ``undo``; also when there is no command that brings it back.
        """
        token = await self._service.usable(token_id, UndoStatus.UNDONE)
        return await self._apply(token, token.redo, UndoStatus.DONE)

    async def _apply(
        self, token: UndoToken, stored: Sequence[StoredCommand], status: UndoStatus
    ) -> UndoToken:
        await self._service.refuse_if_unsafe(token)
        commands = [self._command(token, number, each) for number, each in enumerate(stored)]
        raised: list[str] = []

        async def send(_: Any) -> None:
            for command in commands:
                raised.extend(await self._send(command))

        handler = Registration(send, f"undo token {token.token_id}")
        message_id = f"{token.token_id}:{token.revision}"
        async with self._mediator.unit_of_work() as uow:
            await self._mediator.react(commands[0], handler, message_id=message_id)
            # The aggregate has been loaded by now. What came before that is seen here; what comes
            # after makes its version stale, and the commit fails.
            await self._service.refuse_if_unsafe(token, raised, uow)
            used = replace(
                token,
                status=status,
                revision=token.revision + 1,
                event_ids=(*token.event_ids, *raised),
            )
            await self._service.repository.update(used, uow)
        return used

    async def _send(self, command: object) -> list[str]:
        """Send a command and return the ids of the events that it raised."""
        send: Any = self._mediator.send
        return [event.event_id for event in (await send(command)).events]

    def _command(self, token: UndoToken, number: int, stored: StoredCommand) -> Any:
        command_class = command_class_of(stored.command_type, self._mediator.registry.commands)
        command = self._service.codec.decode(command_class, stored.data)
        if not hasattr(command, "model_copy"):
            return command
        # Undone, redone and undone again, it is another command each time.
        command_id = f"{token.token_id}:{token.revision}:{number}"
        return command.model_copy(update={"command_id": command_id})
