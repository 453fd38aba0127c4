"""Queues in memory, bound to types of messages, that can go down and come back."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cqrs_ddd_core import BrokerUnavailableError
from cqrs_ddd_messaging.envelope import MessageEnvelope

PLACE = "memory"


@dataclass(slots=True, eq=False)
class QueuedEnvelope:
    """A message in a queue, and how often it was tried and handed over."""

    envelope: MessageEnvelope
    attempt: int = 1
    redeliveries: int = 0


@dataclass(frozen=True, slots=True)
class ParkedEnvelope:
    """A message that was parked, why, and the notes that other brokers have in headers."""

    envelope: MessageEnvelope
    error: Exception
    attempt: int
    notes: Mapping[str, str]


class Queue:
    """Messages in order; one consumer at a time is handed them, the next one when it ends."""

    def __init__(self, name: str, patterns: Sequence[str]) -> None:
        self.name, self.patterns = name, tuple(patterns)
        self.ready: deque[QueuedEnvelope] = deque()
        self.dead_letters: list[ParkedEnvelope] = []
        self.active = asyncio.Lock()
        self.changed = asyncio.Event()

    def put(self, entries: Sequence[QueuedEnvelope], *, in_front: bool = False) -> None:
        """Add entries behind the others; those that come back, in front."""
        if in_front:
            self.ready.extendleft(reversed(entries))
        else:
            self.ready.extend(entries)
        self.changed.set()


class InMemoryMessageBus:
    """A broker in memory: what is published goes to every queue bound to its type.

    Its queues outlive a ``go_down``, as those of a broker that is restarted do.

    Example:
        >>> bus = InMemoryMessageBus()
        >>> bus.declare_queue("billing", "shop.*")
    """

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        self._is_up = True
        self.went_down = asyncio.Event()

    def declare_queue(self, name: str, *patterns: str) -> None:
        """Have a queue for messages whose type matches one of ``patterns``; all by default."""
        if name not in self._queues:
            self._queues[name] = Queue(name, patterns or ("*",))

    def queue(self, name: str) -> Queue:
        """Return a declared queue.

        Raises:
            BrokerUnavailableError: the broker is down.
        """
        self.check()
        self.declare_queue(name)
        return self._queues[name]

    def dead_letters(self, name: str) -> list[ParkedEnvelope]:
        """Return what was parked by the consumers of a queue."""
        return list(self._queues[name].dead_letters)

    def waiting(self, name: str) -> int:
        """Return how many messages nobody has been handed yet."""
        return len(self._queues[name].ready)

    def publish(self, envelope: MessageEnvelope, event_type: str) -> bool:
        """Put a message into every queue bound to its type; return whether there is one."""
        self.check()
        bound = [
            queue
            for queue in self._queues.values()
            if any(fnmatchcase(event_type, pattern) for pattern in queue.patterns)
        ]
        for queue in bound:
            queue.put([QueuedEnvelope(envelope)])
        return bool(bound)

    def check(self) -> None:
        """Refuse while the broker is down."""
        if not self._is_up:
            raise BrokerUnavailableError(PLACE, "it is down")

    def go_down(self) -> None:
        """Break every connection and refuse new ones."""
        self._is_up = False
        self.went_down.set()

    def come_back(self) -> None:
        """Serve again."""
        self._is_up = True
        self.went_down = asyncio.Event()
