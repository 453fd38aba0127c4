"""A worker on the shop's projection that kills itself at a point, or ends when all is done."""

import asyncio
import random
from enum import Enum, auto
from typing import Any

from cqrs_ddd_core import VersionState
from cqrs_ddd_core.testing import until
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyProjectionStorage, SQLAlchemyReadModel
from cqrs_ddd_persistence_sqlalchemy.projections.writer import SQLAlchemyReadModelWriter
from tests.killing import LONG, Trap, tell
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

    @property
    def is_of_a_rebuild(self) -> bool:
        """Whether it is passed once, when a new version comes about."""
        return self not in {KillPoint.CHECKPOINT_MOVED, KillPoint.READ_MODEL_WRITTEN}

    def passes(self, chance: random.Random) -> int:
        """Return how often a process passes it before it is killed, as often as it surely does."""
        is_of_batches = not self.is_of_a_rebuild or self is KillPoint.DURING_REBUILD
        return 1 + chance.randrange(3) if is_of_batches else 1


trap = Trap()


class Storage(SQLAlchemyProjectionStorage):
    async def advance(self, version: Any, *args: Any, **kwargs: Any) -> None:
        await super().advance(version, *args, **kwargs)
        tell("moved")
        trap.passed(KillPoint.CHECKPOINT_MOVED)
        if version.state is VersionState.BUILDING:
            trap.passed(KillPoint.DURING_REBUILD)

    async def plan_switch(self, version: Any, tolerance: int) -> bool:
        is_planned = await super().plan_switch(version, tolerance)
        if is_planned:
            trap.passed(KillPoint.SWITCH_PLANNED)
        return is_planned

    async def complete_switch(self, version: Any, uow: Any = None) -> bool:
        trap.passed(KillPoint.VIEWS_SWITCHED)
        is_done = await super().complete_switch(version, uow)
        if is_done:
            trap.passed(KillPoint.SWITCHED)
        return is_done

    async def forget(self, version: Any) -> None:
        trap.passed(KillPoint.TABLES_DROPPED)
        await super().forget(version)


class Writer(SQLAlchemyReadModelWriter):
    async def flush(self) -> None:
        await super().flush()
        trap.passed(KillPoint.READ_MODEL_WRITTEN)


class ReadModel(SQLAlchemyReadModel):
    def writer(self, version: int, uow: Any) -> SQLAlchemyReadModelWriter:
        plain = super().writer(version, uow)
        return Writer(plain._tables, uow)  # pyright: ignore[reportPrivateUsage]


async def run(url: str, versions: int) -> None:
    """Work until everything is considered and there is one version, the last one."""
    shop = await open_shop(url, Storage, ReadModel)

    async def is_alone() -> bool:
        return [each.version for each in await shop.storage.versions(NAME)] == [versions]

    tell("started")
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(shop.projection.worker().run(stopping))
        await until(is_alone, timeout=LONG)
        latest = await shop.event_store.latest_position()
        await shop.projection.wait_for(latest, timeout=LONG)
        stopping.set()


def work(url: str, versions: int, point: str = "", passes: int = 0) -> None:
    """Run in a process of its own, which may end itself at a point."""
    trap.point, trap.passes = point, passes
    asyncio.run(run(url, versions))
