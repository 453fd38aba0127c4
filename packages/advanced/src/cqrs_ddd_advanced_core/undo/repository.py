"""The port of the store of undo tokens, and the one in memory."""

from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

from cqrs_ddd_advanced_core.undo.token import UndoToken
from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError, PersistenceError


@runtime_checkable
class IUndoTokenRepository(Protocol):
    """Keeps undo tokens; joins the unit of work that is given or current."""

    async def add(self, token: UndoToken, uow: IUnitOfWork | None = None) -> None:
        """Add a token.

        Raises:
            PersistenceError: now or at commit, when its id is there already.
        """
        ...

    async def find(self, token_id: str, uow: IUnitOfWork | None = None) -> UndoToken | None:
        """Return the token with this id."""
        ...

    async def update(self, token: UndoToken, uow: IUnitOfWork | None = None) -> None:
        """Replace the token, which must be one revision ahead of the stored one.

        Raises:
            ConcurrencyError: now or at commit, when somebody else has used the token meanwhile.
        """
        ...

    async def purge(self, expired_since: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` tokens that expired longer ago; return how many."""
        ...


class InMemoryUndoTokenRepository:
    """Keeps undo tokens in memory; joins an ``InMemoryUnitOfWork``."""

    def __init__(self) -> None:
        self._tokens: dict[str, UndoToken] = {}

    async def add(self, token: UndoToken, uow: IUnitOfWork | None = None) -> None:
        """Add a token."""

        def check() -> None:
            if token.token_id in self._tokens:
                raise PersistenceError(f"There is an undo token {token.token_id!r} already.")

        self._write(token, uow, check)

    async def find(self, token_id: str, uow: IUnitOfWork | None = None) -> UndoToken | None:
        """Return the token with this id."""
        transaction = joined_transaction(uow)
        own: tuple[Any, ...] = ()
        if transaction is not None:
            own = transaction.pending.get(self, ())
        found = [token for token in own if token.token_id == token_id]
        return found[-1] if found else self._tokens.get(token_id)

    async def update(self, token: UndoToken, uow: IUnitOfWork | None = None) -> None:
        """Replace the token, which must be one revision ahead of the stored one."""

        def check() -> None:
            stored = self._tokens.get(token.token_id)
            actual = stored.revision if stored is not None else None
            if actual != token.revision - 1:
                raise ConcurrencyError(
                    f"Undo token {token.token_id!r}", expected=token.revision - 1, actual=actual
                )

        self._write(token, uow, check)

    async def purge(self, expired_since: timedelta, *, limit: int = 10_000) -> int:
        """Forget at most ``limit`` tokens that expired longer ago."""
        before = utc_now() - expired_since
        old = [key for key, token in self._tokens.items() if token.expires_at < before][:limit]
        for token_id in old:
            del self._tokens[token_id]
        return len(old)

    def _write(self, token: UndoToken, uow: IUnitOfWork | None, check: Any) -> None:
        transaction = joined_transaction(uow, to_write=True)

        def apply() -> None:
            self._tokens[token.token_id] = token

        if transaction is not None:
            transaction.pending[self] = (*transaction.pending.get(self, ()), token)
        run_or_stage(transaction, apply, check)
