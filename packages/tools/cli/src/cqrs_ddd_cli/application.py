"""What an application offers, so that the command can look after its storage."""

from typing import Protocol, runtime_checkable

from cqrs_ddd_core.ports import IInboxStorage, IOutboxOperations, IOutboxStorage


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
