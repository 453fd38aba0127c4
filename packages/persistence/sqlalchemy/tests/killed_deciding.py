"""A process that appends on conditions, inside transactions that go on, until it is killed."""

import asyncio
import sys

from cqrs_ddd_core import (
    AppendCondition,
    EventQuery,
    StoredEvent,
    StreamAppend,
    StreamId,
    new_id,
    utc_now,
)
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_session_factory,
)

SEATS = EventQuery.of(types=["SeatTaken"], tags=["course:c-1"])


def seat_taken(owner: str) -> StreamAppend:
    """Return the append of a seat in the course."""
    stream = StreamId("SeatTaken", new_id())
    event = StoredEvent(
        event_id=stream.aggregate_id,
        event_type="SeatTaken",
        stream=stream,
        payload=b"{}",
        occurred_at=utc_now(),
        correlation_id=owner,
        tags=("course:c-1", f"student:{owner}"),
    )
    return StreamAppend(stream, [event], 0)


async def main(url: str, run: str) -> None:
    session_factory = create_session_factory(create_engine(url))
    store = SQLAlchemyEventStore(session_factory)
    for number in range(10**6):
        async with SQLAlchemyUnitOfWork(session_factory) as uow:
            version = len([event async for event in store.read_matching(SEATS, uow=uow)])
            await store.append_many(
                [seat_taken(run)], uow, condition=AppendCondition(SEATS, version)
            )
            await uow.flush()
            print("holding", number, flush=True)  # noqa: T201 - what the test waits for
        print("committed", number, flush=True)  # noqa: T201 - the acknowledgement


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
