"""Feeds one version of a projection: leases, feed, checkpoints, and what fails on the way."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports import (
    FailedEvent,
    FeedPage,
    PartitionLease,
    ProjectionLeaseLostError,
    ProjectionVersion,
    StoredEvent,
    VersionState,
    WaitingKey,
    partition_of,
)
from cqrs_ddd_core.primitives.clock import current_clock, utc_now
from cqrs_ddd_core.primitives.error_text import described
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.runtime.waiting import first_of, is_set_within
from cqrs_ddd_projections.applying import Applier, EventBatch
from cqrs_ddd_projections.lag import Lag
from cqrs_ddd_projections.switching import try_switch
from cqrs_ddd_projections.wiring import Wiring

_log = logging.getLogger(__name__)
_RENEWALS = 10  # in the life of a lease
_SOON = 0.2
_LOOK_AHEAD = 1.0
_ERROR_LENGTH = 2000


class VersionRunner:
    """One worker on one version, until it is told to stop or the version is gone.

    Args:
        wiring: the projection.
        version: which version.
        worker: the worker's name.
        report: called when ``lag`` has changed.

    Attributes:
        lag: how far it is behind.
    """

    def __init__(
        self, wiring: Wiring, version: ProjectionVersion, worker: str, report: Callable[[], None]
    ) -> None:
        self._wiring, self._version, self._worker, self._report = wiring, version, worker, report
        self._storage, self._settings = wiring.storage, wiring.settings
        self._lease: PartitionLease | None = None
        self._positions: dict[int, int] = {}
        self._blocked: set[str] = set()
        self._renew_at = self._retry_at = self._latest_at = 0.0
        self._latest = 0
        self._failures: dict[int, int] = {}
        self._ahead: tuple[int, asyncio.Task[FeedPage]] | None = None
        self.lag = Lag()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping`` is set, or the version is gone or at its end."""
        pause, signal = self._settings.min_poll, self._wiring.event_store.signal
        try:
            while not stopping.is_set():
                seen = signal.count
                try:
                    done = await self._step(stopping)
                except (ProjectionLeaseLostError, ConcurrencyError) as lost:
                    _log.info("%s begins again: %s", self._version, lost)
                    self._forget()
                    continue
                if done is None:
                    return
                self._report()
                if done or await self._woken(stopping, seen, pause):
                    pause = self._settings.min_poll
                else:
                    pause = min(pause * 2, self._settings.max_poll)
        finally:
            if self._ahead is not None:
                await _ended(self._ahead[1])
            await shielded(self._leave())

    async def _step(self, stopping: asyncio.Event) -> bool | None:
        """Do what is next; return whether there was something, None when there is no more."""
        lease = await self._held()
        if lease is None:
            return None
        if lease.version.at_rest or not self._positions:
            self.lag.rests(lease.version.error)
            return False
        if self._blocked and current_clock().monotonic() >= self._retry_at:
            await self._retry_due(stopping)
        after = min(self._positions.values())
        if lease.bound is not None and after >= lease.bound:
            return await self._at_the_bound(lease)
        if await self._switched(lease, after):
            return True
        page = await self._read(after)
        if page.position <= after:
            self.lag.rests()
            return False
        await self._measure(page, after)
        self._report()
        await self._consider(page, after, stopping)
        return True

    # -- leases --------------------------------------------------------------------------------

    async def _held(self) -> PartitionLease | None:
        """Return the lease, renewed when it is time; None when the version is gone."""
        now = current_clock().monotonic()
        if self._lease is not None and now < self._renew_at:
            return self._lease
        old, ttl = self._lease, self._settings.lease
        epoch = None if old is None else old.epoch
        lease = await shielded(self._storage.renew(self._version, epoch, self._worker, ttl))
        if lease is None:
            return None
        self._lease, self._version = lease, lease.version
        is_changing = lease.version.at_rest or lease.version.state is not VersionState.LIVE
        short = len(lease.positions) < len(self._all()) // lease.workers
        pause = ttl / _RENEWALS
        self._renew_at = now + (min(pause, _SOON) if short or is_changing else pause)
        if dict(lease.positions) != self._positions or old is None:
            self._positions = dict(lease.positions)
            keys = await self._storage.blocked(self._version, self._positions)
            self._blocked = {each.key for each in keys}
        await self._give_up_surplus(lease)
        return lease

    def _all(self) -> range:
        return range(self._version.partitions)

    async def _give_up_surplus(self, lease: PartitionLease) -> None:
        """Leave partitions to workers that have fewer."""
        fair = -(-len(self._all()) // lease.workers)
        surplus = sorted(self._positions)[fair:]
        if surplus:
            await shielded(self._storage.release(self._version, lease.epoch, surplus))
            for number in surplus:
                del self._positions[number]

    def _forget(self) -> None:
        self._lease, self._positions, self._blocked = None, {}, set()

    async def _leave(self) -> None:
        lease = self._lease
        self._forget()
        if lease is not None:
            await self._storage.release(self._version, lease.epoch)

    # -- the feed ------------------------------------------------------------------------------

    async def _read(self, after: int) -> FeedPage:
        """Return the next page, and have the one behind it read meanwhile, if there is one."""
        position, reading = self._ahead or (None, None)
        self._ahead = None
        if reading is not None and position != after:
            await _ended(reading)
            reading = None
        page = await (reading if reading is not None else self._read_feed(after))
        if len(page.events) == self._settings.batch_size:
            behind = asyncio.create_task(self._read_feed(page.position))
            self._ahead = page.position, behind
        return page

    async def _read_feed(self, after: int) -> FeedPage:
        return await self._wiring.event_store.read_feed(
            after_position=after,
            limit=self._settings.batch_size,
            event_types=self._wiring.handlers.keys(),
        )

    async def _consider(self, page: FeedPage, after: int, stopping: asyncio.Event) -> None:
        """Apply those events of a page that are this worker's, and move the checkpoints.

        Partitions that were taken over may be behind the others; they go first, alone, until they
        have reached the next ones.
        """
        lease = self._lease
        assert lease is not None
        group = [number for number, position in self._positions.items() if position == after]
        ends = [position for position in self._positions.values() if position > after]
        if lease.bound is not None:
            ends.append(lease.bound)
        position = min([page.position, *ends])
        events = [event for event in page.events if event.position <= position]
        await self._apply(EventBatch(group, after, position, self._own(events, group)), stopping)

    def _own(self, events: Sequence[StoredEvent], group: Sequence[int]) -> Sequence[StoredEvent]:
        """Return the events of a group of partitions."""
        key_of, partitions = self._wiring.key_of, self._version.partitions
        if len(group) == partitions:
            return events
        chosen = frozenset(group)
        return [event for event in events if partition_of(key_of(event), partitions) in chosen]

    async def _apply(self, batch: EventBatch, stopping: asyncio.Event) -> bool:
        """Apply a batch; where it fails, halve it until the event to blame stands alone.

        Returns whether the checkpoints have moved to its end.
        """
        lease = self._lease
        assert lease is not None
        ready, waiting = self._sorted_out(batch.events)
        try:
            await Applier(self._wiring, self._version, lease.epoch).apply(
                batch._replace(events=ready, waiting=waiting)
            )
        except ProjectionLeaseLostError:
            raise
        except Exception as error:
            if len(batch.events) > 1:
                first, second = _halves(batch)
                return await self._apply(first, stopping) and await self._apply(second, stopping)
            if not ready:
                raise  # the store's trouble, no event's
            return await self._failed(batch, ready[0], error, stopping)
        self._moved(batch)
        return True

    def _sorted_out(
        self, events: Sequence[StoredEvent]
    ) -> tuple[Sequence[StoredEvent], list[tuple[int, str]]]:
        """Return the events to be applied, and those that wait behind a failed one."""
        if not self._blocked:
            return events, []
        ready: list[StoredEvent] = []
        waiting: list[tuple[int, str]] = []
        for event in events:
            key = self._wiring.key_of(event)
            if key in self._blocked:
                waiting.append((event.position, key))
            else:
                ready.append(event)
        return ready, waiting

    def _moved(self, batch: EventBatch) -> None:
        for number in batch.partitions:
            self._positions[number] = batch.position
        kept = self._failures.items()
        self._failures = {at: count for at, count in kept if at > batch.position}
        self._wiring.moved.notify()

    async def _measure(self, page: FeedPage, after: int) -> None:
        """Note the lag; what the end of the feed is, is asked once a second."""
        now = current_clock().monotonic()
        if now >= self._latest_at:
            self._latest = await self._wiring.event_store.latest_position()
            self._latest_at = now + _LOOK_AHEAD
        oldest = page.events[0].recorded_at if page.events else None
        seconds = None if oldest is None else (utc_now() - oldest).total_seconds()
        self.lag.behind(max(self._latest, page.position) - after, seconds)

    # -- failures ------------------------------------------------------------------------------

    async def _failed(
        self, batch: EventBatch, event: StoredEvent, error: Exception, stopping: asyncio.Event
    ) -> bool:
        """Do with an event what the policy says: try again, park its key, or stop.

        Returns whether what comes behind it goes on.
        """
        lease, policy, position = self._lease, self._wiring.errors, event.position
        assert lease is not None
        attempts = self._failures[position] = self._failures.get(position, 0) + 1
        text = self._told(event, error)
        _log.warning("%s failed at %s (attempt %d)", self._version, text, attempts)
        is_last = attempts >= policy.retry.max_attempts
        if policy.then == "park":
            retry_in = None if is_last else policy.retry.delay(attempts)
            key = self._wiring.key_of(event)
            failed = FailedEvent(position, key, text, attempts, retry_in)
            await self._block(batch, failed)
            self._moved(batch)
            return True
        if is_last:
            self._failures.clear()
            await shielded(self._storage.stop(self._version, lease.epoch, text))
            self._forget()
        else:
            self.lag.error = text
            await is_set_within(stopping, policy.retry.delay(attempts))
        return False

    async def _block(self, batch: EventBatch, failed: FailedEvent) -> None:
        """Move the checkpoint over a failed event, whose key is blocked from then on."""
        lease = self._lease
        assert lease is not None
        async with self._wiring.uow_factory() as uow:
            await self._storage.advance(
                self._version,
                lease.epoch,
                batch.partitions,
                after=batch.after,
                position=batch.position,
                uow=uow,
            )
            await self._storage.block(self._version, failed, uow)
        self._blocked.add(failed.key)
        self._retry_at = 0.0

    async def _retry_due(self, stopping: asyncio.Event) -> None:
        """Try those events again whose time has come, and what waits behind them."""
        self._retry_at = current_clock().monotonic() + _SOON
        for key in await self._storage.due(self._version, self._positions):
            while not stopping.is_set() and await self._retried(key):
                """Another hundred events of the key wait."""

    async def _retried(self, key: WaitingKey) -> bool:
        """Apply what waits for ``key``, in order; return whether there may be more."""
        lease, at = self._lease, self._positions[key.partition]
        assert lease is not None
        applier = Applier(self._wiring, self._version, lease.epoch)
        for position in await self._storage.waiting(self._version, key.key):
            page = await self._wiring.event_store.read_feed(after_position=position - 1, limit=1)
            events = [event for event in page.events if event.position == position]
            batch = EventBatch([key.partition], at, at, events)
            try:
                is_free = await applier.apply(batch, settles=(key.key, [position]))
            except ProjectionLeaseLostError:
                raise
            except Exception as error:  # noqa: BLE001 - the policy decides
                attempts = key.attempts + 1 if position == key.position else 1
                policy = self._wiring.errors.retry
                retry_in = None if attempts >= policy.max_attempts else policy.delay(attempts)
                text = self._told(events[0], error) if events else described(error)
                failed = FailedEvent(position, key.key, text, attempts, retry_in)
                await self._block(batch, failed)
                return False
            if is_free:
                self._blocked.discard(key.key)
                return False
        return True

    def _told(self, stored: StoredEvent, error: Exception) -> str:
        where = f"{stored.event_type} of {stored.stream} at {stored.position}"
        return f"{where}: {described(error)}"[:_ERROR_LENGTH]

    # -- the end of a build, or of a version ---------------------------------------------------

    async def _at_the_bound(self, lease: PartitionLease) -> bool | None:
        """Wait for the others, or for the live version; where it is time, plan the switch."""
        self.lag.rests()
        if lease.version.state is not VersionState.BUILDING:
            done = await self._storage.is_finished(self._version)
            return None if done else False
        if await self._storage.plan_switch(self._version, self._settings.batch_size):
            self._forget()
            return True
        self._renew_at = min(self._renew_at, current_clock().monotonic() + _SOON)
        return False

    async def _switched(self, lease: PartitionLease, after: int) -> bool:
        """Take over from the live version, when all has been considered that it leaves to it."""
        version = lease.version
        if version.state is not VersionState.BUILDING or version.effects_after is None:
            return False
        if after < version.effects_after or not await try_switch(self._wiring, version):
            return False
        self._renew_at = 0.0
        _log.info("%s is live", version)
        return True

    async def _woken(self, stopping: asyncio.Event, seen: int, seconds: float) -> bool:
        """Wait for a commit of this process, the end, or the time; return whether it was one."""
        signal = self._wiring.event_store.signal
        await first_of(stopping.wait(), signal.wait(seen, seconds))
        return signal.count != seen


async def _ended(reading: "asyncio.Task[FeedPage]") -> None:
    """End a read that nobody needs, whatever comes of it."""
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


def _halves(batch: EventBatch) -> tuple[EventBatch, EventBatch]:
    middle = len(batch.events) // 2
    first, second = batch.events[:middle], batch.events[middle:]
    between = first[-1].position
    return (
        batch._replace(events=first, position=between),
        batch._replace(events=second, after=between),
    )
