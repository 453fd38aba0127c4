"""How background work goes wrong."""

from typing import Any, cast

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


def described(error: BaseException) -> str:
    """Return the type and the text of ``error`` in one line; of a group, those of each error.

    Example:
        >>> described(ExceptionGroup("2 tasks failed", [OSError("no route"), ValueError()]))
        'OSError: no route; ValueError'
    """
    leaves = _leaves(error)
    if leaves != [error]:
        return "; ".join(described(leaf) for leaf in leaves)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def configuration_error_in(error: BaseException) -> ConfigurationError | None:
    """Return the error that makes it useless to try again, also from inside a group."""
    for leaf in _leaves(error):
        if isinstance(leaf, ConfigurationError):
            return leaf
    return None


def _leaves(error: BaseException) -> list[BaseException]:
    """Return the errors of a group, those of groups inside it too; an error alone is its own."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    inside: tuple[BaseException, ...] = cast("Any", error).exceptions
    return [leaf for each in inside for leaf in _leaves(each)]
