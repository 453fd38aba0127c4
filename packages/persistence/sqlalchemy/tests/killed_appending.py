"""A process that appends, and gives out positions, until it is killed."""

import asyncio
import sys

from cqrs_ddd_core import StoredEvent, StreamId, utc_now
from cqrs_ddd_persistence_sqlalchemy import (
    SQLAlchemyEventStore,
    SQLAlchemyUnitOfWork,
    create_engine,
    create_session_factory,
)


async def main(url: str, run: str) -> None:
    session_factory = create_session_factory(create_engine(url))
    store = SQLAlchemyEventStore(session_factory)
    stream = StreamId("Run", run)

    async def append() -> None:
        version = 0
        while True:
            events = [
                StoredEvent(
                    event_id=f"{run}/{version + place}",
                    event_type="Done",
                    stream=stream,
                    payload=b"{}",
                    occurred_at=utc_now(),
                )
                for place in range(1, 4)
            ]
            async with SQLAlchemyUnitOfWork(session_factory) as uow:
                await store.append(stream, events[:1], version, uow)
                await uow.flush()
                await store.append(stream, events[1:], version + 1, uow)
            version += 3
            print(version, flush=True)  # noqa: T201 - the acknowledgement

    async def read() -> None:
        position = 0
        while True:
            position = (await store.read_feed(after_position=position)).position

    await asyncio.gather(append(), read(), read())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
