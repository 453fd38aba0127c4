"""Carries out a command once, however often it is sent."""

from collections.abc import Callable
from typing import Any

from cqrs_ddd_core.cqrs.errors import HandlerError
from cqrs_ddd_core.cqrs.message import QueryOf, message_type_of
from cqrs_ddd_core.cqrs.response import AnyCommandResponse, CommandResponse
from cqrs_ddd_core.cqrs.scope import open_scope
from cqrs_ddd_core.ports.idempotency_store import IIdempotencyStore
from cqrs_ddd_core.ports.middleware import NextHandler


def idempotency_key_of(message: Any) -> str | None:
    """Return the ``idempotency_key`` that a message carries, if it has one."""
    return getattr(message, "idempotency_key", None)


class IdempotentStreamError(HandlerError):
    """A command with an idempotency key was to be streamed.

    Its items are handed out and committed one by one and nobody keeps them, so a second stream
    under the key could only be empty, or do everything again.
    """

    def __init__(self, message: object) -> None:
        self.message_type = type(message)
        super().__init__(
            f"{self.message_type.__qualname__} carries an idempotency key, but a stream cannot be "
            "given again under its key. Stream it without a key and make each item's change "
            "idempotent, or send it as a command whose result is the list."
        )


class IdempotencyMiddleware:
    """Answers a command whose key is known with the result kept, without running it again.

    The key is saved in the transaction of the command. Of two that run at once with one key, one
    commits; the other fails with ``ConcurrencyError`` and finds the result when it is repeated,
    which ``RetryMiddleware`` does. A query is answered anew each time, for it changes nothing.

    Keys of different message types never meet: a key is kept together with ``message_type`` where
    the class has one, else with the class's module and name. Give ``message_type`` to a command
    whose class may be moved while its senders repeat it.

    Args:
        store: remembers keys and results; results must be something JSON can hold.
        key_of: returns a message's key; None means it has none.
    """

    def __init__(
        self,
        store: IIdempotencyStore,
        *,
        key_of: Callable[[Any], str | None] = idempotency_key_of,
    ) -> None:
        self._store, self._key_of = store, key_of

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        """Handle ``message``, unless it has been handled already."""
        key = self._key_of(message)
        if key is None:
            return await next_handler(message)
        uow = open_scope().uow
        if uow.read_only:
            return await next_handler(message)
        full_key = f"{message_type_of(message)}:{key}"
        known, result = await self._store.find(full_key, uow)
        if known:
            return CommandResponse(result)
        response = await next_handler(message)
        result = response.result if isinstance(response, AnyCommandResponse) else response
        await self._store.save(full_key, result, uow)
        return response

    def check_stream(self, message: object) -> None:
        """Refuse to answer a streamed command from memory.

        Raises:
            IdempotentStreamError: it carries a key.
        """
        if not isinstance(message, QueryOf) and self._key_of(message) is not None:
            raise IdempotentStreamError(message)
