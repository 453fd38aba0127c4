"""Every form of handler that the registry takes."""

from collections.abc import AsyncIterator
from typing import Any

from shop import (
    CancelOrder,
    CountOrders,
    OrderPlaced,
    OrderShipped,
    PlaceOrder,
    RenameProduct,
    ShopUnitOfWork,
)

from cqrs_ddd_core import (
    CommandHandler,
    CommandResponse,
    DomainEvent,
    EventHandler,
    EventPhase,
    HandlerRegistry,
    QueryHandler,
    QueryResponse,
    StreamHandler,
    handler_chain,
)


async def place(command: PlaceOrder) -> str:
    return command.customer_id


async def place_with_response(command: PlaceOrder) -> CommandResponse[str]:
    return CommandResponse(command.customer_id)


async def place_in(command: PlaceOrder, uow: ShopUnitOfWork) -> CommandResponse[str]:
    return CommandResponse(f"{command.customer_id} of {len(uow.tracked())}")


def place_synchronously(command: PlaceOrder) -> str:
    return command.customer_id


class PlaceOrderHandler(CommandHandler[str]):
    async def handle(self, command: PlaceOrder) -> CommandResponse[str]:
        return CommandResponse(command.customer_id)


class PlainPlaceOrderHandler:
    async def handle(self, command: PlaceOrder) -> CommandResponse[str]:
        return CommandResponse(command.customer_id)


async def rename(command: RenameProduct) -> int:
    return len(command.name)


async def cancel_or_place(command: CancelOrder | PlaceOrder) -> None: ...


async def count(query: CountOrders) -> int:
    return len(query.query_id)


class CountOrdersHandler(QueryHandler[int]):
    async def handle(self, query: CountOrders) -> QueryResponse[int]:
        return QueryResponse(len(query.query_id))


async def numbers(query: CountOrders) -> AsyncIterator[int]:
    yield len(query.query_id)


async def numbers_in(query: CountOrders, uow: ShopUnitOfWork) -> AsyncIterator[int]:
    yield len(query.query_id) + len(uow.tracked())


class NumbersHandler(StreamHandler[int]):
    async def handle(self, message: CountOrders) -> AsyncIterator[int]:
        yield len(message.query_id)


async def on_placed(event: OrderPlaced) -> None: ...


def on_placed_synchronously(event: OrderPlaced) -> None: ...


async def on_anything(event: DomainEvent) -> None: ...


class OnShipped(EventHandler[OrderShipped]):
    async def handle(self, event: OrderShipped) -> None: ...


async def link(command: Any, pass_on: Any) -> Any:
    return await pass_on(command)


registry = HandlerRegistry()
registry.register_command_handler(PlaceOrder, place)
registry.register_command_handler(PlaceOrder, place_with_response)
registry.register_command_handler(PlaceOrder, place_in)
registry.register_command_handler(PlaceOrder, place_synchronously, in_thread=True)
registry.register_command_handler(PlaceOrder, PlaceOrderHandler)
registry.register_command_handler(PlaceOrder, PlaceOrderHandler())
registry.register_command_handler(PlaceOrder, PlainPlaceOrderHandler())
registry.register_command_handler(PlaceOrder, handler_chain(link))
registry.register_command_handler(RenameProduct, rename)
registry.register_command_handler(CancelOrder, cancel_or_place)
registry.register_query_handler(CountOrders, count)
registry.register_query_handler(CountOrders, CountOrdersHandler)
registry.register_query_handler(CountOrders, CountOrdersHandler())
registry.register_stream_handler(CountOrders, numbers)
registry.register_stream_handler(CountOrders, numbers_in)
registry.register_stream_handler(CountOrders, NumbersHandler)
registry.register_stream_handler(CountOrders, NumbersHandler())
registry.register_event_handler(OrderPlaced, on_placed)
registry.register_event_handler(OrderPlaced, on_placed_synchronously, phase=EventPhase.DURABLE)
registry.register_event_handler(OrderPlaced, on_anything)
registry.register_event_handler(OrderShipped, OnShipped)
registry.register_event_handler(OrderShipped, OnShipped())
