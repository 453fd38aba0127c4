"""A small domain that the tests of whole commands share."""

from dataclasses import dataclass
from typing import Any

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    DomainEvent,
    HandlerRegistry,
    IMiddleware,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    repository,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_schema,
)

from .conftest import Sql


class Deposited(DomainEvent):
    amount: int


class Account(AggregateRoot[str]):
    balance: int = 0

    def deposit(self, amount: int) -> None:
        self.balance += amount
        self.add_event(Deposited(amount=amount))


class BankUnitOfWork(SQLAlchemyUnitOfWork):
    accounts = repository(Account, table="accounts")


class OpenAccount(Command[str]):
    account_id: str
    amount: int = 1


class Deposit(Command[int]):
    account_id: str
    amount: int = 1
    idempotency_key: str | None = None


async def open_account(command: OpenAccount, uow: BankUnitOfWork) -> str:
    account = Account(id=command.account_id)
    account.deposit(command.amount)
    return await uow.accounts.add(account)


async def deposit(command: Deposit, uow: BankUnitOfWork) -> int:
    account = await uow.accounts.require(command.account_id)
    account.deposit(command.amount)
    return account.balance


@dataclass(frozen=True)
class Bank:
    """A mediator on a database, with an outbox."""

    sql: Sql
    registry: HandlerRegistry
    outbox: SQLAlchemyOutboxStorage
    middleware: tuple[IMiddleware, ...] = ()

    @property
    def mediator(self) -> Mediator:
        """A mediator for what is registered by now."""
        return Mediator(
            self.registry,
            self.uow,
            middleware_registry=MiddlewareRegistry(
                [*self.middleware, OutboxMiddleware(self.outbox)]
            ),
        )

    def uow(self) -> BankUnitOfWork:
        return BankUnitOfWork(self.sql.session_factory)

    async def balance(self, account_id: str) -> int | None:
        async with self.uow() as uow:
            account = await uow.accounts.get(account_id)
            return None if account is None else account.balance


async def open_bank(sql: Sql, *middleware: IMiddleware, tables: tuple[Any, ...] = ()) -> Bank:
    """Return a bank on an empty database."""
    registry = HandlerRegistry()
    registry.register_command_handler(OpenAccount, open_account)
    registry.register_command_handler(Deposit, deposit)
    outbox = SQLAlchemyOutboxStorage(sql.session_factory)
    await create_schema(sql.engine, BankUnitOfWork, outbox, *tables)
    return Bank(sql, registry, outbox, middleware)
