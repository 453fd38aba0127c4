"""Events that come twice, late and in any order, and commands that fail: what always holds.

The machine keeps a list of messages that wait, delivers any of them at any time and any number of
times, and lets any command fail in any way. It knows what each effect allows.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cqrs_ddd_advanced_core.sagas import SAGA_COMMAND, SagaAction, SagaState, SagaStatus
from cqrs_ddd_core import DomainEvent, OutboxMessage, use_clock
from cqrs_ddd_core.testing import ManualClock
from tests.sagas.orders import (
    CardDeclinedError,
    ItemsReserved,
    OrderCreated,
    PaymentCharged,
    fulfilment,
)
from tests.sagas.world import World, memory_store, open_world

FORWARD = ["ReserveItems", "ChargePayment", "ConfirmOrder"]
UNDOES = {"RefundPayment": "ChargePayment", "CancelReservation": "ReserveItems"}
EVENTS: list[type[DomainEvent]] = [OrderCreated, ItemsReserved, PaymentCharged]
BACK = {SagaStatus.COMPENSATING, SagaStatus.COMPENSATED, SagaStatus.COMPENSATION_FAILED}
FAILURES = st.sampled_from([*[None] * 8, OSError("away"), CardDeclinedError("no")])
SELDOM = st.integers(0, 9).map(lambda number: number == 9)


class Sagas(RuleBasedStateMachine):
    """One order and its saga."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        definition = fulfilment(max_retries=1, base_delay=1.0, max_delay=1.0)
        definition.correlate_by("order_id")
        self.world: World = self.wait(open_world(memory_store(), definition.build()))
        self.events: list[DomainEvent] = []
        self.commands: dict[str, OutboxMessage] = {}
        self.has_turned_back = False
        self.done_at_the_turn: list[str] = []

    def wait(self, work: Any) -> Any:
        with use_clock(self.clock):
            return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.loop.close()

    # -- what may happen ------------------------------------------------------------------------

    @rule(number=st.integers(0, 2))
    def a_new_event(self, number: int) -> None:
        event = EVENTS[number].model_validate({"order_id": "o-1"})
        self.events.append(event)
        self.wait(self.world.manager.handle(event))

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def an_event_again(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.events))
        before = self.sagas()
        is_known = bool(before) and event.event_id in self.handled(before[0].saga_id)
        self.wait(self.world.manager.handle(event))
        if is_known:
            assert [each.version for each in self.sagas()] == [before[0].version]

    @precondition(lambda self: self.commands)
    @rule(data=st.data(), failure=FAILURES)
    def a_command_in_any_order_and_number(
        self, data: st.DataObject, failure: Exception | None
    ) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.commands)))
        message = self.commands[message_id]
        name = message.headers["command-type"]
        self.world.failures.planned[name] = [failure] if failure is not None else []
        assert self.wait(self.world.publisher.publish([message])) == [None]
        self.world.failures.planned.clear()

    @rule(seconds=st.integers(0, 3))
    def time_goes_on(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.wait(self.world.worker.run_once())

    @precondition(lambda self: self.sagas())
    @rule(is_wanted=SELDOM)
    def a_person_has_it_undone(self, is_wanted: bool) -> None:
        (saga,) = self.sagas()
        if is_wanted and saga.status in {SagaStatus.RUNNING, SagaStatus.COMPENSATION_FAILED}:
            self.wait(self.world.manager.compensate(saga.saga_id))

    # -- what always holds ----------------------------------------------------------------------

    @invariant()
    def messages_are_the_sagas_own_and_never_change(self) -> None:
        for message in self.wait(self.world.store.outbox.get_pending(1000)):
            if message.event_type == SAGA_COMMAND:
                known = self.commands.setdefault(message.message_id, message)
                assert known.payload == message.payload

    @invariant()
    def no_effect_is_twice_and_none_is_out_of_order(self) -> None:
        done = self.done()
        assert max(Counter(done).values(), default=1) == 1
        compensations = [name for name in done if name in UNDOES]
        assert compensations == [name for name in UNDOES if name in compensations]

    @invariant()
    def nothing_goes_forward_once_it_goes_back(self) -> None:
        statuses = [saga.status for saga in self.sagas()]
        if self.has_turned_back:
            assert set(statuses) <= BACK
            forward = [name for name in self.done() if name in FORWARD]
            assert forward == self.done_at_the_turn
        elif set(statuses) & BACK:
            self.has_turned_back = True
            self.done_at_the_turn = [name for name in self.done() if name in FORWARD]

    @invariant()
    def the_end_is_reached_with_everything_done_or_everything_undone(self) -> None:
        for saga in self.sagas():
            done = self.done()
            if saga.status is SagaStatus.COMPLETED:
                assert sorted(done) == sorted(FORWARD)
                assert not saga.commands
            if saga.status is SagaStatus.COMPENSATED:
                assert all(undo in done for undo, name in UNDOES.items() if name in done)
                assert not saga.compensations

    @invariant()
    def there_is_one_saga_at_most(self) -> None:
        assert len(self.sagas()) <= 1
        started = any(isinstance(event, OrderCreated) for event in self.events)
        assert bool(self.sagas()) is started

    # -- what is looked at ----------------------------------------------------------------------

    def sagas(self) -> list[SagaState]:
        return self.wait(self.world.sagas())

    def done(self) -> list[str]:
        return self.wait(self.world.done("o-1"))

    def handled(self, saga_id: str) -> set[str | None]:
        history = self.wait(self.world.store.sagas.history(saga_id))
        return {entry.message_id for entry in history if entry.action is SagaAction.EVENT}


class TestSagas(Sagas.TestCase):
    settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
