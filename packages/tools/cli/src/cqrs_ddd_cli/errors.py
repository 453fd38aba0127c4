"""What goes wrong at the command line: one line that says what to do, and an exit code."""

import os
import traceback
from collections.abc import Generator
from contextlib import contextmanager

import typer

from cqrs_ddd_core.primitives.error_text import described
from cqrs_ddd_core.primitives.errors import CQRSDDDError
from cqrs_ddd_core.runtime import ReferenceNotUsableError

TROUBLE = 1
USAGE = 2
INTERRUPTED = 130


class UsageError(CQRSDDDError):
    """The command was told something that makes no sense; exit code 2."""


class TroubleError(CQRSDDDError):
    """The command could not do what it was told; exit code 1."""


@contextmanager
def plain_errors() -> Generator[None]:
    """Say in one line what went wrong, and end with the code for it.

    With ``CQRS_DDD_DEBUG=1`` the traceback is printed as well.
    """
    try:
        yield
    except KeyboardInterrupt:
        _say("Interrupted. What was reported as done is done; run the command again to go on.")
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except ReferenceNotUsableError as error:
        _fail(error, hint="" if error.__cause__ is None else " CQRS_DDD_DEBUG=1 shows where.")
        raise typer.Exit(USAGE) from None
    except UsageError as error:
        _fail(error)
        raise typer.Exit(USAGE) from None
    except Exception as error:  # noqa: BLE001 - a driver's own too; nobody wants its traceback here
        _fail(error)
        raise typer.Exit(TROUBLE) from None


def _fail(error: Exception, hint: str = "") -> None:
    if os.environ.get("CQRS_DDD_DEBUG"):
        traceback.print_exception(error)
    text = str(error) if isinstance(error, CQRSDDDError) else described(error)
    _say(f"Error: {' '.join(text.split())}{hint}")


def _say(text: str) -> None:
    typer.echo(text, err=True)
