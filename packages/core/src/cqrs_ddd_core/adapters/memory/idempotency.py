"""The memory of commands carried out, in memory."""

from typing import Any

from pydantic_core import from_json, to_json

from cqrs_ddd_core.adapters.memory.joining import joined_transaction, run_or_stage
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.errors import ConcurrencyError


class InMemoryIdempotencyStore:
    """Keeps results as JSON; joins an ``InMemoryUnitOfWork`` (see ``IIdempotencyStore``)."""

    def __init__(self) -> None:
        self._results: dict[str, bytes] = {}

    async def find(self, key: str, uow: IUnitOfWork | None = None) -> tuple[bool, Any]:
        """Return whether ``key`` is known, and the result kept under it."""
        transaction = joined_transaction(uow)
        own = transaction.pending.get((self, key)) if transaction is not None else None
        found = own[0] if own is not None else self._results.get(key)
        return (False, None) if found is None else (True, from_json(found))

    async def save(self, key: str, result: Any, uow: IUnitOfWork | None = None) -> None:
        """Keep ``result`` under ``key``."""
        transaction = joined_transaction(uow, to_write=True)
        kept = to_json(result)

        def check() -> None:
            if key in self._results:
                raise ConcurrencyError(f"Command {key!r}", expected=0, actual=None)

        check()
        if transaction is not None:
            transaction.pending[self, key] = (kept,)
        run_or_stage(transaction, lambda: self._results.update({key: kept}), check)
