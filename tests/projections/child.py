"""A worker on the shop's projection that kills itself at a point, or ends when all is done."""

import asyncio
import os
import signal
import sys
from enum import Enum, auto
from typing import Any

from cqrs_ddd_core import VersionState
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyProjectionStorage, SQLAlchemyReadModel
from cqrs_ddd_persistence_sqlalchemy.projections.writer import SQLAlchemyReadModelWriter
from tests.projections.shop import NAME, open_shop


class KillPoint(Enum):
    """Where a worker dies."""

    CHECKPOINT_MOVED = auto()  # and the read model not written
    READ_MODEL_WRITTEN = auto()  # and not committed
    DURING_REBUILD = auto()
    SWITCH_PLANNED = auto()
    VIEWS_SWITCHED = auto()  # and the state not
    SWITCHED = auto()  # and not committed
    TABLES_DROPPED = auto()  # and the version not forgotten


class Trap:
    """Kills this process when it passes the point for the n-th time."""

    point: str = ""
    passes: int = 1

    def passes_by(self, point: KillPoint) -> None:
        if point.name == self.point:
            self.passes -= 1
            if self.passes <= 0:
                tell(f"killed {point.name}")
                os.kill(os.getpid(), signal.SIGKILL)


trap = Trap()


def tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


class Storage(SQLAlchemyProjectionStorage):
    async def advance(self, version: Any, *args: Any, **kwargs: Any) -> None:
        await super().advance(version, *args, **kwargs)
        tell("moved")
        trap.passes_by(KillPoint.CHECKPOINT_MOVED)
        if version.state is VersionState.BUILDING:
            trap.passes_by(KillPoint.DURING_REBUILD)

    async def plan_switch(self, version: Any, tolerance: int) -> bool:
        is_planned = await super().plan_switch(version, tolerance)
        if is_planned:
            trap.passes_by(KillPoint.SWITCH_PLANNED)
        return is_planned

    async def complete_switch(self, version: Any, uow: Any = None) -> bool:
        trap.passes_by(KillPoint.VIEWS_SWITCHED)
        is_done = await super().complete_switch(version, uow)
        if is_done:
            trap.passes_by(KillPoint.SWITCHED)
        return is_done

    async def forget(self, version: Any) -> None:
        trap.passes_by(KillPoint.TABLES_DROPPED)
        await super().forget(version)


class Writer(SQLAlchemyReadModelWriter):
    async def flush(self) -> None:
        await super().flush()
        trap.passes_by(KillPoint.READ_MODEL_WRITTEN)


class ReadModel(SQLAlchemyReadModel):
    def writer(self, version: int, uow: Any) -> SQLAlchemyReadModelWriter:
        plain = super().writer(version, uow)
        return Writer(plain._tables, uow)  # pyright: ignore[reportPrivateUsage]


async def run(url: str, versions: int) -> None:
    """Work until everything is considered and there is one version, the last one."""
    shop = await open_shop(url, Storage, ReadModel)
    stopping = asyncio.Event()
    working = asyncio.create_task(shop.projection.worker().run(stopping))
    tell("started")
    latest = await shop.event_store.latest_position()
    while not working.done():
        known = await shop.storage.versions(NAME)
        if [version.version for version in known] == [versions]:
            break
        await asyncio.sleep(0.02)
    await asyncio.wait(
        (working, asyncio.create_task(shop.projection.wait_for(latest, timeout=100))),
        return_when=asyncio.FIRST_COMPLETED,
    )
    stopping.set()
    await working
    tell("done")
    os._exit(0)  # the engine needs no tidy end


if __name__ == "__main__":
    if len(sys.argv) > 3:
        trap.point, trap.passes = sys.argv[3], int(sys.argv[4])
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
