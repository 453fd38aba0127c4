"""A till as the library ``eventsourcing`` has it; imported where that is installed."""
# pyright: basic, reportMissingImports=false, reportMissingTypeStubs=false

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class BenchTill(Aggregate):
    """What is in the till."""

    def __init__(self) -> None:
        self.total = 0.0

    @event("Sold")
    def sell(self, sku: str, quantity: int, price: float) -> None:  # noqa: ARG002 - it is recorded
        """Take the money."""
        self.total += quantity * price


class BenchTills(Application):
    """Where tills are kept."""
