"""Keeps the lease of a saga while a step of it is done."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cqrs_ddd_advanced_core.sagas.instance import SagaInstance
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.primitives.clock import current_clock

_log = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews the lease of one saga, while somebody wants it renewed.

    Args:
        repository: where the saga is.
        saga: the saga, just leased.
        lease: seconds for which it is leased.

    Attributes:
        lost: set when the lease has ended.
    """

    def __init__(self, repository: ISagaRepository, saga: SagaInstance, *, lease: float) -> None:
        self._repository, self._saga, self._lease = repository, saga, lease
        self._renewed_at = current_clock().monotonic()
        self.lost = asyncio.Event()

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Renew the lease as long as the block lasts; stop when it is lost."""
        if self._is_due():
            await self._renew()
        beating = asyncio.create_task(self._beat(), name=f"lease of saga {self._saga.saga_id}")
        try:
            yield
        finally:
            beating.cancel()
            await shielded(_ended(beating))

    def _is_due(self) -> bool:
        return current_clock().monotonic() - self._renewed_at >= self._lease / 3

    async def _beat(self) -> None:
        while not self.lost.is_set():
            await current_clock().sleep(self._lease / 3)
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - the store may be back in a moment
                _log.warning("Saga %s keeps no lease", self._saga.saga_id, exc_info=error)

    async def _renew(self) -> None:
        renewed_at = current_clock().monotonic()
        leases = {self._saga.saga_id: self._saga.epoch}
        if await self._repository.renew(leases, lease=self._lease):
            self._renewed_at = renewed_at
        else:
            self.lost.set()


async def _ended(task: "asyncio.Task[None]") -> None:
    await asyncio.wait([task])
