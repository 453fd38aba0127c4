"""A lending library, written with the names and call shapes that the documentation shows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from pydantic import Field

from cqrs_ddd_core import HandlerRegistry, repository
from cqrs_ddd_core.adapters.memory import InMemoryUnitOfWork
from cqrs_ddd_core.cqrs import (
    Command,
    CommandHandler,
    CommandResponse,
    EventHandler,
    Query,
    QueryHandler,
    QueryResponse,
    get_current_uow,
)
from cqrs_ddd_core.domain import AggregateRoot, DomainEvent, ValueObject
from cqrs_ddd_core.ports import QueryOptions
from cqrs_ddd_persistence_sqlalchemy import SQLAlchemyUnitOfWork
from cqrs_ddd_specifications import SpecificationBuilder


class Fee(ValueObject):
    amount: float
    currency: str = "EUR"


class Loan(ValueObject):
    title: str
    days: int
    fee: Fee


class CardIssued(DomainEvent):
    card_id: str
    reader: str
    owed: Fee


class TitleBorrowed(DomainEvent):
    card_id: str
    title: str
    days: int


class CardClosed(DomainEvent):
    card_id: str
    closed_at: datetime


class Card(AggregateRoot[str]):
    reader: str
    loans: list[Loan] = Field(default_factory=list[Loan])
    owed: Fee = Fee(amount=0.0)
    status: str = "open"

    @classmethod
    def create(cls, card_id: str, reader: str) -> Self:
        card = cls(id=card_id, reader=reader)
        card.add_event(
            CardIssued(aggregate_id=card_id, card_id=card_id, reader=reader, owed=card.owed)
        )
        return card

    def borrow(self, title: str, days: int, fee: Fee) -> None:
        if self.status != "open":
            raise ValueError("A closed card borrows nothing")
        self.loans.append(Loan(title=title, days=days, fee=fee))
        self.owed = Fee(amount=sum(loan.fee.amount for loan in self.loans))
        self.add_event(TitleBorrowed(aggregate_id=self.id, card_id=self.id, title=title, days=days))

    def close(self, at: datetime) -> None:
        if not self.loans:
            raise ValueError("A card that was never used is thrown away, not closed")
        self.status = "closed"
        self.add_event(CardClosed(aggregate_id=self.id, card_id=self.id, closed_at=at))


class IssueCardCommand(Command[str]):
    card_id: str
    reader: str


class BorrowCommand(Command[None]):
    card_id: str
    title: str
    days: int = 14
    fee: float = 0.0


class CloseCardCommand(Command[None]):
    card_id: str
    at: datetime


class IssueCardHandler(CommandHandler[str]):
    async def handle(self, cmd: IssueCardCommand) -> CommandResponse[str]:
        uow = get_current_uow()
        existing = await uow.cards.get(cmd.card_id)
        if existing:
            raise ValueError(f"Card {cmd.card_id} already exists")
        card = Card.create(cmd.card_id, cmd.reader)
        await uow.cards.add(card)
        return CommandResponse(result=card.id, events=card.clear_events())


class BorrowHandler(CommandHandler[None]):
    async def handle(self, cmd: BorrowCommand) -> CommandResponse[None]:
        uow = get_current_uow()
        card = await uow.cards.get(cmd.card_id)
        if not card:
            raise ValueError(f"Card {cmd.card_id} not found")
        card.borrow(title=cmd.title, days=cmd.days, fee=Fee(amount=cmd.fee))
        await uow.cards.add(card)
        return CommandResponse(result=None, events=card.clear_events())


class CloseCardHandler(CommandHandler[None]):
    async def handle(self, cmd: CloseCardCommand) -> CommandResponse[None]:
        uow = get_current_uow()
        card = await uow.cards.get(cmd.card_id)
        card.close(cmd.at)
        await uow.cards.add(card)
        return CommandResponse(result=None, events=card.clear_events())


@dataclass
class CardDTO:
    card_id: str
    reader: str
    owed: float
    status: str
    loans: int


def dto(card: Card) -> CardDTO:
    return CardDTO(
        card_id=card.id,
        reader=card.reader,
        owed=card.owed.amount,
        status=card.status,
        loans=len(card.loans),
    )


class GetCardQuery(Query[CardDTO | None]):
    card_id: str


class ListCardsQuery(Query[list[CardDTO]]):
    reader: str | None = None
    status: str | None = None
    limit: int = 100


class GetCardHandler(QueryHandler[CardDTO | None]):
    async def handle(self, query: GetCardQuery) -> QueryResponse[CardDTO | None]:
        card = await get_current_uow().cards.get(query.card_id)
        if not card:
            return QueryResponse(result=None)
        return QueryResponse(result=dto(card))


class ListCardsHandler(QueryHandler[list[CardDTO]]):
    async def handle(self, query: ListCardsQuery) -> QueryResponse[list[CardDTO]]:
        uow = get_current_uow()
        spec_builder = SpecificationBuilder()
        if query.reader:
            spec_builder = spec_builder.where("reader", "==", query.reader)
        if query.status:
            spec_builder = spec_builder.where("status", "==", query.status)
        options = QueryOptions().with_specification(spec_builder.build()).with_limit(query.limit)
        result = await uow.cards.search(options)
        cards = await result
        return QueryResponse(result=[dto(card) for card in cards])


class Post(Protocol):
    async def send(self, *, to: str, subject: str, body: str) -> None: ...


class FarewellHandler(EventHandler[CardClosed]):
    def __init__(self, post: Post) -> None:
        self.post = post

    async def handle(self, event: CardClosed) -> None:
        await self.post.send(to=event.card_id, subject="Farewell", body=str(event.closed_at))


class CountTitlesHandler(EventHandler[TitleBorrowed]):
    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    async def handle(self, event: TitleBorrowed) -> None:
        self.counts[event.title] = self.counts.get(event.title, 0) + 1


class LibraryInMemory(InMemoryUnitOfWork):
    cards = repository(Card)


class LibraryOnSql(SQLAlchemyUnitOfWork):
    cards = repository(Card)


def library_registry() -> HandlerRegistry:
    """Return the handlers of commands and queries, registered as instances."""
    registry = HandlerRegistry()
    registry.register_command_handler(IssueCardCommand, IssueCardHandler())
    registry.register_command_handler(BorrowCommand, BorrowHandler())
    registry.register_command_handler(CloseCardCommand, CloseCardHandler())
    registry.register_query_handler(GetCardQuery, GetCardHandler())
    registry.register_query_handler(ListCardsQuery, ListCardsHandler())
    return registry
