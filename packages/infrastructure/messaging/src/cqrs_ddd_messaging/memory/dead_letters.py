"""What the consumers of a queue in memory have parked."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from cqrs_ddd_messaging.dead_letters import StoredLetter
from cqrs_ddd_messaging.memory.bus import InMemoryMessageBus, ParkedEnvelope, QueuedEnvelope
from cqrs_ddd_messaging.notes import dead_letter_of


class InMemoryDeadLetterShelf:
    """The dead letters beside a queue in memory (see ``IDeadLetterShelf``)."""

    def __init__(self, bus: InMemoryMessageBus, queue: str) -> None:
        self._bus, self._queue = bus, queue

    async def count(self) -> int:
        """Count them."""
        return len(self._bus.queue(self._queue).dead_letters)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["InMemoryDeadLetterScan"]:
        """Begin a scan."""
        yield InMemoryDeadLetterScan(self._bus, self._queue)


class InMemoryDeadLetterScan:
    """A walk through them (see ``IDeadLetterScan``)."""

    def __init__(self, bus: InMemoryMessageBus, queue: str) -> None:
        self._bus, self._queue = bus, queue

    async def batches(self) -> AsyncGenerator[Sequence[StoredLetter]]:
        """Yield all of them at once."""
        yield [self._stored(each) for each in self._bus.queue(self._queue).dead_letters]

    async def send_back(self, stored: StoredLetter) -> None:
        """Put the message behind the others of its queue."""
        parked: ParkedEnvelope = stored.token
        self._bus.queue(self._queue).put([QueuedEnvelope(parked.envelope)])

    async def remove(self, stored: Sequence[StoredLetter]) -> None:
        """Forget the letters."""
        gone = {id(each.token) for each in stored}
        letters = self._bus.queue(self._queue).dead_letters
        letters[:] = [each for each in letters if id(each) not in gone]

    def _stored(self, parked: ParkedEnvelope) -> StoredLetter:
        envelope = parked.envelope
        letter = dead_letter_of(envelope.attributes, envelope.data, parked.notes, topic=self._queue)
        return StoredLetter(letter, parked)
