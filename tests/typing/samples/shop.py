"""The messages, events and aggregates that the samples are about."""

from dataclasses import dataclass

from cqrs_ddd_core import (
    AggregateRoot,
    AggregateRootMixin,
    Command,
    CommandOf,
    DomainEvent,
    InMemoryUnitOfWork,
    Query,
    QueryOf,
    repository,
)


class PlaceOrder(Command[str]):
    customer_id: str


class CancelOrder(Command[None]):
    order_id: str


@dataclass(frozen=True)
class RenameProduct(CommandOf[int]):
    name: str


class CountOrders(Query[int]):
    pass


@dataclass(frozen=True)
class FindNames(QueryOf[list[str]]):
    prefix: str


class OrderPlaced(DomainEvent):
    pass


class OrderShipped(DomainEvent):
    pass


class Order(AggregateRoot[str]):
    total: int = 0


class Account(AggregateRoot[int]):
    balance: int = 0


@dataclass
class Basket(AggregateRootMixin):
    id: str


class ShopUnitOfWork(InMemoryUnitOfWork):
    orders = repository(Order)
    accounts = repository(Account, table="account")
    baskets = repository(Basket)
