"""Base classes of handlers written as classes; a plain async function serves as well."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any, Generic

from typing_extensions import TypeVar

from cqrs_ddd_core.cqrs.response import CommandResponse, QueryResponse

R = TypeVar("R", default=Any)
E = TypeVar("E", default=Any, contravariant=True)  # noqa: PLC0105 - users see the name


class EventPhase(Enum):
    """When an event handler runs, and what its failure means."""

    IN_TRANSACTION = "in_transaction"
    """Before the commit, on the same unit of work; a failure fails the command."""
    AFTER_COMMIT = "after_commit"
    """After the commit, at most once; a failure is reported, the command has succeeded."""
    DURABLE = "durable"
    """Through the outbox: at least once, with retries, also after a crash."""


class CommandHandler(ABC, Generic[R]):
    """Carries out one type of command."""

    @abstractmethod
    async def handle(self, command: Any, /) -> CommandResponse[R]:
        """Carry out ``command``; what it changed is committed when it returns."""


class QueryHandler(ABC, Generic[R]):
    """Answers one type of query."""

    @abstractmethod
    async def handle(self, query: Any, /) -> QueryResponse[R]:
        """Answer ``query``; nothing is committed."""


class StreamHandler(ABC, Generic[R]):
    """Answers one type of command or query item by item."""

    @abstractmethod
    def handle(self, message: Any, /) -> AsyncIterator[R]:
        """Yield the items; write it as an async generator."""


class EventHandler(ABC, Generic[E]):
    """Reacts to one type of event and to the types derived from it."""

    @abstractmethod
    async def handle(self, event: E, /) -> None:
        """React to ``event``."""
