"""Aggregates as classes whose state follows from their events."""

from typing import Any

from typing_extensions import TypeVar

from cqrs_ddd_advanced_core.event_sourcing.applying import apply_event
from cqrs_ddd_core import AggregateRoot

ID = TypeVar("ID", default=str)


class EventSourcedAggregate(AggregateRoot[ID]):
    """An aggregate that changes by recording events, and by nothing else.

    Any ``AggregateRoot`` with ``apply_`` methods can be event-sourced; this one brings ``record``,
    so that a rule's method and a replay go through the same code.

    Example:
        >>> from cqrs_ddd_core import DomainEvent
        >>> class Deposited(DomainEvent):
        ...     amount: int
        >>> class Account(EventSourcedAggregate[str]):
        ...     balance: int = 0
        ...     def deposit(self, amount: int) -> None:
        ...         self.record(Deposited(amount=amount))
        ...     def apply_Deposited(self, event: Deposited) -> None:
        ...         self.balance += event.amount
        >>> account = Account(id="a-1")
        >>> account.deposit(5)
        >>> account.balance, len(account.pending_events)
        (5, 1)
    """

    def record(self, event: Any) -> None:
        """Apply ``event`` and remember that it happened.

        Raises:
            MissingEventHandlerError: there is no ``apply_`` method for it.
        """
        apply_event(self, event)
        self.add_event(event)
