"""How far a partition has been handled: without a gap, whatever the order of the work."""

import asyncio
from collections import deque

from cqrs_ddd_core import Delivery


class PartitionWork:
    """The deliveries of one partition that are under way, and the offset that may be committed.

    Example:
        >>> first, second = (Delivery(message_id="", key="", body=b"", token=n) for n in (7, 8))
        >>> work = PartitionWork()
        >>> work.began(first, 7)
        >>> work.began(second, 8)
        >>> work.settled(second)
        >>> work.to_commit is None  # the first one is not done
        True
        >>> work.settled(first)
        >>> work.to_commit
        9
    """

    def __init__(self) -> None:
        self.to_commit: int | None = None
        """The offset behind the last delivery before which all are settled; None until one is."""
        self._under_way: deque[tuple[Delivery, int]] = deque()
        self._settled: set[int] = set()
        self._changed = asyncio.Event()

    def began(self, delivery: Delivery, offset: int) -> None:
        """Take note of a delivery, in the order of the partition."""
        self._under_way.append((delivery, offset))

    def settled(self, delivery: Delivery) -> None:
        """Take note that a delivery is handled or parked."""
        self._settled.add(id(delivery))
        while self._under_way and id(self._under_way[0][0]) in self._settled:
            done, offset = self._under_way.popleft()
            self._settled.discard(id(done))
            self.to_commit = offset + 1
        self._changed.set()

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            self._changed.clear()
            await self._changed.wait()

    def lose(self) -> None:
        """Mark what is under way as lost: another consumer will be handed it."""
        for delivery, _ in self._under_way:
            delivery.lost = True
        self._under_way.clear()
