"""Applies events to a read model, in one transaction with the checkpoint."""

import inspect
import logging
from collections.abc import Sequence
from typing import NamedTuple

from cqrs_ddd_core.ports import ProjectionVersion, StoredEvent
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_projections.context import ProjectionContext
from cqrs_ddd_projections.wiring import Wiring

_log = logging.getLogger(__name__)
_RACES = 5  # lost in a row, before the events are taken for the cause

Settled = tuple[str, Sequence[int]]


class EventBatch(NamedTuple):
    """What a transaction moves a checkpoint over.

    Attributes:
        partitions: those whose checkpoint it is.
        after: where they are.
        position: where they will be.
        events: what is to be applied.
        waiting: what waits, for its key is blocked: position and key of each.
    """

    partitions: Sequence[int]
    after: int
    position: int
    events: Sequence[StoredEvent]
    waiting: Sequence[tuple[int, str]] = ()


class Applier:
    """Applies events for one version under one lease."""

    def __init__(self, wiring: Wiring, version: ProjectionVersion, epoch: int) -> None:
        self._wiring, self._version, self._epoch = wiring, version, epoch

    async def apply(
        self, batch: EventBatch, *, settles: tuple[str, Sequence[int]] | None = None
    ) -> bool:
        """Apply a batch and commit, or change nothing; return whether a settled key is free.

        Args:
            batch: what to apply.
            settles: the blocked key whose events these are, and their positions.

        Raises:
            ProjectionLeaseLostError: this worker is not entitled any more.
            Exception: what a handler or the store raised.
        """
        for left in reversed(range(_RACES)):
            try:
                return await self._apply(batch, settles)
            except ConcurrencyError:
                if not left:
                    raise
        raise AssertionError

    async def _apply(self, batch: EventBatch, settles: Settled | None) -> bool:
        wiring, version, is_free = self._wiring, self._version, False
        storage = wiring.storage
        async with wiring.uow_factory() as uow:
            await storage.advance(
                version,
                self._epoch,
                batch.partitions,
                after=batch.after,
                position=batch.position,
                uow=uow,
            )
            writer = wiring.read_model.writer(version.version, uow)
            at = ProjectionContext(writer, uow, version.effects_after)
            await self._handle(batch.events, at)
            await writer.flush()
            if batch.waiting:
                await storage.wait_behind(version, batch.waiting, uow)
            if settles is not None:
                is_free = await storage.settle(version, *settles, uow)
        await self._take_effect(at)
        return is_free

    async def _handle(self, events: Sequence[StoredEvent], at: ProjectionContext) -> None:
        handlers, hydrate = self._wiring.handlers, self._wiring.event_types.hydrate
        for stored in events:
            at.turn_to(stored)
            done = handlers[stored.event_type](hydrate(stored.event_type, stored.payload), at)
            if inspect.isawaitable(done):
                await done

    async def _take_effect(self, at: ProjectionContext) -> None:
        for effect in at.effects:
            try:
                await effect()
            except Exception:  # noqa: BLE001 - the commit must not be taken for undone
                _log.exception(
                    "%r of %s failed after the commit, which stands", effect, self._version
                )
