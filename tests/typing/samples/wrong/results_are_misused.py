"""Each marked line is a mistake that a type checker must find."""

from shop import Account, CancelOrder, CountOrders, Order, PlaceOrder, ShopUnitOfWork

from cqrs_ddd_core import Mediator


async def a_result_is_taken_for_what_it_is_not(mediator: Mediator) -> None:
    number: int = (await mediator.send(PlaceOrder(customer_id="c-1"))).result  # wrong: a str
    text: str = (await mediator.query(CountOrders())).result  # wrong: an int
    (await mediator.send(CancelOrder(order_id="o-1"))).result.strip()  # wrong: None
    del number, text
    (await mediator.query(CountOrders())).events.clear()  # wrong: a query has none


async def a_command_is_no_query(mediator: Mediator) -> None:
    await mediator.query(PlaceOrder(customer_id="c-1"))  # wrong: a command


async def items_are_taken_for_what_they_are_not(mediator: Mediator) -> None:
    async for number in mediator.stream(CountOrders()):
        number.strip()  # wrong: an int


async def an_aggregate_or_id_goes_to_another_repository(uow: ShopUnitOfWork) -> None:
    await uow.orders.get(7)  # wrong: ids are text
    await uow.accounts.get("a-1")  # wrong: ids are numbers
    await uow.orders.add(Account(id=7))  # wrong: another aggregate
    account: Account = await uow.orders.require("o-1")  # wrong: another aggregate
    maybe: Order = await uow.orders.get("o-1")  # wrong: there may be none
    del account, maybe


PlaceOrder(customer=3)  # wrong: no such field
