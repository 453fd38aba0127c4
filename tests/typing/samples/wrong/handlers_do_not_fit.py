"""Each marked line is a mistake that a type checker must find."""

from collections.abc import AsyncIterator

from shop import CancelOrder, CountOrders, OrderPlaced, OrderShipped, PlaceOrder

from cqrs_ddd_core import (
    CommandHandler,
    CommandResponse,
    EventHandler,
    HandlerRegistry,
    QueryHandler,
    QueryResponse,
    StreamHandler,
)


async def place(command: PlaceOrder) -> str:
    return command.customer_id


async def place_as_number(command: PlaceOrder) -> int:
    return len(command.customer_id)


async def place_with_number(command: PlaceOrder) -> CommandResponse[int]:
    return CommandResponse(len(command.customer_id))


def place_as_number_synchronously(command: PlaceOrder) -> int:
    return len(command.customer_id)


class PlaceAsNumberHandler(CommandHandler[int]):
    async def handle(self, command: PlaceOrder) -> CommandResponse[int]:
        return CommandResponse(len(command.customer_id))


async def cancel(command: CancelOrder) -> None: ...


async def count_as_text(query: CountOrders) -> str:
    return query.query_id


class CountAsTextHandler(QueryHandler[str]):
    async def handle(self, query: CountOrders) -> QueryResponse[str]:
        return QueryResponse(query.query_id)


async def letters(query: CountOrders) -> AsyncIterator[str]:
    yield query.query_id


async def numbers_of_an_order(command: PlaceOrder) -> AsyncIterator[int]:
    yield len(command.customer_id)


class LettersHandler(StreamHandler[str]):
    async def handle(self, message: CountOrders) -> AsyncIterator[str]:
        yield message.query_id


async def on_shipped(event: OrderShipped) -> None: ...


class OnShipped(EventHandler[OrderShipped]):
    async def handle(self, event: OrderShipped) -> None: ...


class Unrelated:
    pass


registry = HandlerRegistry()
registry.register_command_handler(PlaceOrder, place_as_number)  # wrong: another result
registry.register_command_handler(PlaceOrder, place_with_number)  # wrong: another result
registry.register_command_handler(PlaceOrder, place_as_number_synchronously)  # wrong: same
registry.register_command_handler(PlaceOrder, PlaceAsNumberHandler)  # wrong: another result
registry.register_command_handler(PlaceOrder, PlaceAsNumberHandler())  # wrong: another result
registry.register_command_handler(PlaceOrder, cancel)  # wrong: another command
registry.register_command_handler(CancelOrder, place)  # wrong: another command
registry.register_command_handler(PlaceOrder, Unrelated())  # wrong: no handler
registry.register_command_handler(PlaceOrder, Unrelated)  # wrong: no handler
registry.register_query_handler(CountOrders, count_as_text)  # wrong: another answer
registry.register_query_handler(CountOrders, CountAsTextHandler)  # wrong: another answer
registry.register_query_handler(CountOrders, place)  # wrong: handles a command
registry.register_stream_handler(CountOrders, letters)  # wrong: other items
registry.register_stream_handler(CountOrders, LettersHandler)  # wrong: other items
registry.register_stream_handler(CountOrders, numbers_of_an_order)  # wrong: another message
registry.register_stream_handler(CountOrders, count_as_text)  # wrong: does not stream
registry.register_event_handler(OrderPlaced, on_shipped)  # wrong: another event
registry.register_event_handler(OrderPlaced, OnShipped)  # wrong: another event
registry.register_event_handler(OrderPlaced, OnShipped())  # wrong: another event
