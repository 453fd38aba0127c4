"""A small shop whose every event has an effect here and a message for a broker."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    DomainEvent,
    EventPhase,
    HandlerRegistry,
    Mediator,
    MiddlewareRegistry,
    OutboxMessage,
    OutboxMiddleware,
    RetryMiddleware,
    RetryPolicy,
    repository,
)
from cqrs_ddd_core.cqrs.outbox import (
    BufferedOutbox,
    DurableHandlerPublisher,
    FanOutPublisher,
    RelaySettings,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyInboxStorage,
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_schema,
    create_session_factory,
)

LEASE = 2.0
SETTINGS = RelaySettings(
    batch_size=20,
    max_held=100,
    lease=LEASE,
    poll_interval=0.05,
    redrive_poll=0.05,
    retries=RetryPolicy(max_attempts=2, base_delay=0.01, max_delay=0.02),
)


class Counted(DomainEvent):
    """The counter has reached a number."""

    number: int


class Counter_(AggregateRoot[str]):  # noqa: N801 - beside collections.Counter
    """Counts from 0; what it counts must arrive everywhere, once and in order."""

    count: int = 0


class Ledger(AggregateRoot[str]):
    """What the DURABLE handler has seen of a counter."""

    seen: list[int] = Field(default_factory=list[int])


class ShopUnitOfWork(SQLAlchemyUnitOfWork):
    counters = repository(Counter_, table="counters")
    ledgers = repository(Ledger, table="ledgers")


class Count(Command[int]):
    """Count one further."""

    key: str


async def count(command: Count, uow: ShopUnitOfWork) -> int:
    counter = await uow.counters.get(command.key)
    if counter is None:
        counter = Counter_(id=command.key)
        await uow.counters.add(counter)
    counter.add_event(Counted(number=counter.count))
    counter.count += 1
    return counter.count


class FileBroker:
    """A broker that confirms what it has appended to a file; other processes see it at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        for message in messages:
            self.append(message)
        return [None] * len(messages)

    def append(self, message: OutboxMessage) -> None:
        number = json.loads(message.payload)["number"]
        os.write(self._file, f"{message.partition_key} {number}\n".encode())


def arrived(path: Path) -> dict[str, list[int]]:
    """Return the numbers that arrived, by key, in order; of repetitions the first."""
    by_key: dict[str, dict[int, None]] = {}
    whole_lines, _, _ = path.read_text().rpartition("\n")  # somebody may be writing one
    for line in whole_lines.splitlines():
        key, number = line.rsplit(" ", 1)
        by_key.setdefault(key, {})[int(number)] = None
    return {key: list(numbers) for key, numbers in by_key.items()}


@dataclass
class Shop:
    mediator: Mediator
    storage: SQLAlchemyOutboxStorage
    outbox: BufferedOutbox

    def uow(self) -> ShopUnitOfWork:
        return ShopUnitOfWork(self.storage._session_factory)  # pyright: ignore[reportPrivateUsage]


async def open_shop(
    url: str,
    broker: FileBroker,
    storage_class: type[SQLAlchemyOutboxStorage] = SQLAlchemyOutboxStorage,
    inbox_class: type[SQLAlchemyInboxStorage] = SQLAlchemyInboxStorage,
) -> Shop:
    """Return the shop on the database at ``url``; it keeps its engine as long as it lives."""
    engine = create_engine(url)
    session_factory = create_session_factory(engine)
    storage, inbox = storage_class(session_factory), inbox_class(session_factory)
    await create_schema(engine, ShopUnitOfWork, storage, inbox)
    registry, failures = HandlerRegistry(), Counter[str]()

    async def note(event: Counted, uow: ShopUnitOfWork) -> None:
        """Fail a few times on some events, then note the number; once each, or it shows."""
        failures[event.event_id] += 1
        if event.number % 5 == 3 and failures[event.event_id] <= SETTINGS.retries.max_attempts:
            raise RuntimeError("not yet")
        key = event.aggregate_id or ""
        ledger = await uow.ledgers.get(key)
        if ledger is None:
            ledger = Ledger(id=key)
            await uow.ledgers.add(ledger)
        ledger.seen = [*ledger.seen, event.number]

    registry.register_command_handler(Count, count)
    registry.register_event_handler(Counted, note, phase=EventPhase.DURABLE, name="note")
    publisher = FanOutPublisher(DurableHandlerPublisher(lambda: mediator, inbox), broker)
    outbox = BufferedOutbox(storage=storage, broker=publisher, settings=SETTINGS)
    mediator = Mediator(
        registry,
        lambda: ShopUnitOfWork(session_factory),
        middleware_registry=MiddlewareRegistry(
            [RetryMiddleware(RetryPolicy(max_attempts=20)), OutboxMiddleware(outbox)]
        ),
    )
    return Shop(mediator, storage, outbox)
