"""The switch from one version of a read model to the next, and the end of the old one."""

import logging

from cqrs_ddd_core.ports import IProjectionOperations, IUnitOfWork, ProjectionVersion
from cqrs_ddd_projections.wiring import Wiring

_log = logging.getLogger(__name__)


class _NotYetError(Exception):
    """Rolls back what the switch has done too early."""


async def try_switch(wiring: Wiring, version: ProjectionVersion) -> bool:
    """Have ``version`` read from now on, if all its partitions have reached the planned position.

    Tables first, state second: where tables cannot change in a transaction, a worker that dies in
    between leaves readers on the new version, which is complete, and the next one repeats both.
    """
    if not await _is_complete(wiring, version):
        return False
    try:
        async with wiring.uow_factory() as uow:
            await wiring.read_model.switch(version.version, uow)
            await _complete(wiring, version, uow)
    except _NotYetError:
        return False
    return True


async def _complete(wiring: Wiring, version: ProjectionVersion, uow: IUnitOfWork) -> None:
    if not await wiring.storage.complete_switch(version, uow):
        raise _NotYetError


async def _is_complete(wiring: Wiring, version: ProjectionVersion) -> bool:
    """Whether every worker has done its part; checkpoints never go back, so it stays true."""
    storage = wiring.storage
    assert isinstance(storage, IProjectionOperations)
    for status in await storage.status(version.projection):
        if status.version.version == version.version:
            return status.position >= (version.effects_after or 0)
    return False


async def drop_finished(wiring: Wiring, version: ProjectionVersion) -> bool:
    """Remove a retired version that nobody needs; return whether it is gone."""
    if not await wiring.storage.is_finished(version):
        return False
    await wiring.read_model.drop(version.version)
    await wiring.storage.forget(version)
    _log.info("%s is dropped", version)
    return True
