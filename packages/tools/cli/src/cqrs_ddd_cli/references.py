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

from cqrs_ddd_cli.errors import UsageError
from cqrs_ddd_core.primitives.error_text import described


@asynccontextmanager
async def opened(
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
        UsageError: there is no such thing, or nothing of the kind comes of it.
    """
    found: Any = load(reference)
    async with AsyncExitStack() as stack:
        while _is_class(found) or not is_wanted(found):
            if hasattr(found, "__aenter__") and not _is_class(found):
                found = await stack.enter_async_context(found)
            elif inspect.isawaitable(found):
                found = await found
            elif callable(found):
                found = _called(found, reference)
            else:
                raise UsageError(
                    f"{reference} gives a {type(found).__name__}, but {wanted} is needed: the "
                    "object itself, or a function without arguments that returns it."
                )
        yield found


def load(reference: str) -> Any:
    """Return the object that ``module:attribute`` names; modules are found from here, too.

    Raises:
        UsageError: there is no such thing, or its module cannot be imported.
    """
    module_name, _, path = reference.partition(":")
    if not module_name or not path:
        raise UsageError(f"{reference!r} names nothing; write it as package.module:attribute.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: Any = _module(module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            close = get_close_matches(name, dir(found), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{module_name} has no {path!r}.{hint}") from None
    return found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"There is no module {error.name!r} in {Path.cwd()} or among what is installed. "
                "Go to the folder that it is in, or install it."
            ) from None
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> UsageError:
    """Return the error that says where a module of the user's failed."""
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    return UsageError(
        f"{name} cannot be imported: {described(error)} "
        f"({innermost.filename}:{innermost.lineno}). CQRS_DDD_DEBUG=1 shows the traceback."
    )


def _called(factory: Callable[[], Any], reference: str) -> Any:
    try:
        inspect.signature(factory).bind()
    except TypeError:
        raise UsageError(
            f"{reference} needs arguments. Give a function without: it knows how to open the "
            "application."
        ) from None
    except ValueError:  # some built-in callables have no signature; to call them tells as well
        pass
    return factory()


def _is_class(found: Any) -> bool:
    """Whether it is a class, which has the attributes of its objects in name only."""
    return isinstance(found, type)
