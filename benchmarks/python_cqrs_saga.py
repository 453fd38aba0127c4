"""A saga of the library ``python-cqrs``: three steps that note that they were done."""
# pyright: basic, reportMissingImports=false, reportMissingTypeStubs=false

import dataclasses
from typing import Any

from cqrs.handlers.saga import SagaStepHandler
from cqrs.saga.models import SagaContext
from cqrs.saga.saga import Saga
from cqrs.saga.storage.memory import MemorySagaStorage
from cqrs.saga.storage.sqlalchemy import Base, SqlAlchemySagaStorage

__all__ = ["Base", "MemorySagaStorage", "SqlAlchemySagaStorage", "Trip", "run"]


@dataclasses.dataclass
class Trip(SagaContext):
    done: int = 0


class Room(SagaStepHandler[Trip, None]):
    @property
    def events(self) -> list[Any]:
        return []

    async def act(self, context: Trip) -> Any:
        context.done += 1
        return self._generate_step_result(None)

    async def compensate(self, context: Trip) -> None: ...


class Flight(Room): ...


class Car(Room): ...


class TripSaga(Saga[Trip]):
    steps = [Room, Flight, Car]


class Container:
    external_container = None

    def attach_external_container(self, container: Any) -> None: ...

    async def resolve(self, type_: type) -> Any:
        return type_()


async def run(storage: Any) -> None:
    trip = Trip()
    saga = TripSaga().transaction(context=trip, container=Container(), storage=storage)
    async with saga as steps:
        async for _ in steps:
            pass
    assert trip.done == 3
