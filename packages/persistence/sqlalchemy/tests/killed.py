"""The process that test_kill.py kills: it sends commands and says which ones were acknowledged.

Run as ``python killed.py URL``. For each line NAME on standard input it forks a process, prints its
pid, and the process sends commands until it is killed. A further line on standard output is the id
of a command that was acknowledged; an empty one says that the process has ended.
"""

import asyncio
import os
import sys

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    DomainEvent,
    HandlerRegistry,
    Mediator,
    MiddlewareRegistry,
    OutboxMiddleware,
    RetryMiddleware,
    RetryPolicy,
    repository,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyOutboxStorage,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_session_factory,
)


class Recorded(DomainEvent):
    part: int


class Counter(AggregateRoot[str]):
    total: int = 0


class Entry(AggregateRoot[str]):
    parts: list[int]


class LedgerUnitOfWork(SQLAlchemyUnitOfWork):
    counters = repository(Counter)
    entries = repository(Entry)


class Record(Command[None]):
    entry_id: str
    parts: int


async def record(command: Record, uow: LedgerUnitOfWork) -> None:
    """Write an entry, count it, and raise an event for each part: several rows in three tables."""
    entry = Entry(id=command.entry_id, parts=list(range(command.parts)))
    await uow.entries.add(entry)
    counter = await uow.counters.require("all")
    counter.total += command.parts
    for part in entry.parts:
        entry.add_event(Recorded(part=part))


def ledger(
    session_factory: async_sessionmaker[AsyncSession],
) -> tuple[Mediator, SQLAlchemyOutboxStorage]:
    registry = HandlerRegistry()
    registry.register_command_handler(Record, record)
    outbox = SQLAlchemyOutboxStorage(session_factory)
    mediator = Mediator(
        registry,
        lambda: LedgerUnitOfWork(session_factory),
        # What the one before sent last may still be under way at the server.
        middleware_registry=MiddlewareRegistry(
            [RetryMiddleware(RetryPolicy(max_attempts=30)), OutboxMiddleware(outbox)]
        ),
    )
    return mediator, outbox


def parts_of(number: int) -> int:
    """Return how many events the command of this number raises: one, or several statements."""
    return 1 + number % 3


async def work(url: str, run: str) -> None:
    """Send commands until killed."""
    mediator, _ = ledger(create_session_factory(create_engine(url)))
    number = 0
    while True:
        entry_id = f"{run}/{number}"
        await mediator.send(Record(entry_id=entry_id, parts=parts_of(number)))
        _say(entry_id)
        number += 1


def _say(line: str) -> None:
    """Write a line in one piece, so that no kill can cut it."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    """Fork, so that just the first process has to import everything."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(work(sys.argv[1], line.strip()))
        _say(str(pid))
        os.waitpid(pid, 0)
        _say("")


if __name__ == "__main__":
    main()
