"""What the shop keeps besides invoices."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from cqrs_ddd_core import (
    AggregateRoot,
    AggregateRootMixin,
    DomainEvent,
    InvariantViolationError,
    new_id,
)
from order_fulfilment.domain import Cancellation, CancellationRecorded


@dataclass
class OpenCancellation(AggregateRootMixin):
    """A cancellation whose order is to be found; event-sourced ones cannot be searched."""

    id: str
    customer_id: int
    opened_at: datetime

    @classmethod
    def of(cls, cancellation: Cancellation) -> "OpenCancellation":
        """Return the entry for a cancellation, of a customer who is known."""
        assert cancellation.customer_id is not None
        return cls(cancellation.id, cancellation.customer_id, cancellation.opened_at)


@dataclass
class Refund(AggregateRootMixin):
    """Money that went back to a customer. Each has an id of its own: a second one would show."""

    id: str
    invoice: str
    customer_id: int | None
    amount: Decimal

    @classmethod
    def of(cls, event: CancellationRecorded) -> "Refund":
        """Return the refund for the lines of a cancellation."""
        amount = -sum((line.amount for line in event.lines), Decimal(0))
        return cls(new_id(), event.aggregate_id or "", event.customer_id, amount)


@dataclass
class RejectedRow(AggregateRootMixin):
    """A row that made no sense, as it was, and why."""

    id: str
    file: str
    number: int
    reason: str
    text: str

    @classmethod
    def of(cls, file: str, number: int, reason: str, text: str) -> "RejectedRow":
        """Return the entry for a row of a file; databases do not take the character NUL."""
        shown = text.replace("\0", "\N{SYMBOL FOR NULL}")
        return cls(id=f"{file}:{number}", file=file, number=number, reason=reason, text=shown)


class RowsTakenIn(DomainEvent):
    """Further rows of a file have been dealt with."""

    accepted: int
    rejected: int


class FileImport(AggregateRoot[str]):
    """How far a file has been taken in; its id is a digest of the content, not a name."""

    name: str
    through: int = 0
    accepted: int = 0
    rejected: int = 0

    def advance(self, after: int, through: int, accepted: int, rejected: int) -> None:
        """Note that the lines behind ``after``, up to ``through``, have been dealt with."""
        if after != self.through:
            raise InvariantViolationError(
                f"{self.name} has been taken in up to line {self.through}; rows behind line "
                f"{after} cannot follow. Run the import again: it goes on where it stands."
            )
        self.through = through
        self.accepted += accepted
        self.rejected += rejected
        self.add_event(RowsTakenIn(accepted=accepted, rejected=rejected))
