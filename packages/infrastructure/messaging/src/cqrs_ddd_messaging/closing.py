"""What is open inside of ``async with``, and closed at its end."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class ClosedAtTheEnd(ABC):
    """Closes itself at the end of the block that it is used in."""

    @abstractmethod
    async def close(self) -> None:
        """Close it; used again, it opens again."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
