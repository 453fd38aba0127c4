"""The floor of a relay's reads hides nothing, whatever order transactions begin and commit in."""

import random

from cqrs_ddd_core import OutboxMessage, WaitingBatch, WaitingMessage, utc_now
from cqrs_ddd_core.cqrs.outbox.read_floor import ReadFloor

MESSAGE = OutboxMessage(message_id="m", event_type="E", payload=b"", occurred_at=utc_now())


class Database:
    """Transactions get numbers, then positions; they commit, or not, in any order."""

    def __init__(self) -> None:
        self.next_transaction = self.next_position = 1
        self.running: dict[int, list[int]] = {}
        self.visible: set[int] = set()

    def begin(self, _: random.Random) -> None:
        self.running[self.next_transaction] = []
        self.next_transaction += 1

    def write(self, chance: random.Random) -> None:
        if self.running:
            chance.choice(list(self.running.values())).append(self.next_position)
            self.next_position += 1

    def end(self, chance: random.Random) -> None:
        if self.running:
            positions = self.running.pop(chance.choice(list(self.running)))
            if chance.random() < 0.8:
                self.visible.update(positions)

    def read(self, floor: int, limit: int) -> WaitingBatch:
        found = sorted(position for position in self.visible if position > floor)[:limit]
        oldest = min(self.running, default=self.next_transaction)
        messages = [WaitingMessage(position, 0, MESSAGE) for position in found]
        return WaitingBatch(messages, oldest, self.next_transaction)


def test_every_committed_message_is_read_and_the_floor_rises() -> None:
    for seed in range(100):
        chance, database, floor = random.Random(seed), Database(), ReadFloor()
        seen: set[int] = set()
        for _ in range(300):
            chance.choice([database.begin, database.write, database.write, database.end])(chance)
            if chance.random() < 0.3:
                _read(database, floor, seen, chance.randint(1, 5))
        while database.running:
            database.end(chance)
        for _ in range(200):
            _read(database, floor, seen, 50)
        assert seen == database.visible, f"seed {seed}"
        assert floor.position == max(seen, default=0), f"seed {seed}"


def _read(database: Database, floor: ReadFloor, seen: set[int], limit: int) -> None:
    """Read as a relay does: what it holds already does not count towards the limit."""
    limit += sum(position > floor.position for position in seen)
    batch = database.read(floor.position, limit)
    floor.saw(batch, is_full=len(batch.messages) >= limit)
    seen.update(waiting.position for waiting in batch.messages)


def test_without_numbers_of_transactions_the_floor_stays() -> None:
    floor = ReadFloor()
    for last in (5, 9):
        floor.saw(WaitingBatch([WaitingMessage(last, 0, MESSAGE)], 0, 1), is_full=False)
    assert floor.position == 0


def test_a_rewound_floor_begins_at_what_is_to_be_read_again() -> None:
    floor = ReadFloor()
    floor.saw(WaitingBatch([WaitingMessage(9, 0, MESSAGE)], 1, 1), is_full=False)
    floor.rewind(4)
    assert floor.position == 4
    floor.rewind(7)
    assert floor.position == 4
