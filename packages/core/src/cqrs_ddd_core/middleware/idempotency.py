"""Carries out a command once, however often it is sent."""

from collections.abc import Callable
from typing import Any

from cqrs_ddd_core.cqrs.response import AnyCommandResponse, CommandResponse
from cqrs_ddd_core.cqrs.scope import open_scope
from cqrs_ddd_core.ports.idempotency_store import IIdempotencyStore
from cqrs_ddd_core.ports.middleware import NextHandler


def idempotency_key_of(message: Any) -> str | None:
    """Return the ``idempotency_key`` that a message carries, if it has one."""
    return getattr(message, "idempotency_key", None)


class IdempotencyMiddleware:
    """Answers a command whose key is known with the result kept, without running it again.

    The key is saved in the transaction of the command. Of two that run at once with one key, one
    commits; the other fails with ``ConcurrencyError`` and finds the result when it is repeated,
    which ``RetryMiddleware`` does.

    Args:
        store: remembers keys and results; results must be something JSON can hold.
        key_of: returns a message's key; None means it has none. Keys of different message types
            never meet.
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
        full_key = f"{type(message).__name__}:{key}"
        known, result = await self._store.find(full_key, uow)
        if known:
            return CommandResponse(result)
        response = await next_handler(message)
        result = response.result if isinstance(response, AnyCommandResponse) else response
        await self._store.save(full_key, result, uow)
        return response
