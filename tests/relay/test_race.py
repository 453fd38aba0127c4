"""Several relay processes on one outbox, through an outage, a pause, a slow and a poisoned key.

``CQRS_TEST_OUTAGE`` says for how many seconds the broker is away (0.5 by default).
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from cqrs_ddd_core import OutboxMessage, new_id, utc_now
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    create_engine,
    create_schema,
    create_session_factory,
)
from tests.killing import LONG, Child
from tests.relay.racing import POISON, POISONED_AT, SLOW, relay
from tests.relay.shop import arrived

KEYS = [SLOW, POISON, *(f"k-{number}" for number in range(100))]  # in nearly all slots
OUTAGE = float(os.environ.get("CQRS_TEST_OUTAGE", "0.5"))
PACE = 0.1  # seconds between two messages of a key while the broker is away


class Race:
    """An outbox, relays that are processes, and the broker's moods."""

    def __init__(
        self, url: str, folder: Path, storage: SQLAlchemyOutboxStorage, stack: ExitStack
    ) -> None:
        self.url, self.folder, self.storage, self._stack = url, folder, storage, stack
        self.saved = 0
        self.relays: list[Child] = []
        (folder / "broker").touch()

    def start(self, relays: int) -> None:
        for _ in range(relays):
            self.relays.append(self._stack.enter_context(Child(relay, self.url, self.folder)))

    def stop(self) -> list[str]:
        """End all relays as an operator would; return what they logged."""
        for each in self.relays:
            os.kill(each.pid, signal.SIGTERM)
        lines = [each.wait() for each in self.relays]
        assert [found[-2:] for found in lines] == [["exit 0", "done"]] * len(lines), lines
        return [line for found in lines for line in found]

    async def save(self, rounds: int) -> None:
        """Save a message for each key, ``rounds`` times."""
        for number in range(self.saved, self.saved + rounds):
            await self.storage.save_messages([_message(key, number) for key in KEYS])
        self.saved += rounds

    def has_arrived(self, *without: str) -> Callable[[], bool]:
        expected = list(range(self.saved))

        def check() -> bool:
            found = arrived(self.folder / "broker")
            return all(found.get(key) == expected for key in KEYS if key not in without)

        return check

    def have_all_missed(self) -> bool:
        """Whether every relay has found the broker away."""
        return all(self.mood(f"missed-{relay.pid}").exists() for relay in self.relays)

    def mood(self, name: str) -> Path:
        return self.folder / name


def _message(key: str, number: int) -> OutboxMessage:
    return OutboxMessage(
        message_id=new_id(),
        event_type="Raced",
        payload=f'{{"number": {number}}}'.encode(),
        occurred_at=utc_now(),
        partition_key=key,
        headers={"number": str(number)},
    )


@asynccontextmanager
async def race(url: str, folder: Path) -> AsyncGenerator[Race]:
    engine = create_engine(url)
    storage = SQLAlchemyOutboxStorage(create_session_factory(engine))
    try:
        await create_schema(engine, storage)
        with ExitStack() as stack:
            yield Race(url, folder, storage, stack)
    finally:
        await engine.dispose()


@pytest.mark.timeout(600 + 2 * OUTAGE)
@pytest.mark.parametrize(
    ("database", "relays"), [("sqlite_url", 2), ("postgres_url", 4), ("mariadb_url", 2)]
)
async def test_relays_that_race_deliver_everything_in_order_whatever_happens(
    database: str, relays: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with race(request.getfixturevalue(database), tmp_path) as running:
        await running.save(5)
        running.start(relays)
        await until(lambda: _relays_at_work(running, relays), LONG)
        await running.save(15)
        await until(running.has_arrived(POISON, SLOW), LONG)

        await _broker_is_away(running)
        await _poison_is_dead_and_its_key_waits(running)
        await _pause_a_relay_while_it_publishes(running)
        await until(running.has_arrived(POISON), LONG)

        running.mood("healed").touch()
        assert await running.storage.redrive() == 1
        await until(running.has_arrived(), LONG)
        await until(lambda: _is_empty(running), LONG)
        logs = running.stop()
        assert sum("lost its lease" in log for log in logs) >= 1, logs
        assert (await running.storage.statistics()).relays == 0


async def _broker_is_away(running: Race) -> None:
    """Save messages while the broker is away for ``OUTAGE`` seconds and every relay has noticed."""
    before, began = running.saved, time.monotonic()
    running.mood("away").touch()
    while time.monotonic() < began + OUTAGE:
        await running.save(1)
        await asyncio.sleep(PACE)
    await until(running.have_all_missed, LONG)
    assert not running.has_arrived(POISON)()
    back = time.monotonic()
    running.mood("away").unlink()
    await until(running.has_arrived(POISON), LONG + OUTAGE)
    saved = (running.saved - before) * len(KEYS)
    sys.stdout.write(
        f"{len(running.relays)} relays, broker away for {back - began:.1f} s: {saved} messages "
        f"waited, all had arrived {time.monotonic() - back:.1f} s after it was back\n"
    )


async def _relays_at_work(running: Race, relays: int) -> bool:
    return (await running.storage.statistics()).relays == relays


async def _is_empty(running: Race) -> bool:
    return (await running.storage.statistics()).waiting == 0


async def _poison_is_dead_and_its_key_waits(running: Race) -> None:
    async def is_dead() -> bool:
        letters = await running.storage.dead_letters()
        return bool(letters) and letters[0].parked_behind == running.saved - POISONED_AT - 1

    await until(is_dead, LONG)
    [letter] = await running.storage.dead_letters()
    assert (letter.error, letter.attempts) == ("ValueError: poison", 2)
    assert arrived(running.folder / "broker")[POISON] == list(range(POISONED_AT))


def _held(running: Race) -> list[Child]:
    return [relay for relay in running.relays if running.mood(f"held-{relay.pid}").exists()]


async def _pause_a_relay_while_it_publishes(running: Race) -> None:
    """Stop a relay inside a call for longer than its lease; its settle must count for nothing."""
    running.mood("hold").touch()
    await running.save(3)
    await until(lambda: _held(running), LONG)
    [victim] = _held(running)
    await until(lambda: _relays_at_work(running, len(running.relays) - 1), LONG)
    await running.save(5)
    await until(running.has_arrived(POISON), LONG)
    os.kill(victim.pid, signal.SIGCONT)
    await until(lambda: _relays_at_work(running, len(running.relays)), LONG)
    await running.save(5)
