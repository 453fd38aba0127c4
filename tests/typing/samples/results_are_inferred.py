"""What comes back is known from what is sent."""

from typing import Any, assert_type

from shop import (
    Account,
    Basket,
    CancelOrder,
    CountOrders,
    FindNames,
    Order,
    PlaceOrder,
    RenameProduct,
    ShopUnitOfWork,
)

from cqrs_ddd_core import (
    CommandResponse,
    InMemoryRepository,
    IRepository,
    Mediator,
    QueryResponse,
    SearchResult,
)


async def send_infers_the_result_of_a_command(mediator: Mediator) -> None:
    assert_type(await mediator.send(PlaceOrder(customer_id="c-1")), CommandResponse[str])
    assert_type((await mediator.send(PlaceOrder(customer_id="c-1"))).result, str)
    assert_type(await mediator.send(CancelOrder(order_id="o-1")), CommandResponse[None])
    assert_type(await mediator.send(RenameProduct("Lamp")), CommandResponse[int])
    assert_type(await mediator.send(RenameProduct("Lamp"), savepoint=True), CommandResponse[int])


async def send_and_query_infer_the_answer_of_a_query(mediator: Mediator) -> None:
    assert_type(await mediator.send(CountOrders()), QueryResponse[int])
    assert_type(await mediator.query(CountOrders()), QueryResponse[int])
    assert_type((await mediator.query(FindNames("La"))).result, list[str])


async def stream_infers_the_items(mediator: Mediator) -> None:
    assert_type([item async for item in mediator.stream(CountOrders())], list[int])
    assert_type([item async for item in mediator.stream(PlaceOrder(customer_id="c"))], list[str])


async def an_unmarked_class_can_be_sent_and_its_result_is_any(mediator: Mediator) -> None:
    assert_type(await mediator.send(object()), Any)


async def a_declared_repository_knows_its_aggregate_and_its_ids(uow: ShopUnitOfWork) -> None:
    assert_type(uow.orders, IRepository[Order, str])
    assert_type(uow.accounts, IRepository[Account, int])
    assert_type(uow.baskets, IRepository[Basket, Any])
    assert_type(await uow.orders.get("o-1"), Order | None)
    assert_type(await uow.accounts.require(7), Account)
    assert_type(await uow.accounts.add(Account(id=7)), int)
    assert_type(await uow.orders.search(), SearchResult[Order])
    assert_type(await (await uow.orders.search()), list[Order])


async def a_repository_without_unit_of_work_knows_them_as_well() -> None:
    accounts = InMemoryRepository[Account, int]()
    assert_type(await accounts.get(7), Account | None)
    assert_type(await accounts.add(Account(id=7)), int)


def an_aggregate_can_be_made_at_a_version() -> None:
    assert_type(Order(id="o-1", _version=3), Order)
