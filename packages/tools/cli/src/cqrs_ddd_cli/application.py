"""What an application offers, so that the command can look after its storage."""

from typing import Protocol, runtime_checkable

from cqrs_ddd_advanced_core.background_jobs import IBackgroundJobRepository
from cqrs_ddd_advanced_core.sagas import ISagaRepository
from cqrs_ddd_core.ports import (
    IEventStore,
    IInboxStorage,
    IOutboxOperations,
    IOutboxStorage,
    IProjectionOperations,
)


@runtime_checkable
class IOperableOutbox(IOutboxStorage, IOutboxOperations, Protocol):
    """An outbox that people can look into and look after; the toolkit's storages all are."""


@runtime_checkable
class HasOutbox(Protocol):
    """An application with an outbox to be looked after."""

    @property
    def outbox(self) -> IOperableOutbox:
        """The storage, not the relay around it."""
        ...


@runtime_checkable
class HasInbox(Protocol):
    """An application with an inbox to be looked after."""

    @property
    def inbox(self) -> IInboxStorage:
        """The storage."""
        ...


@runtime_checkable
class HasJobs(Protocol):
    """An application with background jobs to be looked after."""

    @property
    def jobs(self) -> IBackgroundJobRepository:
        """The repository, not the service around it."""
        ...


@runtime_checkable
class HasSagas(Protocol):
    """An application with sagas to be looked after."""

    @property
    def sagas(self) -> ISagaRepository:
        """The repository, not the manager or runner around it."""
        ...


@runtime_checkable
class HasEventStore(Protocol):
    """An application with an event store to be looked into."""

    @property
    def event_store(self) -> IEventStore:
        """The store."""
        ...


@runtime_checkable
class HasTimers(Protocol):
    """An application with scheduled commands to be looked after."""

    @property
    def timers(self) -> IBackgroundJobRepository:
        """The repository, not the scheduler around it."""
        ...


@runtime_checkable
class HasProjections(HasEventStore, Protocol):
    """An application with projections to be looked after, and the events that they follow."""

    @property
    def projections(self) -> IProjectionOperations:
        """The storage of their checkpoints."""
        ...
