"""The payment provider: what the shop asks of it, and one that behaves as badly as real ones."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from decimal import Decimal
from typing import Any, Protocol

from cqrs_ddd_core import DomainError, InfrastructureError


class CardRefusedError(DomainError):
    """The bank does not pay."""


class NoAnswerError(InfrastructureError):
    """The provider does not answer; what it has done is not known."""


class IPaymentProvider(Protocol):
    """Somebody else's system that moves money.

    Every call carries a key; to repeat a call with its key changes nothing.
    """

    async def charge(self, key: str, amount: Decimal) -> None:
        """Take money from a card.

        Raises:
            CardRefusedError: the bank does not pay.
            NoAnswerError: no answer; whether the money was taken is not known.
        """
        ...

    async def refund(self, key: str) -> None:
        """Give back what was taken under ``key``, if anything was."""
        ...


class SimulatedProvider:
    """Refuses, answers late, answers not at all, answers twice; by chance, but always the same.

    Args:
        seed: of the chance.
        notify: tells the shop that a charge was made, while the call for it may not have ended.

    Attributes:
        balance: the money it holds for the shop.
        charges: how often money was taken, by key.
        refunds: how often it was given back, by key.
    """

    def __init__(self, seed: int, notify: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._seed, self._notify = seed, notify
        self._calls: dict[str, int] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._taken: dict[str, Decimal] = {}
        self.balance = Decimal(0)
        self.charges: dict[str, int] = {}
        self.refunds: dict[str, int] = {}

    async def charge(self, key: str, amount: Decimal) -> None:
        """Take money once for a key, however often it is asked."""
        call = self._calls[key] = self._calls.get(key, 0) + 1
        mood = random.Random(f"{self._seed}/{key}").choice(  # noqa: S311 - a simulation
            ["good", "good", "good", "refuses", "late", "lost", "twice"]
        )
        if mood == "refuses":
            raise CardRefusedError(f"{key}: the bank does not pay {amount}.")
        if mood == "late" and call == 1:
            raise NoAnswerError("The payment provider cannot be reached.")
        if key not in self._taken:
            self._taken[key] = amount
            self.balance += amount
            self.charges[key] = self.charges.get(key, 0) + 1
        if mood == "lost" and call == 1:
            raise NoAnswerError("The payment provider took the money, but its answer was lost.")
        if mood == "twice":
            answer = asyncio.create_task(self._notify(key), context=Context())
            self._answers.add(answer)

    async def settled(self) -> None:
        """Wait until the shop has heard everything."""
        await asyncio.gather(*self._answers)

    async def refund(self, key: str) -> None:
        """Give money back once for a key."""
        amount = self._taken.pop(key, None)
        if amount is not None:
            self.balance -= amount
            self.refunds[key] = self.refunds.get(key, 0) + 1
