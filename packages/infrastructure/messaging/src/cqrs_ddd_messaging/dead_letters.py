"""Looks after what consumers have parked: one scan of what is kept, whatever the broker."""

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from cqrs_ddd_core import BrokerDeadLetter
from cqrs_ddd_core.cqrs.shielding import shielded

MOST = 20_000
"""Letters that a scan holds where it has to bring them into order; so many as SQS lets it hold."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class StoredLetter:
    """A dead letter, and the adapter's own way to settle it."""

    letter: BrokerDeadLetter
    token: Any


class IDeadLetterScan(Protocol):
    """One walk through the dead letters of a consumer.

    Whatever it has shown and not removed is there again, in its order, when the scan ends, also
    when its process is killed.
    """

    def batches(self) -> AsyncGenerator[Sequence[StoredLetter]]:
        """Yield the letters there were when the scan began, those of a key in order."""
        ...

    async def send_back(self, stored: StoredLetter) -> None:
        """Publish a letter to where it came from, without its notes, and wait until confirmed."""
        ...

    async def remove(self, stored: Sequence[StoredLetter]) -> None:
        """Remove letters of the batch that was yielded last."""
        ...


class IDeadLetterShelf(Protocol):
    """Where a broker keeps the dead letters of one consumer: all that an adapter has to provide."""

    async def count(self) -> int:
        """Return how many there are, as exactly as the broker tells."""
        ...

    def open(self) -> AbstractAsyncContextManager[IDeadLetterScan]:
        """Begin a scan, over a connection of its own."""
        ...


def in_order(stored: Iterable[StoredLetter]) -> list[StoredLetter]:
    """Return letters in the order they were parked in, for brokers that do not keep it."""
    return sorted(stored, key=lambda each: each.letter.parked_at or _LONG_AGO)


class BrokerDeadLetters:
    """Looks after the dead letters on a shelf (see ``IBrokerDeadLetters``).

    Attributes:
        shelf: where the broker keeps them.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_messaging.memory import InMemoryConsumer, InMemoryMessageBus
        >>> consumer = InMemoryConsumer(InMemoryMessageBus(), "billing")
        >>> asyncio.run(consumer.dead_letters().redrive())
        []
    """

    def __init__(self, shelf: IDeadLetterShelf) -> None:
        self.shelf = shelf

    async def count(self) -> int:
        """Return how many there are."""
        return await self.shelf.count()

    async def dead_letters(self, limit: int = 100) -> list[BrokerDeadLetter]:
        """Return at most ``limit`` of them, and leave them where they are."""
        found: list[BrokerDeadLetter] = []
        async with self.shelf.open() as scan, aclosing(scan.batches()) as batches:
            async for batch in batches:
                found += [stored.letter for stored in batch]
                if len(found) >= limit:
                    break
        return found[:limit]

    async def redrive(self, message_ids: Collection[str] | None = None) -> list[str]:
        """Send letters back to where they came from; return their ids."""
        return await self._settle(message_ids, again=True)

    async def discard(self, message_ids: Collection[str]) -> list[str]:
        """Remove letters for good; return their ids."""
        return await self._settle(message_ids, again=False)

    async def _settle(self, message_ids: Collection[str] | None, *, again: bool) -> list[str]:
        wanted = None if message_ids is None else frozenset(message_ids)
        done: list[str] = []
        async with self.shelf.open() as scan, aclosing(scan.batches()) as batches:
            async for batch in batches:
                chosen = [
                    stored
                    for stored in batch
                    if wanted is None or stored.letter.message_id in wanted
                ]
                await (_redrive(scan, chosen) if again else scan.remove(chosen))
                done += [stored.letter.message_id for stored in chosen]
        return done


async def _redrive(scan: IDeadLetterScan, chosen: Sequence[StoredLetter]) -> None:
    """Send letters back one after another, and remove those that were confirmed."""
    confirmed: list[StoredLetter] = []
    try:
        for stored in chosen:
            await scan.send_back(stored)
            confirmed.append(stored)
    finally:
        await shielded(scan.remove(confirmed))
