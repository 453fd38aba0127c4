"""What a consumer does while one connection lasts: receive, handle, settle, and drain."""

import asyncio
import logging
from collections.abc import Sequence

from cqrs_ddd_core.cqrs.consumers.effects import Effects
from cqrs_ddd_core.cqrs.consumers.lanes import Lane, Lanes
from cqrs_ddd_core.cqrs.consumers.settings import ConsumerSettings
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports.inbox_storage import DuplicateMessageError
from cqrs_ddd_core.ports.message_consumer import (
    Delivery,
    ISubscription,
    UnreadableMessageError,
)
from cqrs_ddd_core.ports.worker_part import Progress
from cqrs_ddd_core.primitives.errors import InfrastructureError

_log = logging.getLogger(__name__)


class HandlerCancelledError(InfrastructureError):
    """Something a handler waited for was cancelled, though nobody cancelled the handler."""

    def __init__(self) -> None:
        super().__init__("Something the handler waited for was cancelled.")


class RedeliveredTooOftenError(InfrastructureError):
    """A message was handed over again and again and never settled; it may kill its consumers.

    Attributes:
        redeliveries: how often it came.
    """

    def __init__(self, redeliveries: int) -> None:
        self.redeliveries = redeliveries
        super().__init__(
            f"Delivered {redeliveries} times and never settled: it most likely kills the process "
            "that handles it. Find out why before it is redriven."
        )


class Session:
    """Handles deliveries of one subscription by a few workers, until told to stop.

    Args:
        subscription: where deliveries come from.
        effects: what is done with them.
        settings: how much at once, how often again.
        progress: is told how many deliveries are held, whenever that changes.
    """

    def __init__(
        self,
        subscription: ISubscription,
        effects: Effects,
        settings: ConsumerSettings,
        progress: Progress,
    ) -> None:
        self._subscription, self._effects, self._settings = subscription, effects, settings
        self._progress = progress
        self._lanes = Lanes()
        self._busy: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._stopping = asyncio.Event()
        self._ending = False
        self.settled = 0

    @property
    def held(self) -> int:
        """How many deliveries are held and not settled."""
        return self._lanes.held

    @property
    def _draining(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._ending or self._stopping.is_set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping`` is set, then finish what has begun, until the drain deadline.

        Raises:
            Exception: the connection is gone; what was begun has been finished.
        """
        self._stopping = stopping
        stop = asyncio.create_task(stopping.wait())
        receiver = asyncio.create_task(self._receive())
        workers = [
            asyncio.create_task(self._work()) for _ in range(max(1, self._settings.concurrency))
        ]
        ended: set[asyncio.Task[None]] = set()
        try:
            await asyncio.wait([stop, receiver, *workers], return_when=asyncio.FIRST_COMPLETED)
            ended = {task for task in (receiver, *workers) if task.done()}
        finally:
            stop.cancel()
            receiver.cancel()
            await shielded(self._drain([receiver, *workers]))
        for task in ended:
            task.result()

    async def _drain(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let busy workers finish; end the others at once, and everybody at the deadline."""
        self._ending = True
        for timer in self._timers:
            timer.cancel()
        busy = self._busy.copy()
        for task in tasks:
            if task not in busy:
                task.cancel()
        if busy:
            _, late = await asyncio.wait(busy, timeout=self._settings.drain_timeout)
            for task in late:
                _log.warning("A handler did not finish in time; its message will come again")
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> None:
        while True:
            room = await self._lanes.room(self._settings.capacity)
            self._lanes.add(await self._subscription.receive(room))
            self._note_step()

    async def _work(self) -> None:
        worker = asyncio.current_task()
        while not self._draining:
            taken = await self._lanes.take(self._settings.batch_size)
            if worker is not None:
                self._busy.add(worker)
            try:
                await self._handle(taken)
            finally:
                if worker is not None:
                    self._busy.discard(worker)

    async def _handle(self, taken: list[tuple[Lane, list[Delivery]]]) -> None:
        together = [
            (lane, deliveries)
            for lane, deliveries in taken
            if not lane.tries and not any(self._is_suspect(each) for each in deliveries)
        ]
        if not self._effects.in_batches or not await self._settle_together(together):
            together = []
        done = {id(lane) for lane, _ in together}
        for lane, deliveries in taken:
            if id(lane) not in done and not self._draining:
                await self._one_by_one(lane, deliveries)

    def _is_suspect(self, delivery: Delivery) -> bool:
        return delivery.lost or delivery.redeliveries > self._settings.max_redeliveries

    async def _settle_together(self, taken: list[tuple[Lane, list[Delivery]]]) -> bool:
        """Handle deliveries in one unit of work; return False when one has spoilt it for all."""
        batch = [delivery for _, deliveries in taken for delivery in deliveries]
        if len(batch) <= 1:
            return False
        try:
            await self._apply(batch)
        except Exception as error:  # noqa: BLE001 - each is repeated alone, where it counts
            _log.debug("A batch of %d failed and is repeated one by one: %r", len(batch), error)
            return False
        await self._acknowledge(batch)
        for lane, _ in taken:
            self._lanes.release(lane)
        return True

    async def _one_by_one(self, lane: Lane, deliveries: Sequence[Delivery]) -> None:
        """Handle deliveries of one key in order, until one has to be waited for."""
        for position, delivery in enumerate(deliveries):
            if self._draining and position:
                return  # they come again over the next connection
            if delivery.lost:
                self._count([delivery])
                continue
            error = await self._settle_alone(delivery)
            if error is None:
                lane.tries = lane.failures = 0
            elif (delay := await self._delay(lane, delivery, error)) is not None:
                self._lanes.give_back(lane, deliveries[position:])
                self._rest(lane, delay)
                return
        self._lanes.release(lane)

    async def _settle_alone(self, delivery: Delivery) -> Exception | None:
        """Handle one delivery; return why it has to be tried again, if it has to."""
        try:
            if delivery.redeliveries > self._settings.max_redeliveries:
                raise RedeliveredTooOftenError(delivery.redeliveries)  # noqa: TRY301 - parked below
            await self._apply([delivery])
        except DuplicateMessageError:
            await self._acknowledge([delivery])
        except (UnreadableMessageError, RedeliveredTooOftenError) as error:
            await self._park(delivery, error)
        except Exception as error:  # noqa: BLE001 - a handler may fail with anything
            return error
        else:
            await self._acknowledge([delivery])
        return None

    async def _delay(self, lane: Lane, delivery: Delivery, error: Exception) -> float | None:
        """Return how long ``lane`` rests; None when the delivery is no longer held."""
        policy, attempt = self._settings.retry_policy, delivery.attempt + lane.failures
        counts = not self._settings.is_transient(error)
        if counts and attempt >= policy.max_attempts:
            lane.tries = lane.failures = 0
            delivery.attempt = attempt  # as noted on the dead letter
            await self._park(delivery, error)
            return None
        lane.tries += 1
        delay = policy.delay(delivery.attempt + lane.tries - 1)
        _log.warning(
            "Message %s failed, attempt %d of %d; again in %.1f s: %r",
            *(delivery.message_id, attempt, policy.max_attempts, delay, error),
        )
        if counts and not delivery.key and await self._retry_later(delivery, delay):
            return None
        if counts:
            lane.failures += 1
        return delay

    def _rest(self, lane: Lane, delay: float) -> None:
        """Have the lane wait before the next attempt; nobody else waits."""
        if self._draining:
            return

        def resume() -> None:
            self._timers.discard(timer)
            self._lanes.release(lane)

        timer = asyncio.get_running_loop().call_later(delay, resume)
        self._timers.add(timer)

    async def _apply(self, deliveries: Sequence[Delivery]) -> None:
        try:
            messages = [await self._subscription.read(delivery) for delivery in deliveries]
            await self._effects.apply(messages)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise HandlerCancelledError from error

    async def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        # Not shielded: what is handled and not acknowledged comes again, and the inbox knows it.
        await self._subscription.acknowledge(deliveries)
        self._count(deliveries)

    async def _retry_later(self, delivery: Delivery, delay: float) -> bool:
        accepted = await shielded(self._subscription.retry_later(delivery, delay))
        if accepted:
            self._count([delivery])
        return accepted

    async def _park(self, delivery: Delivery, error: Exception) -> None:
        _log.error("Message %s is parked: %s", delivery.message_id, error, exc_info=error)
        await shielded(self._subscription.dead_letter(delivery, error))
        self._count([delivery])

    def _count(self, deliveries: Sequence[Delivery]) -> None:
        self.settled += len(deliveries)
        self._lanes.settled(len(deliveries))
        self._note_step()

    def _note_step(self) -> None:
        if self.held:
            self._progress.busy(lag=self.held)
        else:
            self._progress.idle()
