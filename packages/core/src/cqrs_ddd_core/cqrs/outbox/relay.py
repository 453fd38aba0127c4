"""Delivers an outbox: reads, publishes, settles, as one of any number of relays."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Any

from cqrs_ddd_core.cqrs.instrumentation import get_hook_registry
from cqrs_ddd_core.cqrs.outbox.key_queues import Call, KeyQueues
from cqrs_ddd_core.cqrs.outbox.outage import Outage
from cqrs_ddd_core.cqrs.outbox.read_floor import ReadFloor
from cqrs_ddd_core.cqrs.outbox.settings import RelaySettings
from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports.message_publisher import IMessagePublisher
from cqrs_ddd_core.ports.outbox_relay import (
    SLOTS,
    BlockedKey,
    FailedKey,
    IOutboxRelayStorage,
    RelayLease,
    RelayLeaseLostError,
    Settlement,
    WaitingMessage,
    order_key_of,
)
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage

_log = logging.getLogger(__name__)
_MARGIN = 0.1  # of the lease: nothing is published so shortly before it ends
_RENEWALS = 10  # in the life of a lease
_SOON = 0.25
_DUE_AT_ONCE = 100
_PROBES = 16  # messages in hand that suffice while the broker is away
_ALONE = 16  # calls of single messages beside the normal ones
_ERROR_LENGTH = 2000


def boot_time() -> float:
    """Return seconds that go on while the machine sleeps: a lease in the store does so too."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Relay:
    """One relay: what it holds, and the steps it takes.

    All its conversation with the store goes on one statement at a time; calls of the publisher
    run beside it. No transaction is open while a publisher is awaited.

    Args:
        storage: the outbox.
        publisher: hands the messages on.
        settings: how it works.
        name: how it shows up among the relays.

    Attributes:
        published: messages delivered by now.
        last_error: what went wrong last with the store or the broker; None when all is well again.
        last_progress: when the store was last reached, by ``boot_time``.
    """

    def __init__(
        self,
        storage: IOutboxRelayStorage,
        publisher: IMessagePublisher,
        settings: RelaySettings | None = None,
        *,
        name: str = "relay",
    ) -> None:
        self._storage, self._publisher, self._name = storage, publisher, name
        self.settings = settings or RelaySettings()
        self.published = 0
        self.last_error: BaseException | None = None
        self.last_progress = boot_time()
        self.poke = asyncio.Event()
        self._lease: RelayLease | None = None
        self._forget()

    def _forget(self) -> None:
        """Begin anew, with nothing in hand."""
        self._slots: set[int] = set()
        self._releasing: set[int] = set()
        self._deadline = self._renew_at = self._read_at = self._retry_at = 0.0
        self._interval = self.settings.shortest_poll
        self._is_behind = self._is_woken = True
        self.floor, self.queues = ReadFloor(), KeyQueues(self.settings.max_held // 4)
        self.outage = Outage(self.settings.longest_outage_pause)
        self._pending = Settlement()
        self._blocked: dict[str, BlockedKey] = {}
        self._calls: dict[asyncio.Task[None], tuple[Call, float]] = {}
        self._overtime: set[asyncio.Task[None]] = set()

    # -- what is to be done --------------------------------------------------------------------

    @property
    def lease(self) -> RelayLease | None:
        """What it holds in the store."""
        return self._lease

    @property
    def _relay_id(self) -> int | None:
        return self._lease.relay_id if self._lease is not None else None

    @property
    def in_hand(self) -> int:
        """How many messages were read and are not settled yet."""
        return len(self.queues.held)

    @property
    def is_busy(self) -> bool:
        """Whether something is being published or to be settled."""
        return bool(self._calls or self._pending)

    def read_soon(self) -> None:
        """Read at the next opportunity: something has been committed."""
        self._is_woken = True
        self.poke.set()

    async def converse(self, *, is_draining: bool = False) -> None:
        """Do what is due with the store.

        Raises:
            RelayLeaseLostError: nothing in hand counts any more; call ``start_over``.
        """
        if boot_time() >= min(self._renew_at, self._deadline):
            await self.renew()
        if self._pending:
            await self.settle()
        if self._releasing:
            await self._release()
        if is_draining:
            return
        if self._blocked and not self.outage.is_on and boot_time() >= self._retry_at:
            await self.retry_due()
        if self._has_room() and boot_time() >= self._next_read():
            await self.read(self.settings.batch_size)
        self.last_error = self.outage.error
        self.last_progress = boot_time()

    def next_due(self, *, is_draining: bool = False) -> float:
        """Return when there is something to do again, unless ``poke`` is set before."""
        if self._pending:
            return 0.0
        due = [self._renew_at, self._deadline]
        if is_draining:
            return min(due)
        if self._has_room():
            due.append(self._next_read())
        if self._blocked and not self.outage.is_on:
            due.append(self._retry_at)
        if not self._calls and self.queues.is_any_ready:
            due.append(self.outage.until)
        due += [
            started + self.settings.slow_after
            for task, (_, started) in self._calls.items()
            if task not in self._overtime
        ]
        return min(due)

    def _next_read(self) -> float:
        return 0.0 if self._is_behind or self._is_woken else self._read_at

    def _has_room(self) -> bool:
        if not self._slots - self._releasing:
            return False
        if self.outage.is_on:
            return self.in_hand < _PROBES
        most = self.settings.max_held
        crowded = sum(self.queues.crowded().values()) if self.queues.slow else 0
        held = len(self.queues.held)
        return held - crowded <= most - self.settings.batch_size and held < 10 * most

    # -- membership ----------------------------------------------------------------------------

    async def renew(self) -> RelayLease:
        """Join, or extend the lease.

        Raises:
            RelayLeaseLostError: it had run out; what was in hand may be another's by now.
        """
        before, old = boot_time(), self._lease
        ttl = self.settings.lease
        lease = await shielded(self._storage.renew(self._relay_id, self._name, ttl))
        self._lease = lease
        if old is not None and lease.relay_id != old.relay_id:
            if self.in_hand:
                raise RelayLeaseLostError(old.relay_id)
            self._forget()
        self._deadline = before + ttl * (1 - _MARGIN)
        is_short = len(lease.slots) < SLOTS // lease.relays
        pause = ttl / _RENEWALS
        self._renew_at = before + (min(pause, _SOON) if is_short else pause)
        await self._take_slots(lease)
        return lease

    async def _take_slots(self, lease: RelayLease) -> None:
        gained = lease.slots - self._slots
        if gained:
            for key in await self._storage.blocked(gained):
                self._blocked[key.key] = key
            self.floor.rewind()
            self._is_behind, self._retry_at = True, 0.0
            self._slots |= gained
        surplus = len(self._slots) - len(self._releasing) - -(-SLOTS // lease.relays)
        if surplus > 0:
            idle = self._slots - self._releasing - set(self.queues.held.values())
            mine = sorted(self._slots - self._releasing, key=lambda slot: slot not in idle)
            self._releasing.update(mine[:surplus])
            self.queues.drop(self._releasing)

    async def _release(self) -> None:
        """Give up those slots of which nothing is in hand any more."""
        free = self._releasing - set(self.queues.held.values())
        if not free or self._lease is None:
            return
        await shielded(self._storage.release(self._lease.relay_id, free))
        self._slots -= free
        self._releasing -= free
        self._blocked = {k: b for k, b in self._blocked.items() if b.slot not in free}

    async def start_over(self) -> None:
        """Drop everything in hand: another relay has it now."""
        _log.warning("%s lost its lease; what it had in hand is delivered by another", self._name)
        await self.cancel_calls()
        lease = self._lease
        self._forget()
        self._lease = lease

    def drop_queued(self) -> None:
        """Forget what was read and is not being published; the next read brings it again."""
        if self.queues.is_any_ready:
            self.floor.rewind()
        self.queues.drop()

    async def cancel_calls(self) -> None:
        """End what is being published, whatever comes of it."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def leave(self) -> None:
        """Give the lease back, so that others need not wait for its end."""
        lease, self._lease = self._lease, None
        self._forget()
        if lease is not None:
            await shielded(self._storage.leave(lease.relay_id))

    # -- reading -------------------------------------------------------------------------------

    async def read(self, limit: int) -> int:
        """Read at most ``limit`` messages and queue them; return how many were new."""
        crowded = self.queues.crowded() if self.queues.slow else {}
        self._is_woken = False
        held, floor = self.queues.held, self.floor.position
        limit += sum(position > floor for position in held)
        slots = self._slots - self._releasing
        batch = await shielded(self._storage.read(slots, floor, limit, without=crowded))
        is_full = len(batch.messages) >= limit
        if not crowded:  # else something was left out below what was read
            self.floor.saw(batch, is_full=is_full)
        fresh = [message for message in batch.messages if message.position not in held]
        for message in fresh:
            self._queue(message)
        self._is_behind = is_full
        shortest, longest = self.settings.shortest_poll, self.settings.poll_interval
        self._interval = shortest if fresh else min(longest, self._interval * 1.5)
        self._read_at = boot_time() + self._interval
        return len(fresh)

    def _queue(self, message: WaitingMessage) -> None:
        key = order_key_of(message.message)
        if key in self._blocked:
            self.queues.held[message.position] = message.slot
            self._pending.parked.append((message.position, key))
        else:
            self.queues.add(key, message)

    async def retry_due(self) -> int:
        """Queue the first messages of blocked keys whose time has come; return how many keys."""
        slots = self._slots - self._releasing
        due, next_in = await shielded(self._storage.due(slots, _DUE_AT_ONCE))
        seen = 0
        for blocked, message in due:
            key = blocked.key
            if self.queues.is_known(key) or key in self._pending.healed:
                continue
            self._blocked[key] = blocked
            seen += 1
            if message is None:  # somebody removed it: what is behind it goes on
                self._pending.healed.append(key)
            else:
                self.queues.add(key, message)
        pause = self.settings.redrive_poll
        self._retry_at = boot_time() + (pause if next_in is None else min(pause, next_in))
        return seen

    # -- publishing ----------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Start as many calls of the publisher as may run."""
        queues, now = self.queues, boot_time()
        self._look_for_slow_calls(now)
        if now >= self._deadline or now < self.outage.until:
            return
        if self.outage.is_on:
            if not self._calls and queues.is_any_ready:
                self._start(queues.take_any(1))
            return
        most = self.settings.max_calls
        while queues.is_ready and len(self._calls) - len(self._overtime) < most:
            self._start(queues.take(self.settings.batch_size))
        while queues.is_slow_ready and len(self._calls) < most + _ALONE:
            self._start(queues.take_slow())

    def _look_for_slow_calls(self, now: float) -> None:
        for task, (call, started) in self._calls.items():
            if task not in self._overtime and now >= started + self.settings.slow_after:
                self._overtime.add(task)
                self.queues.mark_slow(call)

    def _start(self, call: Call) -> None:
        task = asyncio.create_task(self.publish(call))
        self._calls[task] = (call, boot_time())
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._overtime.discard(task)
        if self._calls.pop(task, None) is not None:
            self.poke.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", self._name, exc_info=error)

    async def publish(self, call: Call) -> None:
        """Have the publisher take the messages of a call, and note what has become of each."""
        relay_id, started = self._relay_id, boot_time()
        messages = [waiting.message for waiting in call.messages]
        try:
            outcomes = await self._outcomes(messages)
        except Exception as error:  # noqa: BLE001 - whatever it is, the messages are not delivered
            if self._relay_id == relay_id:
                self._kept_back(call, error)
            return
        if self._relay_id != relay_id:  # lost, and another relay publishes these
            return
        self.outage.ended()
        if call.is_slow and boot_time() - started < self.settings.slow_after:
            self.queues.mark_fast(call.keys[0])
        self._note(call, outcomes)

    async def _outcomes(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        hooks = get_hook_registry()
        if not hooks.active:
            outcomes = await self._publisher.publish(messages)
        else:
            outcomes = await hooks.execute_all(
                "outbox.process_batch",
                {"messages": len(messages)},
                lambda: self._publisher.publish(messages),
            )
        if len(outcomes) != len(messages):
            raise ValueError(
                f"{type(self._publisher).__name__} returned {len(outcomes)} outcomes for "
                f"{len(messages)} messages; it must return one for each."
            )
        return outcomes

    def _note(self, call: Call, outcomes: Sequence[Exception | None]) -> None:
        if not any(outcomes) and not self._blocked:
            self._pending.delivered += [message.position for message in call.messages]
            self.queues.done(call)
            return
        failed: set[str] = set()
        for message, error in zip(call.messages, outcomes, strict=True):
            key = order_key_of(message.message)
            if error is None:
                self._delivered(message, key)
            elif key not in failed:
                failed.add(key)
                self._failed(message, key, error)
            else:
                self._pending.parked.append((message.position, key))
        for message in self.queues.done(call, failed):
            self._pending.parked.append((message.position, order_key_of(message.message)))

    def _delivered(self, message: WaitingMessage, key: str) -> None:
        self._pending.delivered.append(message.position)
        blocked = self._blocked.get(key)
        if blocked is not None and blocked.position == message.position:
            self._pending.healed.append(key)

    def _failed(self, message: WaitingMessage, key: str, error: Exception) -> None:
        known = self._blocked.get(key)
        tried = known.attempts if known is not None and known.position == message.position else 0
        retries = self.settings.retries
        retry_in = retries.delay(tried + 1) if tried + 1 < retries.max_attempts else None
        if retry_in is None:
            _log.error("%s is a dead letter: %r", message.message.message_id, error)
        else:
            self._retry_at = min(self._retry_at, boot_time() + retry_in)
        text = f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]
        place = (key, message.slot, message.position, tried + 1)
        self._pending.failed[key] = FailedKey(*place, retry_in, text)
        self._blocked[key] = BlockedKey(*place)

    def _kept_back(self, call: Call, error: Exception) -> None:
        """Take a call back that could not be made; see whether a single message is to blame."""
        self.last_error = error
        alone = call.messages[0].message.message_id if len(call.messages) == 1 else None
        if self.outage.began(error, alone):
            self._note(call, [error])
        else:
            self.queues.mark_slow(call)
            self.queues.give_back(call)

    # -- settling ------------------------------------------------------------------------------

    async def settle(self) -> int:
        """Write down what has become of messages; return how many were delivered.

        Raises:
            RelayLeaseLostError: the lease has run out; nothing was written.
        """
        if not self._pending or self._lease is None:
            return 0
        settlement, self._pending = self._pending, Settlement()
        try:
            await shielded(self._storage.settle(self._lease.relay_id, settlement))
        except BaseException:
            self._pending = _joined(settlement, self._pending)
            raise
        queues = self.queues
        queues.settled(settlement.delivered)
        queues.settled(position for position, _ in settlement.parked)
        queues.settled(failed.position for failed in settlement.failed.values())
        for key in settlement.healed:
            blocked = self._blocked.pop(key, None)
            self.floor.rewind((blocked.position or 0) if blocked is not None else 0)
            self._is_behind = True
        self.published += len(settlement.delivered)
        return len(settlement.delivered)

    def trouble(self, error: BaseException, pause: float) -> float:
        """Take note that the store cannot be reached; return how long to wait, in seconds."""
        if self.last_error is None or type(self.last_error) is not type(error):
            _log.warning("%s cannot reach its outbox and tries again", self._name, exc_info=error)
        self.last_error = error
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - a jitter, not a secret

    def status(self) -> dict[str, Any]:
        """Return how the relay stands, for health checks and people."""
        return {
            "name": self._name,
            "relay_id": self._relay_id,
            "slots": len(self._slots),
            "in_hand": self.in_hand,
            "blocked_keys": len(self._blocked),
            "published": self.published,
            "seconds_since_progress": boot_time() - self.last_progress,
            "last_error": repr(self.last_error) if self.last_error is not None else None,
        }


def _joined(first: Settlement, second: Settlement) -> Settlement:
    return Settlement(
        first.delivered + second.delivered,
        first.parked + second.parked,
        {**first.failed, **second.failed},
        first.healed + second.healed,
    )
