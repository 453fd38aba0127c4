"""Finds what ``module:attribute`` names, and opens it."""

import importlib
import inspect
import sys
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cqrs_ddd_core.primitives.error_text import described
from cqrs_ddd_core.primitives.errors import ConfigurationError


class ReferenceNotUsableError(ConfigurationError):
    """A ``module:attribute`` names nothing, or not what is wanted.

    Attributes:
        reference: as it was written.
    """

    def __init__(self, reference: str, problem: str) -> None:
        self.reference = reference
        super().__init__(problem)


@asynccontextmanager
async def open_reference(
    reference: str, is_wanted: Callable[[Any], bool], wanted: str
) -> AsyncGenerator[Any]:
    """Yield what ``reference`` names, or what comes of it; close at the end what was opened.

    A factory is called, an awaitable awaited, an async context manager entered, in whatever order
    they come, until the result is what is wanted.

    Args:
        reference: ``module:attribute``; the attribute may have dots.
        is_wanted: tells what is wanted.
        wanted: what that is, for the error.

    Raises:
        ReferenceNotUsableError: there is no such thing, or nothing of the kind comes of it.
    """
    found: Any = load_reference(reference)
    async with AsyncExitStack() as stack:
        while _is_class(found) or not is_wanted(found):
            if hasattr(found, "__aenter__") and not _is_class(found):
                found = await stack.enter_async_context(found)
            elif inspect.isawaitable(found):
                found = await found
            elif callable(found):
                found = _called(found, reference)
            else:
                raise ReferenceNotUsableError(
                    reference,
                    f"{reference} gives a {type(found).__name__}, but {wanted} is needed: the "
                    "object itself, or a function without arguments that returns it.",
                )
        yield found


def load_reference(reference: str) -> Any:
    """Return the object that ``module:attribute`` names; modules are found from here, too.

    Raises:
        ReferenceNotUsableError: there is no such thing, or its module cannot be imported.
    """
    module_name, _, path = reference.partition(":")
    if not module_name or not path:
        raise ReferenceNotUsableError(
            reference, f"{reference!r} names nothing; write it as package.module:attribute."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: Any = _module(module_name, reference)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            close = get_close_matches(name, dir(found), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            problem = f"{module_name} has no {path!r}.{hint}"
            raise ReferenceNotUsableError(reference, problem) from None
    return found


def _module(name: str, reference: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ReferenceNotUsableError(
                reference,
                f"There is no module {error.name!r} in {Path.cwd()} or among what is installed. "
                "Go to the folder that it is in, or install it.",
            ) from None
        raise ReferenceNotUsableError(reference, _why_broken(name, error)) from error
    except Exception as error:
        raise ReferenceNotUsableError(reference, _why_broken(name, error)) from error


def _why_broken(name: str, error: Exception) -> str:
    """Return what is wrong with a module of the user's, and where."""
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{name} cannot be imported: {described(error)} ({innermost.filename}:{innermost.lineno})."
    )


def _called(factory: Callable[[], Any], reference: str) -> Any:
    try:
        inspect.signature(factory).bind()
    except TypeError:
        raise ReferenceNotUsableError(
            reference,
            f"{reference} needs arguments. Give a function without: it knows how to open the "
            "application.",
        ) from None
    except ValueError:  # some built-in callables have no signature; to call them tells as well
        pass
    return factory()


def _is_class(found: Any) -> bool:
    """Whether it is a class, which has the attributes of its objects in name only."""
    return isinstance(found, type)
