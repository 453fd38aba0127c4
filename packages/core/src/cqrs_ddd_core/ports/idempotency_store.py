"""The port that remembers which commands have been carried out."""

from typing import Any, Protocol, runtime_checkable

from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork


@runtime_checkable
class IIdempotencyStore(Protocol):
    """Remembers the outcome of a command by its idempotency key.

    Joins the unit of work that is given: a key is there if and only if the command committed.
    """

    async def find(self, key: str, uow: IUnitOfWork | None = None) -> tuple[bool, Any]:
        """Return whether ``key`` is known, and the result kept under it (None where unknown)."""
        ...

    async def save(self, key: str, result: Any, uow: IUnitOfWork | None = None) -> None:
        """Keep ``result`` (anything JSON can hold) under ``key``.

        Raises:
            ConcurrencyError: now or at commit, when another command has taken the key.
        """
        ...
