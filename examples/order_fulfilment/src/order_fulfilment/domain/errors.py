"""What the shop refuses, each with its reason."""

from cqrs_ddd_core import DomainError
from order_fulfilment.domain.line import Line


class LineRefusedError(DomainError):
    """A line makes no sense on its invoice."""

    def __init__(self, line: Line, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(reason)


class NegativePriceError(LineRefusedError):
    """Goods cannot cost less than nothing."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, f"the unit price {line.unit_price} is negative")


class WrongSignError(LineRefusedError):
    """An order hands goods out, a cancellation takes them back."""

    def __init__(self, line: Line, rule: str) -> None:
        super().__init__(line, f"{rule}, but the quantity is {line.quantity}")


class RecordedAlreadyError(LineRefusedError):
    """Another file has brought this line before."""

    def __init__(self, line: Line, invoice: str) -> None:
        super().__init__(line, f"invoice {invoice} has this line from another file already")


class NotSoldError(DomainError):
    """More cannot come back than was sold."""

    def __init__(self, order_id: str, stock_code: str, left: int, returned: int) -> None:
        self.order_id, self.stock_code = order_id, stock_code
        self.left, self.returned = left, returned
        super().__init__(f"{order_id} has {left} of {stock_code} left to return, not {returned}")
