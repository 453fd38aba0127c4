"""Which delivery may be handled now: keys in order, all keys side by side."""

import asyncio
from collections import deque
from collections.abc import Sequence

from cqrs_ddd_core.ports.message_consumer import Delivery


class Lane:
    """The deliveries of one key, in order; one worker at a time takes from it.

    Attributes:
        waiting: those that nobody has taken yet, the oldest first.
        tries: how often the oldest one has been tried in vain.
        failures: how many of these tries count as its attempts.
    """

    __slots__ = ("failures", "key", "tries", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiting: deque[Delivery] = deque()
        self.tries = self.failures = 0


class Lanes:
    """All deliveries that a consumer holds, a lane for each key.

    A lane is in one of three states: ready to be taken, taken by a worker, or resting until the
    next attempt at its oldest delivery. A delivery without a key has a lane of its own.
    """

    def __init__(self) -> None:
        self.held = 0
        """How many deliveries are here, those that workers have taken included."""
        self._by_key: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._changed = asyncio.Event()

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Put each delivery behind those of its key."""
        self.held += len(deliveries)
        for delivery in deliveries:
            lane = self._by_key.get(delivery.key) if delivery.key else None
            if lane is None:
                lane = Lane(delivery.key)
                self._ready.append(lane)
                if delivery.key:
                    self._by_key[delivery.key] = lane
            lane.waiting.append(delivery)
        self._changed.set()

    async def take(self, limit: int) -> list[tuple[Lane, list[Delivery]]]:
        """Wait for ready lanes and take at most ``limit`` deliveries from them, at least one."""
        while not self._ready:
            self._changed.clear()
            await self._changed.wait()
        taken: list[tuple[Lane, list[Delivery]]] = []
        while self._ready and limit > 0:
            lane = self._ready.popleft()
            count = min(limit, len(lane.waiting))
            taken.append((lane, [lane.waiting.popleft() for _ in range(count)]))
            limit -= count
        return taken

    def give_back(self, lane: Lane, deliveries: Sequence[Delivery]) -> None:
        """Put taken deliveries back in front; the lane stays with its worker."""
        lane.waiting.extendleft(reversed(deliveries))

    def settled(self, count: int) -> None:
        """Hold ``count`` deliveries less."""
        self.held -= count
        self._changed.set()

    def release(self, lane: Lane) -> None:
        """Make a taken or resting lane ready again, or forget it when nothing is left in it."""
        if lane.waiting:
            self._ready.append(lane)
        elif self._by_key.get(lane.key) is lane:
            del self._by_key[lane.key]
        self._changed.set()

    async def room(self, capacity: int) -> int:
        """Wait until fewer than ``capacity`` deliveries are held; return how many more fit."""
        while self.held >= capacity:
            self._changed.clear()
            await self._changed.wait()
        return capacity - self.held
