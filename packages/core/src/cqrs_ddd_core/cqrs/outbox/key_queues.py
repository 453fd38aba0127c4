"""The messages that a relay holds, by order key: which go next, which must wait."""

from collections import deque
from collections.abc import Collection, Iterable
from typing import NamedTuple

from cqrs_ddd_core.ports.outbox_relay import WaitingMessage, order_key_of


class Call(NamedTuple):
    """What goes to the publisher at once: messages of some keys, each key's in order.

    Attributes:
        keys: they are busy until the call returns, so that no later message overtakes.
        is_slow: made for a single message of a slow key.
    """

    keys: list[str]
    messages: list[WaitingMessage]
    is_slow: bool = False


class KeyQueues:
    """Takes messages as they are read and hands them out, one call a key at a time.

    Args:
        slow_backlog: how many messages of a slow key are held; the others stay in the store.

    Attributes:
        held: the slot of each message that was read and is not settled yet, by position.
        slow: keys that are published alone.
    """

    def __init__(self, slow_backlog: int) -> None:
        self._slow_backlog = slow_backlog
        self.held: dict[int, int] = {}
        self.slow: set[str] = set()
        self._queues: dict[str, deque[WaitingMessage]] = {}
        self._ready: deque[str] = deque()
        self._ready_slow: deque[str] = deque()
        self._busy: set[str] = set()
        self._is_slow_turn = False

    @property
    def is_any_ready(self) -> bool:
        """Whether there is something for any call."""
        return bool(self._ready or self._ready_slow)

    @property
    def is_ready(self) -> bool:
        """Whether there is something for a normal call."""
        return bool(self._ready)

    @property
    def is_slow_ready(self) -> bool:
        """Whether there is something for a call of a slow key."""
        return bool(self._ready_slow)

    def add(self, key: str, message: WaitingMessage) -> None:
        """Put a message behind the others of its key."""
        self.held[message.position] = message.slot
        queue = self._queues.get(key)
        if queue is not None:
            queue.append(message)
            return
        self._queues[key] = deque((message,))
        if key not in self._busy:
            self._make_ready(key)

    def take_any(self, limit: int) -> Call:
        """Return by turns a call of a slow key and one of at most ``limit`` messages."""
        self._is_slow_turn = bool(self._ready_slow) and not (self._is_slow_turn and self._ready)
        return self.take_slow() if self._is_slow_turn else self.take(limit)

    def take(self, limit: int) -> Call:
        """Return a call of at most ``limit`` messages."""
        call = Call([], [])
        while self._ready and len(call.messages) < limit:
            key = self._ready.popleft()
            queue = self._queues.get(key)
            if not queue:
                continue
            room = limit - len(call.messages)
            if len(queue) <= room:
                call.messages.extend(queue)
                del self._queues[key]
            else:
                call.messages.extend(queue.popleft() for _ in range(room))
            call.keys.append(key)
            self._busy.add(key)
        return call

    def take_slow(self) -> Call:
        """Return a call of one message of a slow key."""
        key = self._ready_slow.popleft()
        queue = self._queues[key]
        call = Call([key], [queue.popleft()], is_slow=True)
        if not queue:
            del self._queues[key]
        self._busy.add(key)
        return call

    def give_back(self, call: Call) -> None:
        """Take back, unpublished, what a call was made of; other keys go first now."""
        for message in reversed(call.messages):
            self._queues.setdefault(order_key_of(message.message), deque()).appendleft(message)
        self.done(call)

    def done(self, call: Call, failed: Collection[str] = ()) -> list[WaitingMessage]:
        """Let the keys of a call go on; return what waits behind those that failed."""
        left: list[WaitingMessage] = []
        for key in call.keys:
            self._busy.discard(key)
            if key in failed:
                left.extend(self._queues.pop(key, ()))
            elif key in self._queues:
                self._make_ready(key)
        return left

    def is_known(self, key: str) -> bool:
        """Whether a message of this key waits here or is being published."""
        return key in self._busy or key in self._queues

    def settled(self, positions: Iterable[int]) -> None:
        """Forget messages whose fate has been written down."""
        for position in positions:
            self.held.pop(position, None)

    def drop(self, slots: Collection[int] | None = None) -> None:
        """Forget what waits here, of these slots or of all; what is being published stays."""
        for key, queue in list(self._queues.items()):
            if slots is None or queue[0].slot in slots:
                self.settled(message.position for message in queue)
                del self._queues[key]
        self._ready = deque(key for key in self._ready if key in self._queues)
        self._ready_slow = deque(key for key in self._ready_slow if key in self._queues)

    def mark_slow(self, call: Call) -> None:
        """Publish the keys of this call alone from now on."""
        self.slow.update(call.keys)

    def mark_fast(self, key: str) -> None:
        """Publish a key together with others again."""
        self.slow.discard(key)

    def crowded(self) -> dict[str, int]:
        """Return the slow keys that have enough here, with how many: no more are to be read."""
        counts = {key: len(self._queues.get(key, ())) for key in self.slow}
        return {key: count for key, count in counts.items() if count >= self._slow_backlog}

    def _make_ready(self, key: str) -> None:
        (self._ready_slow if key in self.slow else self._ready).append(key)
