"""given/when/then says what it should, and says clearly when an expectation is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    ConcurrencyError,
    DomainError,
    DomainEvent,
    EntityNotFoundError,
    EventPhase,
    HandlerRegistry,
    InMemoryUnitOfWork,
    MiddlewareRegistry,
    Query,
    RetryMiddleware,
    RetryPolicy,
    get_current_uow,
    repository,
    with_correlation_context,
)
from cqrs_ddd_core.testing import (
    ConditionNotMetError,
    HandlerScenario,
    SequentialIds,
    given,
    until,
)


class OrderPlaced(DomainEvent):
    total: int


class OrderCancelled(DomainEvent):
    reason: str
    refund: int = 0


class CustomerTold(DomainEvent):
    text: str


class AlreadyShipped(DomainError):  # noqa: N818
    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__(f"Order {order_id!r} is on its way.")


class Order(AggregateRoot[str]):
    status: str = "open"
    total: int = 0

    @classmethod
    def place(cls, order_id: str, total: int) -> "Order":
        if total <= 0:
            raise DomainError("An order is worth something.")
        order = cls(id=order_id, total=total)
        order.add_event(OrderPlaced(total=total))
        return order

    def cancel(self, reason: str) -> str:
        if self.status == "shipped":
            raise AlreadyShipped(self.id)
        if self.status == "cancelled":
            return "nothing to do"
        self.status = "cancelled"
        self.add_event(OrderCancelled(reason=reason, refund=self.total))
        return "cancelled"

    def apply(self, event: object) -> None:
        if isinstance(event, OrderCancelled):
            self.status = "cancelled"


# -- aggregates ------------------------------------------------------------------------------------


def test_an_action_is_compared_with_the_events_and_the_state_it_leads_to() -> None:
    order = Order(id="o-1", total=7)
    (
        given(order)
        .when(lambda order: order.cancel("late"))
        .then(OrderCancelled(aggregate_id="o-1", reason="late", refund=7))
        .then_state(status="cancelled", total=7)
        .then_result("cancelled")
    )
    assert order.status == "open", "the scenario works on a copy"


def test_what_made_the_aggregate_does_not_count_as_an_event_of_the_action() -> None:
    scenario = given(lambda: Order.place("o-1", 7))
    scenario.when(lambda order: order.cancel("late")).then(OrderCancelled(reason="late", refund=7))
    given(Order.place("o-2", 7)).when(lambda order: order.total).then_nothing()


def test_an_action_may_make_the_aggregate() -> None:
    made = given().when(lambda: Order.place("o-1", 7))
    made.then(OrderPlaced(aggregate_id="o-1", total=7)).then_state(total=7)
    refused = given().when(lambda: Order.place("o-1", 0))
    refused.then_raises(DomainError)
    with pytest.raises(AssertionError, match="There is no aggregate"):
        refused.then_state(total=0)


def test_a_refusal_is_compared_by_its_class_and_its_attributes() -> None:
    refused = given(Order(id="o-1", status="shipped")).when(lambda order: order.cancel("late"))
    refused.then_raises(AlreadyShipped, order_id="o-1").then_state(status="shipped")
    with pytest.raises(AssertionError, match=r"!=  order_id = 'o-9' +order_id = 'o-1'"):
        refused.then_raises(AlreadyShipped, order_id="o-9")
    with pytest.raises(AssertionError, match=r"EntityNotFoundError was expected.*AlreadyShipped"):
        refused.then_raises(EntityNotFoundError)
    with pytest.raises(AssertionError, match="on its way"):
        refused.then_nothing()
    with pytest.raises(AssertionError, match="on its way"):
        refused.then_result("cancelled")


def test_a_refusal_that_does_not_come_says_what_came_instead() -> None:
    outcome = given(Order(id="o-1")).when(lambda order: order.cancel("late"))
    with pytest.raises(AssertionError, match=r"succeeded and raised OrderCancelled\."):
        outcome.then_raises(AlreadyShipped)


def test_events_of_the_past_bring_the_aggregate_into_its_state() -> None:
    past = OrderCancelled(reason="early")
    scenario = given(Order(id="o-1"), past, evolve=Order.apply)
    scenario.when(lambda order: order.cancel("late")).then_nothing().then_result("nothing to do")
    with pytest.raises(TypeError, match="evolve="):
        given(Order(id="o-1"), past)


def test_a_decider_is_compared_with_the_events_it_returns() -> None:
    @dataclass(frozen=True)
    class Added:
        amount: int

    def decide(amount: int, total: int) -> Sequence[Added]:
        return [Added(amount)] if total + amount <= 10 else []

    def evolve(total: int, event: Added) -> int:
        return total + event.amount

    decider = given(0, Added(4), evolve=evolve)
    decider.when(lambda total: decide(5, total)).then(Added(5)).then_state(real=9)
    decider.when(lambda total: decide(7, total)).then_nothing().then_state(real=4)


def test_ids_and_times_of_events_do_not_count_but_named_envelope_fields_do() -> None:
    outcome = given(Order(id="o-1")).when(lambda order: order.cancel("late"))
    outcome.then(OrderCancelled(event_id="other", correlation_id="c", reason="late"))
    with pytest.raises(AssertionError, match=r"!=    aggregate_id = 'o-2' +aggregate_id = 'o-1'"):
        outcome.then(OrderCancelled(aggregate_id="o-2", reason="late"))
    with pytest.raises(AssertionError, match=r"!=    version = 2 +version = 1"):
        outcome.then(OrderCancelled(version=2, reason="late"))


def test_a_wrong_event_is_shown_beside_the_right_one() -> None:
    outcome = given(Order(id="o-1")).when(lambda order: order.cancel("late"))
    with pytest.raises(AssertionError) as failure:
        outcome.then(OrderCancelled(reason="early"), OrderPlaced(total=1))
    assert str(failure.value).splitlines() == [
        "The events are not as expected.",
        "     expected              actual",
        "      OrderCancelled        OrderCancelled",
        "  !=    reason = 'early'      reason = 'late'",
        "        refund = 0            refund = 0",
        "  !=  OrderPlaced",
        "  !=    total = 1",
    ]


def test_an_event_of_another_class_with_the_same_payload_is_another_event() -> None:
    class Renamed(OrderPlaced):
        pass

    outcome = given().when(lambda: Order.place("o-1", 7))
    with pytest.raises(AssertionError, match=r"!=  Renamed +OrderPlaced"):
        outcome.then(Renamed(total=7))
    with pytest.raises(AssertionError, match=r"!=  \(nothing\) +OrderPlaced"):
        outcome.then_nothing()


def test_a_wrong_state_is_shown_beside_the_right_one() -> None:
    outcome = given(Order(id="o-1", total=7)).when(lambda order: order.cancel("late"))
    with pytest.raises(AssertionError, match=r"!=  status = 'open' +status = 'cancelled'"):
        outcome.then_state(status="open", total=7)
    with pytest.raises(AssertionError, match="no such attribute"):
        outcome.then_state(colour="red")


# -- handlers --------------------------------------------------------------------------------------


class PlaceOrder(Command[str]):
    order_id: str
    total: int


class CancelOrder(Command[str]):
    order_id: str


class TotalOf(Query[int]):
    order_id: str


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)


async def place_order(command: PlaceOrder) -> str:
    return await get_current_uow().orders.add(Order.place(command.order_id, command.total))


async def cancel_order(command: CancelOrder, uow: ShopUnitOfWork) -> str:
    order = await uow.orders.require(command.order_id)
    return order.cancel("asked for")


async def total_of(query: TotalOf, uow: ShopUnitOfWork) -> int:
    return (await uow.orders.require(query.order_id)).total


@pytest.fixture
def scenario() -> HandlerScenario:
    registry = HandlerRegistry()
    registry.register_command_handler(PlaceOrder, place_order)
    registry.register_command_handler(CancelOrder, cancel_order)
    registry.register_query_handler(TotalOf, total_of)
    return HandlerScenario(registry, ShopUnitOfWork)


async def test_a_command_is_compared_with_events_result_and_stored_state(
    scenario: HandlerScenario,
) -> None:
    outcome = await scenario.given(Order(id="o-1", total=7)).when(CancelOrder(order_id="o-1"))
    (
        outcome.then(OrderCancelled(aggregate_id="o-1", reason="asked for", refund=7))
        .then_result("cancelled")
        .then_stored(Order, "o-1", status="cancelled", total=7, id="o-1")
    )


async def test_a_failed_command_leaves_no_events_and_no_trace(scenario: HandlerScenario) -> None:
    shipped = Order.place("o-1", 7)
    shipped.status = "shipped"
    outcome = await scenario.given(shipped).when(CancelOrder(order_id="o-1"))
    outcome.then_raises(AlreadyShipped, order_id="o-1").then_stored(Order, "o-1", status="shipped")
    with pytest.raises(AssertionError, match="on its way"):
        outcome.then_result("cancelled")
    refused = await scenario.when(PlaceOrder(order_id="o-2", total=0))
    refused.then_raises(DomainError).then_not_stored(Order, "o-2")


async def test_what_one_message_stored_is_there_for_the_next(scenario: HandlerScenario) -> None:
    await scenario.when(PlaceOrder(order_id="o-1", total=7))
    outcome = await scenario.when(TotalOf(order_id="o-1"))
    outcome.then_result(7).then_nothing()


async def test_events_of_in_transaction_handlers_count_as_well() -> None:
    async def tell(event: OrderPlaced) -> None:
        await scenario.mediator.publish(CustomerTold(text=f"{event.total} to pay"))

    registry = HandlerRegistry()
    registry.register_command_handler(PlaceOrder, place_order)
    registry.register_event_handler(OrderPlaced, tell, phase=EventPhase.IN_TRANSACTION)
    scenario = HandlerScenario(registry, ShopUnitOfWork)
    with with_correlation_context("request-1"):
        outcome = await scenario.when(PlaceOrder(order_id="o-1", total=7))
    outcome.then(OrderPlaced(total=7), CustomerTold(text="7 to pay"))


async def test_a_failure_after_the_commit_can_be_looked_at() -> None:
    async def fail(event: OrderPlaced) -> None:
        raise DomainError(f"{event.total} is too much.")

    registry = HandlerRegistry()
    registry.register_command_handler(PlaceOrder, place_order)
    registry.register_event_handler(OrderPlaced, fail)
    scenario = HandlerScenario(registry, ShopUnitOfWork)
    outcome = await scenario.when(PlaceOrder(order_id="o-1", total=7))
    outcome.then(OrderPlaced(total=7)).then_stored(Order, "o-1")
    assert [str(failure.error) for failure in outcome.failures] == ["7 is too much."]


async def test_events_of_a_repeated_attempt_count_once() -> None:
    attempts: list[str] = []

    async def place(command: PlaceOrder, uow: ShopUnitOfWork) -> str:
        attempts.append(await uow.orders.add(Order.place(command.order_id, command.total)))

        async def lose_the_first_race() -> None:
            if len(attempts) == 1:
                raise ConcurrencyError("Order", expected=0, actual=1)

        uow.before_commit(lose_the_first_race)
        return command.order_id

    registry = HandlerRegistry()
    registry.register_command_handler(PlaceOrder, place)
    retries = MiddlewareRegistry([RetryMiddleware(RetryPolicy(base_delay=0.0))])
    scenario = HandlerScenario(registry, ShopUnitOfWork, middleware_registry=retries)
    outcome = await scenario.when(PlaceOrder(order_id="o-1", total=7))
    outcome.then(OrderPlaced(total=7)).then_result("o-1")
    assert attempts == ["o-1", "o-1"]


async def test_a_handler_may_take_anything() -> None:
    async def answer(query: Any) -> int:
        return len(query.text)

    class LengthOf(Query[int]):
        text: str

    registry = HandlerRegistry()
    registry.register_query_handler(LengthOf, answer)
    (await HandlerScenario(registry).when(LengthOf(text="four"))).then_result(4)


async def test_wrong_expectations_of_a_handler_say_what_there_was(
    scenario: HandlerScenario,
) -> None:
    outcome = await scenario.when(PlaceOrder(order_id="o-1", total=7))
    with pytest.raises(AssertionError, match=r"!=  result = 'o-2' +result = 'o-1'"):
        outcome.then_result("o-2")
    with pytest.raises(AssertionError, match=r"!=  total = 8 +total = 7"):
        outcome.then_stored(Order, "o-1", total=8)
    with pytest.raises(AssertionError, match=r"Order 'o-2' is not stored.*there is 'o-1'"):
        outcome.then_stored(Order, "o-2")
    with pytest.raises(AssertionError, match="Order 'o-1' is stored"):
        outcome.then_not_stored(Order, "o-1")
    with pytest.raises(AssertionError, match="succeeded and raised OrderPlaced"):
        outcome.then_raises(DomainError)


# -- waiting ---------------------------------------------------------------------------------------


async def test_until_returns_what_the_condition_gave_once_it_holds() -> None:
    ids = SequentialIds()
    assert await until(lambda: ids.next_id() == "id-30") is True

    async def third() -> str | None:
        found = ids.next_id()
        return found if found == "id-33" else None

    assert await until(third) == "id-33"


async def test_until_names_the_condition_that_never_held() -> None:
    lights = ["green"]

    def is_red() -> bool:
        return "red" in lights

    with pytest.raises(
        ConditionNotMetError, match=r"is_red did not hold within 0\.01 s"
    ) as failure:
        await until(is_red, timeout=0.01)
    assert failure.value.last is False
    with pytest.raises(ConditionNotMetError, match=r"The condition at .*test_scenarios.py:\d+"):
        await until(lambda: 0, timeout=0)
