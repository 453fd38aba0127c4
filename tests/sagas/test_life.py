"""The life of an event-driven saga, from its first event to its end."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from cqrs_ddd_advanced_core.sagas import (
    Saga,
    SagaBuilder,
    SagaStatus,
    on_event,
)
from cqrs_ddd_core import use_clock
from cqrs_ddd_core.testing import ManualClock
from tests.sagas.orders import (
    CancelReservation,
    CardDeclinedError,
    ChargePayment,
    ConfirmOrder,
    ItemsReserved,
    OrderConfirmed,
    OrderCreated,
    PaymentCharged,
    RefundPayment,
    ReserveItems,
    WithdrawOrder,
    fulfilment,
    fulfilment_saga,
)
from tests.sagas.world import Store, World, memory_store, open_world

ALL_DONE = ["CreateOrder", "ReserveItems", "ChargePayment", "ConfirmOrder"]


@pytest.fixture
def store() -> Store:
    return memory_store()


@pytest.fixture
async def world(store: Store) -> World:
    return await open_world(store, fulfilment_saga())


class TestASaga:
    async def test_goes_from_its_first_event_to_its_end(self, world: World) -> None:
        correlation_id = await world.create("o-1")
        await world.run()
        assert await world.done("o-1") == ALL_DONE
        saga = await world.saga()
        assert saga.status is SagaStatus.COMPLETED
        assert list(saga.steps) == ["reserving", "charging", "confirming"]
        assert (saga.key, saga.correlation_id) == (correlation_id, correlation_id)
        assert saga.finished_at is not None

    async def test_undoes_what_was_done_in_reverse_order_when_a_command_is_refused(
        self, world: World
    ) -> None:
        world.failures.planned["ConfirmOrder"] = [CardDeclinedError("no")]
        await world.create("o-1")
        await world.run()
        done = await world.done("o-1")
        assert done == [*ALL_DONE[:-1], "RefundPayment", "CancelReservation"]
        saga = await world.saga()
        assert saga.status is SagaStatus.COMPENSATED
        assert "CardDeclinedError" in (saga.error or "")

    async def test_is_complete_when_its_last_command_is_done_and_not_before(
        self, world: World
    ) -> None:
        await world.create("o-1")
        events = [OrderCreated, ItemsReserved, PaymentCharged]
        saga = await world.saga() if await world.sagas() else None
        assert saga is None  # nothing has been delivered yet
        correlation_id = (await world.store.outbox.get_pending())[0].correlation_id
        for event_type in events:
            await world.manager.handle(event_type(order_id="o-1", correlation_id=correlation_id))
        saga = await world.saga()
        assert (saga.status, saga.is_completing) == (SagaStatus.RUNNING, True)
        await world.run()
        saga = await world.saga()
        assert (saga.status, saga.commands) == (SagaStatus.COMPLETED, [])

    async def test_never_shares_a_command_with_another(self, world: World) -> None:
        for number in range(3):
            await world.create(f"o-{number}")
        await world.run()
        for number in range(3):
            assert await world.done(f"o-{number}") == ALL_DONE
        assert {
            name: len(ids) for name, ids in world.failures.command_ids.items()
        } == dict.fromkeys(ALL_DONE, 3)

    async def test_two_orders_in_one_task_give_two_sagas(self, world: World) -> None:
        first, second = await world.create("o-1"), await world.create("o-2")
        await world.run()
        assert {saga.key for saga in await world.sagas()} == {first, second}
        assert await world.done("o-1") == await world.done("o-2") == ALL_DONE

    async def test_several_types_follow_one_correlation_id(self, store: Store) -> None:
        withdrawing = (
            SagaBuilder("Withdrawing")
            .on(OrderCreated, send=lambda e: WithdrawOrder(order_id=e.order_id), complete=True)
            .build()
        )
        world = await open_world(store, fulfilment_saga(), withdrawing)
        correlation_id = await world.create("o-1")
        await world.run()
        assert [(saga.key, saga.status) for saga in await world.sagas()] == [
            (correlation_id, SagaStatus.COMPLETED)
        ] * 2
        assert sorted(await world.done("o-1")) == sorted([*ALL_DONE, "WithdrawOrder"])

    async def test_is_found_by_what_it_is_correlated_by(self, store: Store) -> None:
        world = await open_world(store, fulfilment().correlate_by("order_id").build())
        for order_id in ("o-1", "o-2"):
            event = OrderCreated(order_id=order_id, correlation_id="one request")
            await world.manager.handle(event)
        await world.run()
        found = [(saga.key, saga.correlation_id) for saga in await world.sagas()]
        assert sorted(found) == [("o-1", "one request"), ("o-2", "one request")]
        assert (await world.manager.find_saga("OrderFulfillment", "o-2")).key == "o-2"

    async def test_a_function_of_one_event_alone_may_say_which_saga_it_belongs_to(
        self, store: Store
    ) -> None:
        saga = (
            SagaBuilder("Odd")
            .correlate_by("order_id")
            .on(OrderCreated, step="begun")
            .on(ItemsReserved, complete=True, correlate=lambda e: e.order_id.removeprefix("i-"))
            .build()
        )
        world = await open_world(store, saga)
        await world.manager.handle(OrderCreated(order_id="1"))
        await world.manager.handle(ItemsReserved(order_id="i-1"))
        assert (await world.saga("Odd")).status is SagaStatus.COMPLETED


class TestWhatABuilderCanSay:
    async def test_several_commands_of_an_event_with_the_state_in_view(self, store: Store) -> None:
        class Orders(BaseModel):
            charged: int = 0

        def remember(saga: Saga[Orders], event: OrderCreated) -> None:
            saga.state.charged += event.total

        saga = (
            SagaBuilder("Several")
            .with_state_class(Orders)
            .on(
                OrderCreated,
                remember,
                send_all=lambda e, state: [
                    ReserveItems(order_id=e.order_id),
                    ChargePayment(order_id=e.order_id, amount=state.charged),
                ],
                step="both",
            )
            .on(PaymentCharged, send=lambda _: None, complete=True)
            .build()
        )
        world = await open_world(store, saga)
        await world.create("o-1")
        await world.run()
        assert await world.done("o-1") == ["CreateOrder", "ReserveItems", "ChargePayment"]
        found = await world.saga("Several")
        assert (found.state.charged, found.status) == (10, SagaStatus.COMPLETED)

    async def test_a_failure_with_and_without_undoing(self, store: Store) -> None:
        def failing(name: str, *, compensate: bool) -> SagaBuilder:
            return (
                SagaBuilder(name)
                .correlate_by("order_id")
                .on(
                    OrderCreated,
                    send=lambda e: ReserveItems(order_id=e.order_id),
                    step="reserving",
                    compensate=lambda e: CancelReservation(order_id=e.order_id),
                )
                .on(ItemsReserved, fail="out of stock", compensate_on_fail=compensate)
            )

        world = await open_world(
            store,
            failing("Undone", compensate=True).build(),
            failing("Left", compensate=False).build(),
        )
        await world.manager.handle(OrderCreated(order_id="o-1"))
        await world.run()
        undone, left = await world.saga("Undone"), await world.saga("Left")
        assert (undone.status, undone.error) == (SagaStatus.COMPENSATED, "out of stock")
        assert (left.status, left.error) == (SagaStatus.FAILED, "out of stock")
        assert (await world.done("o-1")).count("CancelReservation") == 1
        assert [each.name for each in left.compensations] == ["CancelReservation"]

    async def test_a_suspended_saga_keeps_events_until_one_resumes_it(self, store: Store) -> None:
        saga = (
            SagaBuilder("Waiting")
            .correlate_by("order_id")
            .on(OrderCreated, step="checking", suspend="a person looks at the order")
            .on(OrderConfirmed, resume=True)
            .on(
                ItemsReserved,
                send=lambda e: ChargePayment(order_id=e.order_id),
                step="charging",
                complete=True,
            )
            .build()
        )
        world = await open_world(store, saga)
        await world.manager.handle(OrderCreated(order_id="o-1"))
        await world.manager.handle(ItemsReserved(order_id="o-1"))
        await world.run()
        found = await world.saga("Waiting")
        assert (found.status, found.waits_for) == (
            SagaStatus.SUSPENDED,
            "a person looks at the order",
        )
        assert found.kept_events == ["ItemsReserved"]
        assert await world.done("o-1") == []
        await world.manager.handle(OrderConfirmed(order_id="o-1"))
        await world.run()
        assert (await world.saga("Waiting")).status is SagaStatus.COMPLETED
        assert await world.done("o-1") == ["ChargePayment"]


class TestTimeouts:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(datetime(2026, 1, 1, tzinfo=UTC))

    async def test_a_step_that_lasts_too_long_undoes_the_saga(
        self, store: Store, clock: ManualClock
    ) -> None:
        saga = (
            SagaBuilder("Slow")
            .correlate_by("order_id")
            .on(
                OrderCreated,
                send=lambda e: ReserveItems(order_id=e.order_id),
                step="reserving",
                timeout=timedelta(minutes=5),
                compensate=lambda e: CancelReservation(order_id=e.order_id),
            )
            .on(PaymentCharged, step="charged", complete=True)
            .build()
        )
        with use_clock(clock):
            world = await open_world(store, saga)
            await world.manager.handle(OrderCreated(order_id="o-1"))
            await world.run()
            clock.advance(299)
            assert await world.worker.run_once() == 0
            clock.advance(1)
            await world.run()
            found = await world.saga("Slow")
        assert (found.status, found.error) == (
            SagaStatus.COMPENSATED,
            "reserving has lasted too long.",
        )
        assert await world.done("o-1") == ["ReserveItems", "CancelReservation"]

    async def test_the_next_step_ends_the_time_of_the_one_before(
        self, store: Store, clock: ManualClock
    ) -> None:
        saga = (
            SagaBuilder("Quick")
            .correlate_by("order_id")
            .on(OrderCreated, step="reserving", timeout=60)
            .on(ItemsReserved, step="charging")
            .build()
        )
        with use_clock(clock):
            world = await open_world(store, saga)
            await world.manager.handle(OrderCreated(order_id="o-1"))
            await world.manager.handle(ItemsReserved(order_id="o-1"))
            clock.advance(3600)
            assert await world.worker.run_once() == 0
            assert (await world.saga("Quick")).status is SagaStatus.RUNNING

    async def test_a_suspension_that_lasts_too_long_is_decided_by_the_saga(
        self, store: Store, clock: ManualClock
    ) -> None:
        def give_up_politely(saga: Saga[None]) -> None:
            saga.dispatch(WithdrawOrder(order_id="o-1"))
            saga.complete()

        saga = (
            SagaBuilder("Patient")
            .correlate_by("order_id")
            .on(OrderCreated, suspend=True, suspend_timeout=60)
            .on(OrderConfirmed, resume=True)
            .on_timeout(give_up_politely)
            .build()
        )
        with use_clock(clock):
            world = await open_world(store, saga)
            await world.manager.handle(OrderCreated(order_id="o-1"))
            clock.advance(60)
            await world.run()
            assert (await world.saga("Patient")).status is SagaStatus.COMPLETED
        assert await world.done("o-1") == ["WithdrawOrder"]


class Progress(BaseModel):
    parcels: int = 0


class Parcels(Saga[Progress]):
    saga_type = "shop.parcels"
    state_class = Progress
    correlate = "order_id"

    @on_event(OrderCreated, step="counting")
    async def count(self, event: OrderCreated) -> None:
        self.state.parcels = event.total
        self.dispatch(
            ReserveItems(order_id=event.order_id),
            compensate=CancelReservation(order_id=event.order_id),
        )

    @on_event(ItemsReserved)
    def one_less(self, event: ItemsReserved) -> None:
        self.state.parcels -= event.total
        if self.state.parcels < 0:
            self.fail("more parcels than were ordered")
        elif self.state.parcels == 0:
            self.dispatch(ConfirmOrder(order_id=event.order_id))
            self.complete()


class TestASagaThatIsAClass:
    async def test_decides_by_its_state(self, store: Store) -> None:
        world = await open_world(store, Parcels)
        await world.manager.handle(OrderCreated(order_id="o-1", total=20))
        await world.deliver()  # the first ten are reserved
        await world.deliver()
        assert (await world.saga("shop.parcels")).status is SagaStatus.RUNNING
        await world.manager.handle(ItemsReserved(order_id="o-1", total=10))
        await world.run()
        found = await world.saga("shop.parcels")
        assert (found.status, found.state.parcels) == (SagaStatus.COMPLETED, 0)
        assert await world.done("o-1") == ["ReserveItems", "ConfirmOrder"]

    async def test_undoes_what_it_dispatched(self, store: Store) -> None:
        world = await open_world(store, Parcels)
        await world.manager.handle(OrderCreated(order_id="o-1", total=5))
        await world.run()
        found = await world.saga("shop.parcels")
        assert (found.status, found.error) == (
            SagaStatus.COMPENSATED,
            "more parcels than were ordered",
        )
        assert await world.done("o-1") == ["ReserveItems", "CancelReservation"]

    async def test_refuses_to_go_forward_from_where_it_goes_back(self, store: Store) -> None:
        class Confused(Saga[None]):
            correlate = "order_id"

            @on_event(OrderCreated)
            def both(self, event: OrderCreated) -> None:
                self.fail("no")
                self.dispatch(RefundPayment(order_id=event.order_id))

        world = await open_world(store, Confused)
        with pytest.raises(Exception, match="cannot dispatch a command"):
            await world.manager.handle(OrderCreated(order_id="o-1"))
        assert await world.sagas() == []
