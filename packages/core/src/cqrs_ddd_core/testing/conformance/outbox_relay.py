"""What every outbox promises its relays, and the people who look after it."""
# ruff: noqa: D102, PLR2004 - test names are sentences; numbers of messages

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from cqrs_ddd_core.ports.outbox_operations import DeadLetterFilter, IOutboxOperations
from cqrs_ddd_core.ports.outbox_relay import (
    SLOTS,
    FailedKey,
    IOutboxRelayStorage,
    RelayLease,
    RelayLeaseLostError,
    Settlement,
    WaitingMessage,
    order_key_of,
    slot_of,
)
from cqrs_ddd_core.ports.outbox_storage import IOutboxStorage, OutboxMessage
from cqrs_ddd_core.testing.conformance.samples import PLACED_AT, Order, UowFactory
from cqrs_ddd_core.testing.until import until

_ALL = range(SLOTS)
_LONG = 600.0


_DAY = timedelta(days=1)
_EMPTY_CHOICES = [
    DeadLetterFilter(message_ids=[]),
    DeadLetterFilter(event_types=()),
    DeadLetterFilter(partition_keys=set[str]()),
    DeadLetterFilter(message_ids=[], error="Boom"),
]
_CHOICES: list[tuple[DeadLetterFilter, list[str]]] = [
    (DeadLetterFilter(), ["m-0", "m-1", "m-2", "m-3", "m-4", "m-5"]),
    (DeadLetterFilter(message_ids={"m-1", "m-9"}), ["m-1"]),
    (DeadLetterFilter(event_types=["Renamed"]), ["m-0", "m-2", "m-4"]),
    (DeadLetterFilter(event_types=["Renamed", "Moved"], error="it's odd"), ["m-1", "m-3", "m-5"]),
    (DeadLetterFilter(event_types=["Renamed"], partition_keys=["k-4", "k-5"]), ["m-4"]),
    (DeadLetterFilter(error="IT'S ODD"), []),
    (DeadLetterFilter(error="100%_"), []),
    (DeadLetterFilter(older_than=_DAY), []),
    (DeadLetterFilter(older_than=-_DAY, partition_keys=["k-0"]), ["m-0"]),
    (DeadLetterFilter(newer_than=_DAY, partition_keys=["k-0"]), ["m-0"]),
    (DeadLetterFilter(newer_than=-_DAY), []),
]


class FullOutbox(IOutboxStorage, IOutboxRelayStorage, IOutboxOperations, Protocol):
    """An outbox with everything that has a port."""


class OutboxRelayStorageConformance:
    """Subclass, provide the fixtures ``outbox`` and ``archiving_outbox``, done.

    Both are empty; the second one keeps what was delivered. ``uow_factory`` makes units of work on
    the same store (see ``UnitOfWorkConformance``).
    """

    async def test_it_implements_the_ports(self, outbox: FullOutbox) -> None:
        assert isinstance(outbox, IOutboxRelayStorage)
        assert isinstance(outbox, IOutboxOperations)

    # -- leases --------------------------------------------------------------------------------

    async def test_the_first_relay_gets_every_slot(self, outbox: FullOutbox) -> None:
        lease = await outbox.renew(None, "a", _LONG)
        assert (lease.slots, lease.relays) == (frozenset(_ALL), 1)
        assert await outbox.renew(lease.relay_id, "a", _LONG) == lease

    async def test_slots_given_up_go_to_the_relay_that_has_few(self, outbox: FullOutbox) -> None:
        first = await outbox.renew(None, "a", _LONG)
        second = await outbox.renew(None, "b", _LONG)
        assert (second.slots, second.relays) == (frozenset(), 2)
        await outbox.release(first.relay_id, range(40))
        second = await outbox.renew(second.relay_id, "b", _LONG)
        assert len(second.slots) == SLOTS // 2
        assert second.slots < set(range(40))
        first = await outbox.renew(first.relay_id, "a", _LONG)
        assert first.slots == set(_ALL) - second.slots

    async def test_no_slot_has_two_relays_and_none_is_left_over(self, outbox: FullOutbox) -> None:
        leases: list[RelayLease] = []
        for name in "abc":
            leases.append(await outbox.renew(None, name, _LONG))  # noqa: PERF401
        await outbox.release(leases[0].relay_id, range(22, SLOTS))
        leases = [await outbox.renew(lease.relay_id, "again", _LONG) for lease in leases]
        held = [slot for lease in leases for slot in lease.slots]
        assert sorted(held) == list(_ALL)
        assert max(len(lease.slots) for lease in leases) <= 22

    async def test_a_slot_of_another_cannot_be_given_up(self, outbox: FullOutbox) -> None:
        first = await outbox.renew(None, "a", _LONG)
        second = await outbox.renew(None, "b", _LONG)
        await outbox.release(second.relay_id, _ALL)
        assert (await outbox.renew(second.relay_id, "b", _LONG)).slots == frozenset()
        assert (await outbox.renew(first.relay_id, "a", _LONG)).slots == frozenset(_ALL)

    async def test_who_leaves_frees_slots_at_once(self, outbox: FullOutbox) -> None:
        first = await outbox.renew(None, "a", _LONG)
        await outbox.leave(first.relay_id)
        second = await outbox.renew(None, "b", _LONG)
        assert (second.slots, second.relays) == (frozenset(_ALL), 1)
        assert second.relay_id > first.relay_id

    async def test_a_lease_that_ran_out_frees_slots_and_its_id_never_comes_back(
        self, outbox: FullOutbox
    ) -> None:
        first = await outbox.renew(None, "a", 0.0)
        second = await outbox.renew(None, "b", _LONG)
        assert second.slots == frozenset(_ALL)
        again = await outbox.renew(first.relay_id, "a", _LONG)
        assert again.slots == frozenset()
        assert first.relay_id < second.relay_id < again.relay_id

    # -- reading -------------------------------------------------------------------------------

    async def test_messages_come_in_the_order_they_were_saved_with_everything_they_hold(
        self, outbox: FullOutbox
    ) -> None:
        messages = [_message(f"m-{n}", key=f"k-{n % 3}", payload=bytes([n])) for n in range(20)]
        await outbox.save_messages(messages[:7])
        await outbox.save_messages(messages[7:])
        batch = await _read(outbox)
        assert [waiting.message for waiting in batch] == messages
        assert [w.position for w in batch] == sorted({w.position for w in batch})
        assert all(w.slot == slot_of(order_key_of(w.message)) for w in batch)

    async def test_only_the_slots_asked_for_are_read(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message(f"m-{n}", key=f"k-{n}") for n in range(50)])
        low = await _read(outbox, slots=range(20))
        high = await _read(outbox, slots=range(20, SLOTS))
        assert {w.slot for w in low} <= set(range(20))
        assert len(low) + len(high) == 50
        assert low
        assert high

    async def test_messages_without_a_key_are_spread_by_their_id(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message(f"m-{n}") for n in range(50)])
        slots = {w.slot for w in await _read(outbox)}
        assert len(slots) > 10

    async def test_a_read_goes_on_behind_a_position_and_brings_at_most_limit(
        self, outbox: FullOutbox
    ) -> None:
        await outbox.save_messages([_message(f"m-{n}") for n in range(5)])
        first = await _read(outbox, limit=2)
        rest = await _read(outbox, after=first[-1].position)
        assert _ids(first) == ["m-0", "m-1"]
        assert _ids(rest) == ["m-2", "m-3", "m-4"]

    async def test_a_read_passes_over_keys_it_is_to_be_without(self, outbox: FullOutbox) -> None:
        messages = [_message("m-1", key="a"), _message("m-2", key="b"), _message("m-3")]
        await outbox.save_messages(messages)
        batch = await outbox.read(_ALL, 0, 100, without=["a", "c"])
        assert _ids(batch.messages) == ["m-2", "m-3"]

    async def test_what_is_not_committed_is_not_read(
        self, outbox: FullOutbox, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await outbox.save_messages([_message("undone")], uow)
            await uow.rollback()
            await outbox.save_messages([_message("done")], uow)
        assert _ids(await _read(outbox)) == ["done"]

    async def test_positions_are_never_given_twice(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message("m-1")])
        [first] = await _read(outbox)
        await _settle(outbox, delivered=[first.position])
        await outbox.save_messages([_message("m-1")])
        [second] = await _read(outbox)
        assert second.position > first.position

    async def test_a_floor_never_hides_what_a_read_has_not_brought(
        self, outbox: FullOutbox
    ) -> None:
        await outbox.save_messages([_message("m-1")])
        batch = await outbox.read(_ALL, 0, 100)
        assert batch.oldest_transaction <= batch.next_transaction
        later = await outbox.read(_ALL, 0, 100)
        assert later.oldest_transaction >= batch.oldest_transaction

    # -- settling ------------------------------------------------------------------------------

    async def test_what_was_delivered_is_gone(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message("m-1"), _message("m-2"), _message("m-3")])
        first, _, third = await _read(outbox)
        await _settle(outbox, delivered=[first.position, third.position])
        assert _ids(await _read(outbox)) == ["m-2"]
        assert [m.message_id for m in await outbox.get_pending()] == ["m-2"]

    async def test_settling_twice_is_no_harm(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message(f"m-{n}", key="k") for n in range(3)])
        lease = await outbox.renew(None, "a", _LONG)
        gone, head, behind = await _read(outbox)
        settlement = Settlement(
            [gone.position], [(behind.position, "k")], {"k": _failed(head, "k")}
        )
        await outbox.settle(lease.relay_id, settlement)
        await outbox.settle(lease.relay_id, settlement)
        assert await _read(outbox) == []
        assert (await outbox.statistics()).waiting == 2
        healed = Settlement(delivered=[head.position], healed=["k"])
        await outbox.settle(lease.relay_id, healed)
        await outbox.settle(lease.relay_id, healed)
        assert _ids(await _read(outbox)) == ["m-2"]

    async def test_a_relay_whose_lease_ran_out_settles_nothing(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message("m-1"), _message("m-2", key="k")])
        first, second = await _read(outbox)
        lease = await outbox.renew(None, "a", 0.0)
        for settlement in (
            Settlement(delivered=[first.position]),
            Settlement([first.position], failed={"k": _failed(second, "k")}),
        ):
            with pytest.raises(RelayLeaseLostError) as caught:
                await outbox.settle(lease.relay_id, settlement)
            assert caught.value.relay_id == lease.relay_id
        assert _ids(await _read(outbox)) == ["m-1", "m-2"]
        assert await outbox.blocked(_ALL) == []

    async def test_a_relay_that_left_settles_nothing(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message("m-1")])
        lease = await outbox.renew(None, "a", _LONG)
        [waiting] = await _read(outbox)
        await outbox.leave(lease.relay_id)
        with pytest.raises(RelayLeaseLostError):
            await outbox.settle(lease.relay_id, Settlement(delivered=[waiting.position]))
        assert _ids(await _read(outbox)) == ["m-1"]

    async def test_a_failed_message_and_what_waits_behind_it_are_not_read(
        self, outbox: FullOutbox
    ) -> None:
        await outbox.save_messages(
            [_message(f"m-{n}", key="bad" if n % 2 else "good") for n in range(6)]
        )
        batch = await _read(outbox)
        head, *behind = [w for w in batch if w.message.partition_key == "bad"]
        await _settle(
            outbox,
            parked=[(w.position, "bad") for w in behind],
            failed=[_failed(head, "bad", attempts=2)],
        )
        assert _ids(await _read(outbox)) == ["m-0", "m-2", "m-4"]
        [blocked] = await outbox.blocked(_ALL)
        assert blocked == ("bad", head.slot, head.position, 2)
        assert await outbox.blocked([slot for slot in _ALL if slot != head.slot]) == []

    async def test_a_failed_message_is_due_when_its_time_has_come(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message("m-1", key="now"), _message("m-2", key="later")])
        now, later = await _read(outbox)
        await _settle(
            outbox,
            failed=[_failed(now, "now", retry_in=0.0), _failed(later, "later", retry_in=_LONG)],
        )
        due = await outbox.due(_ALL, 10)
        [entry] = due.keys
        assert entry.message == now
        assert (entry.blocked.key, entry.blocked.position) == ("now", now.position)
        assert due.next_in is not None
        assert _LONG - 60 < due.next_in <= _LONG
        assert (await outbox.due([later.slot], 10)).keys == []

    async def test_the_longest_due_come_first_and_at_most_limit(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message(f"m-{n}", key=f"k-{n}") for n in range(3)])
        for waiting, retry_in in zip(await _read(outbox), (-1.0, -3.0, -2.0), strict=True):
            key = waiting.message.partition_key
            await _settle(outbox, failed=[_failed(waiting, key, retry_in=retry_in)])
        due = await outbox.due(_ALL, 2)
        assert [entry.blocked.key for entry in due.keys] == ["k-1", "k-2"]
        assert due.next_in is None

    async def test_what_waited_behind_a_healed_key_comes_in_order(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message(f"m-{n}", key="k") for n in range(4)])
        head, *behind = await _read(outbox)
        await _settle(
            outbox,
            parked=[(w.position, "k") for w in reversed(behind)],
            failed=[_failed(head, "k", retry_in=0.0)],
        )
        await outbox.save_messages([_message("m-4", key="k")])
        await _settle(outbox, delivered=[head.position], healed=["k"])
        assert _ids(await _read(outbox)) == ["m-1", "m-2", "m-3", "m-4"]
        assert await outbox.blocked(_ALL) == []
        assert (await outbox.due(_ALL, 10)).keys == []

    async def test_parked_and_healed_at_once_is_healed(self, outbox: FullOutbox) -> None:
        await outbox.save_messages([_message("m-0", key="k"), _message("m-1", key="k")])
        head, behind = await _read(outbox)
        await _settle(outbox, failed=[_failed(head, "k", retry_in=0.0)])
        await _settle(
            outbox, delivered=[head.position], parked=[(behind.position, "k")], healed=["k"]
        )
        assert _ids(await _read(outbox)) == ["m-1"]

    async def test_keys_of_any_length_and_script_can_fail(self, outbox: FullOutbox) -> None:
        keys = ["k" * 2000, "k" * 2001, "ключ/😀", "K", "k", "k ", "'; --"]
        await outbox.save_messages([_message(f"m-{n}", key=key) for n, key in enumerate(keys)])
        batch = await _read(outbox)
        failed = [_failed(w, w.message.partition_key, retry_in=0.0) for w in batch]
        await _settle(outbox, failed=failed)
        assert sorted(entry.key for entry in await outbox.blocked(_ALL)) == sorted(keys)
        for waiting in batch:
            key = waiting.message.partition_key
            await _settle(outbox, delivered=[waiting.position], healed=[key])
        assert await outbox.blocked(_ALL) == []
        assert (await outbox.statistics()).waiting == 0

    # -- people --------------------------------------------------------------------------------

    async def test_an_empty_outbox_has_statistics(self, outbox: FullOutbox) -> None:
        statistics = await outbox.statistics()
        assert (statistics.waiting, statistics.parked, statistics.dead_letters) == (0, 0, 0)
        assert (statistics.oldest_age, statistics.relays) == (None, 0)

    async def test_statistics_tell_waiting_parked_retried_and_dead(
        self, outbox: FullOutbox
    ) -> None:
        await _with_dead_letter(outbox)
        await outbox.save_messages([_message("retried", key="r"), _message("fresh", key="f")])
        retried = next(w for w in await _read(outbox) if w.message.message_id == "retried")
        await _settle(outbox, failed=[_failed(retried, "r", retry_in=_LONG)])
        statistics = await outbox.statistics()
        assert statistics.waiting == 5
        assert (statistics.parked, statistics.retrying, statistics.dead_letters) == (2, 1, 1)
        assert statistics.oldest_age is not None
        assert 0 <= statistics.oldest_age < 3600
        assert statistics.relays == 0

    async def test_a_dead_letter_is_listed_with_all_that_is_known(self, outbox: FullOutbox) -> None:
        await _with_dead_letter(outbox)
        [letter] = await outbox.dead_letters()
        assert letter.message == _message("m-0", key="k")
        assert (letter.error, letter.attempts, letter.parked_behind) == ("Boom: it broke", 6, 2)
        assert letter.failed_at.tzinfo is not None
        assert await outbox.dead_letters(0) == []
        due = await outbox.due(_ALL, 10)
        assert (due.keys, due.next_in) == ([], None)

    async def test_a_message_that_is_tried_again_is_listed_with_all_that_is_known(
        self, outbox: FullOutbox
    ) -> None:
        await _with_dead_letter(outbox)
        await outbox.save_messages([_message(f"r-{n}", key=f"r{n}") for n in range(3)])
        for waiting in await _read(outbox):
            key = waiting.message.partition_key
            soon = _LONG * (1 if key == "r1" else 2)
            if key != "r2":
                await _settle(outbox, failed=[_failed(waiting, key, attempts=3, retry_in=soon)])
        first, second = await outbox.retrying()
        assert (first.message, second.message) == (
            _message("r-1", key="r1"),
            _message("r-0", key="r0"),
        )
        assert (first.error, first.attempts, first.parked_behind) == ("Boom: it broke", 3, 0)
        assert first.failed_at.tzinfo is not None
        assert 0 < first.retry_in <= _LONG < second.retry_in <= 2 * _LONG
        assert [each.message for each in await outbox.retrying(1)] == [first.message]

    async def test_a_redriven_letter_is_due_as_if_it_had_never_failed(
        self, outbox: FullOutbox
    ) -> None:
        await _with_dead_letter(outbox)
        assert await outbox.redrive(DeadLetterFilter(message_ids=["unknown", "m-1"])) == 0
        assert await outbox.redrive(DeadLetterFilter(message_ids=["m-0"])) == 1
        assert await outbox.dead_letters() == []
        [entry] = (await outbox.due(_ALL, 10)).keys
        assert entry.message is not None
        assert (entry.message.message.message_id, entry.blocked.attempts) == ("m-0", 0)
        assert await outbox.redrive() == 0

    async def test_all_letters_can_be_redriven_at_once(self, outbox: FullOutbox) -> None:
        for key in ("k", "l", "m"):
            await _with_dead_letter(outbox, key)
        assert await outbox.redrive() == 3
        assert len((await outbox.due(_ALL, 10)).keys) == 3

    async def test_an_empty_choice_of_letters_is_none_not_all(self, outbox: FullOutbox) -> None:
        await _with_dead_letter(outbox)
        for nothing in _EMPTY_CHOICES:
            assert await outbox.dead_letters(matching=nothing) == []
            assert await outbox.count_dead_letters(nothing) == 0
            assert await outbox.redrive(nothing) == await outbox.discard(nothing) == 0
        assert await outbox.count_dead_letters() == 1

    async def test_letters_are_chosen_by_type_key_age_and_error(self, outbox: FullOutbox) -> None:
        await _with_dead_letters(outbox, 6)
        for wanted, ids in _CHOICES:
            letters = await outbox.dead_letters(matching=wanted)
            assert [letter.message.message_id for letter in letters] == ids, wanted
            assert await outbox.count_dead_letters(wanted) == len(ids)

    async def test_only_letters_that_are_chosen_are_redriven_or_discarded(
        self, outbox: FullOutbox
    ) -> None:
        await _with_dead_letters(outbox, 6)
        assert await outbox.redrive(DeadLetterFilter(error="odd")) == 3
        assert [each.blocked.key for each in (await outbox.due(_ALL, 10)).keys] != []
        assert await outbox.redrive(DeadLetterFilter(error="odd")) == 0
        chosen = DeadLetterFilter(error="even", partition_keys=["k-2", "k-3"])
        assert await outbox.discard(chosen) == 1
        left = await outbox.dead_letters()
        assert [letter.message.message_id for letter in left] == ["m-0", "m-4"]
        assert (await outbox.statistics()).waiting == 5

    async def test_pages_of_letters_bring_each_once_while_others_are_redriven(
        self, outbox: FullOutbox
    ) -> None:
        await _with_dead_letters(outbox, 10)
        first = await outbox.dead_letters(4)
        await outbox.redrive(DeadLetterFilter(message_ids=["m-3", "m-5"]))
        second = await outbox.dead_letters(4, after=first[-1].position)
        third = await outbox.dead_letters(4, after=second[-1].position)
        ids = [letter.message.message_id for letter in (*first, *second, *third)]
        assert ids == [f"m-{n}" for n in range(10) if n != 5]
        assert await outbox.dead_letters(4, after=third[-1].position) == []

    async def test_more_letters_than_a_statement_takes_are_redriven_and_discarded(
        self, outbox: FullOutbox
    ) -> None:
        await _with_dead_letters(outbox, 1200)
        assert await outbox.redrive(DeadLetterFilter(error="odd")) == 600
        assert await outbox.discard(DeadLetterFilter(older_than=-_DAY)) == 600
        assert await outbox.count_dead_letters() == 0
        statistics = await outbox.statistics()
        assert (statistics.waiting, statistics.retrying) == (600, 1200)

    async def test_a_discarded_letter_is_gone_and_its_key_goes_on(self, outbox: FullOutbox) -> None:
        await _with_dead_letter(outbox)
        assert await outbox.discard(DeadLetterFilter(message_ids=["m-1", "unknown"])) == 0
        assert await outbox.discard(DeadLetterFilter(message_ids=["m-0"])) == 1
        [entry] = (await outbox.due(_ALL, 10)).keys
        assert (entry.blocked.key, entry.message) == ("k", None)
        await _settle(outbox, healed=["k"])
        assert _ids(await _read(outbox)) == ["m-1", "m-2"]

    async def test_what_was_delivered_is_kept_on_request_until_it_is_purged(
        self, archiving_outbox: FullOutbox
    ) -> None:
        outbox = archiving_outbox
        await outbox.save_messages([_message(f"m-{n}") for n in range(3)])
        batch = await _read(outbox)
        await _settle(outbox, delivered=[w.position for w in batch])
        await _settle(outbox, delivered=[w.position for w in batch])
        assert (await outbox.statistics()).archived == 3
        assert await outbox.purge(timedelta(days=1)) == 0
        assert await until(lambda: outbox.purge(timedelta(0), limit=2), timeout=30) == 2
        assert await outbox.purge(timedelta(0)) == 1
        assert (await outbox.statistics()).archived == 0


def _message(message_id: str, *, key: str = "", payload: bytes = b"{}") -> OutboxMessage:
    return OutboxMessage(
        message_id=message_id,
        event_type="Renamed",
        payload=payload,
        occurred_at=PLACED_AT,
        partition_key=key,
    )


def _ids(batch: Sequence[WaitingMessage]) -> list[str]:
    return [waiting.message.message_id for waiting in batch]


def _failed(
    waiting: WaitingMessage, key: str, *, attempts: int = 1, retry_in: float | None = _LONG
) -> FailedKey:
    return FailedKey(key, waiting.slot, waiting.position, attempts, retry_in, "Boom: it broke")


async def _read(
    outbox: FullOutbox, *, slots: Sequence[int] = _ALL, after: int = 0, limit: int = 100
) -> list[WaitingMessage]:
    return list((await outbox.read(slots, after, limit)).messages)


async def _settle(
    outbox: FullOutbox,
    *,
    delivered: Sequence[int] = (),
    parked: Sequence[tuple[int, str]] = (),
    failed: Sequence[FailedKey] = (),
    healed: Sequence[str] = (),
) -> None:
    """Settle as a relay that comes and goes."""
    lease = await outbox.renew(None, "settler", _LONG)
    by_key = {entry.key: entry for entry in failed}
    settlement = Settlement(list(delivered), list(parked), by_key, list(healed))
    await outbox.settle(lease.relay_id, settlement)
    await outbox.leave(lease.relay_id)


async def _with_dead_letter(outbox: FullOutbox, key: str = "k") -> None:
    """Leave a dead letter and two messages parked behind it."""
    prefix = "m" if key == "k" else f"{key}-m"
    await outbox.save_messages([_message(f"{prefix}-{n}", key=key) for n in range(3)])
    head, *behind = await _read(outbox)
    await _settle(
        outbox,
        parked=[(w.position, key) for w in behind],
        failed=[_failed(head, key, attempts=6, retry_in=None)],
    )


async def _with_dead_letters(outbox: FullOutbox, count: int) -> None:
    """Leave dead letters ``m-0``, ``m-1``... of keys of their own, by turns of two kinds."""
    kinds = [("Renamed", "Boom: it's even"), ("Moved", "Boom: it's odd")]
    messages = [
        replace(_message(f"m-{n}", key=f"k-{n}"), event_type=kinds[n % 2][0]) for n in range(count)
    ]
    await outbox.save_messages(messages)
    failed = [
        FailedKey(w.message.partition_key, w.slot, w.position, 6, None, kinds[n % 2][1])
        for n, w in enumerate(await _read(outbox, limit=count))
    ]
    await _settle(outbox, failed=failed)
