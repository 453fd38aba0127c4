"""Errors in one line, for people and logs."""

from typing import Any, cast


def described(error: BaseException) -> str:
    """Return the type and the text of ``error`` in one line; of a group, those of each error.

    Example:
        >>> described(ExceptionGroup("2 tasks failed", [OSError("no route"), ValueError()]))
        'OSError: no route; ValueError'
    """
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(described(leaf) for leaf in leaves_of(cast("BaseException", error)))
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the errors of a group, those of groups inside it too; an error alone is its own."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    inside: tuple[BaseException, ...] = cast("Any", error).exceptions
    return [leaf for each in inside for leaf in leaves_of(each)]
