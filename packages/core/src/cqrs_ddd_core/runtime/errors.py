"""How background work goes wrong."""

from cqrs_ddd_core.primitives.error_text import described, leaves_of
from cqrs_ddd_core.primitives.errors import ConfigurationError, CQRSDDDError


class PartEndedError(CQRSDDDError):
    """A part ended though nobody had told it to; its worker runs it again.

    Attributes:
        part: the part's name.
    """

    def __init__(self, part: str) -> None:
        self.part = part
        super().__init__(
            f"{part} ended by itself. A part works until its stopping event is set; to do "
            "something now and then, use Periodic."
        )


class WorkerGaveUpError(CQRSDDDError):
    """A part failed too often in a row, and its worker ended all of them.

    Attributes:
        part: the part's name.
        failures: how often it failed in a row.
    """

    def __init__(self, part: str, failures: int, error: BaseException) -> None:
        self.part, self.failures = part, failures
        super().__init__(
            f"{part} failed {failures} times in a row, last with {described(error)}. Nothing that "
            "was acknowledged is lost; mend the cause and start the worker again."
        )


def configuration_error_in(error: BaseException) -> ConfigurationError | None:
    """Return the error that makes it useless to try again, also from inside a group."""
    for leaf in leaves_of(error):
        if isinstance(leaf, ConfigurationError):
            return leaf
    return None
