"""Killed at any step: nothing is lost or done twice, and what goes back never goes forward again.

``CQRS_TEST_SEED`` repeats a run, ``CQRS_TEST_KILLS`` has MariaDB killed at every point as well.
"""

import os
import random
import secrets
import sys

import pytest

from cqrs_ddd_advanced_core.sagas import SagaStatus
from tests.killing import Child
from tests.sagas.child import KillPoint, orders_up_to, patient_saga, work
from tests.sagas.stores import URLS, sql_store
from tests.sagas.world import open_world

IS_LONG_RUN = "CQRS_TEST_KILLS" in os.environ
TRIES = 10
FEW = [KillPoint.EFFECT_COMMITTED, KillPoint.TURNED_BACK]
FORWARD = ["CreateOrder", "ReserveItems", "ChargePayment", "ConfirmOrder"]
UNDONE = [*FORWARD[:-1], "RefundPayment", "CancelReservation"]


class Killed:
    """A database that outlives the processes that work on it."""

    def __init__(self, url: str) -> None:
        self.url, self.rounds = url, 0
        self.killed_at: list[str] = []
        self.relays: list[int] = []

    def run_until_killed_at(self, point: KillPoint, passes: int) -> None:
        self.rounds += 1
        with Child(work, self.url, self.rounds, point.name, passes) as child:
            self._take_in(child.wait())

    def run_to_completion(self) -> None:
        with Child(work, self.url, self.rounds) as child:
            lines = child.wait()
            self._take_in(lines)
            assert lines[-1] == "done", lines

    def _take_in(self, lines: list[str]) -> None:
        for line in lines:
            match line.split():
                case ["killed", point]:
                    self.killed_at.append(point)
                case ["relay", relay_id]:
                    self.relays.append(int(relay_id))
                case ["failed", *_]:
                    pytest.fail(line)
                case _:
                    pass


@pytest.mark.timeout(7200 if IS_LONG_RUN else 600)
@pytest.mark.parametrize("database", URLS)
async def test_sagas_end_as_they_should_wherever_the_process_is_killed(
    database: str, request: pytest.FixtureRequest
) -> None:
    seed = os.environ.get("CQRS_TEST_SEED") or secrets.token_hex(4)
    sys.stdout.write(f"CQRS_TEST_SEED={seed}\n")
    chance = random.Random(f"{seed} {database}")
    world = Killed(request.getfixturevalue(database))
    points = FEW if database == "mariadb_url" and not IS_LONG_RUN else list(KillPoint)
    for point in points:
        for _ in range(TRIES):  # one may be through with its work before the point
            world.run_until_killed_at(point, passes=1 + chance.randrange(2))
            await check(world, is_over=False)
            if world.killed_at[-1:] == [point.name]:
                break
    world.run_to_completion()
    assert world.killed_at == [point.name for point in points]
    await check(world, is_over=True)


async def check(killed: Killed, *, is_over: bool) -> None:
    """Compare effects and sagas with what they should be, and end the leases of the dead."""
    async with sql_store(killed.url) as store:
        while killed.relays:
            await store.outbox.leave(killed.relays.pop())
        world = await open_world(store, patient_saga())
        orders = orders_up_to(killed.rounds)
        for order_id in orders:
            done = await world.done(order_id)
            whole = UNDONE if order_id.startswith("back") else FORWARD
            assert done == (whole if is_over else whole[: len(done)]), order_id
        if is_over:
            sagas = await world.manager.search(limit=1000)
            assert len(sagas) == len(orders)
            statuses = [saga.status for saga in sagas]
            assert statuses.count(SagaStatus.COMPENSATED) == killed.rounds
            assert statuses.count(SagaStatus.COMPLETED) == 2 * killed.rounds
            assert await store.outbox.get_pending() == []
