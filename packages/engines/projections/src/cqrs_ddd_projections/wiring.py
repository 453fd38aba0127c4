"""What a projection is wired to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cqrs_ddd_core.domain import EventTypeRegistry
from cqrs_ddd_core.ports import FeedSignal, IEventStore, IProjectionStorage, IReadModel, StoredEvent
from cqrs_ddd_projections.handler import Handle
from cqrs_ddd_projections.policy import ErrorPolicy
from cqrs_ddd_projections.settings import ProjectionSettings

FIRST_VERSION = 1


@dataclass(frozen=True)
class Wiring:
    """The handlers of a projection and everything around them, checked.

    Attributes:
        moved: tells of checkpoints that this process has moved.
    """

    name: str
    revision: int
    partitions: int
    errors: ErrorPolicy
    handlers: dict[str, Handle]
    key_of: Callable[[StoredEvent], str]
    event_types: EventTypeRegistry
    event_store: IEventStore
    storage: IProjectionStorage
    read_model: IReadModel
    uow_factory: Callable[[], Any]
    settings: ProjectionSettings
    moved: FeedSignal

    async def declare(self) -> None:
        """Make sure that there is a version for these handlers.

        The first one has its tables before anybody can see that it has reached position 0.
        """
        if not await self.storage.versions(self.name):
            await self.read_model.create(FIRST_VERSION, live=True)
        await self.storage.declare(
            self.name,
            revision=self.revision,
            partitions=self.partitions,
            position=await self.event_store.latest_position(),
        )
