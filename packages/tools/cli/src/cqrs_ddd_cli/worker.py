"""``cqrs-ddd worker``: runs the parts of an application that work in the background."""

import asyncio
import logging
from enum import StrEnum
from typing import Annotated

import typer

from cqrs_ddd_cli.errors import plain_errors
from cqrs_ddd_core.runtime import serve_reference

app = typer.Typer(
    help="Run relays, consumers and other background work.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


class LogLevel(StrEnum):
    """How much to log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.callback()
def worker() -> None:
    """Run relays, consumers and other background work."""


@app.command()
def run(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:ATTRIBUTE",
            help="A Worker or a part of one, or a function that gives it: plain, async or an "
            "async context manager.",
        ),
    ],
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="How much to log, to the standard error.")
    ] = LogLevel.INFO,
) -> None:
    """Run a worker until SIGTERM or SIGINT.

    The first signal has it finish what is under way, the second has it leave at once. Exit codes:
    0 when everything was finished, 1 when a part gave up or was cut off, 78 when a part is wired
    wrongly (do not just restart it), 128 + signal when it left at once.
    """
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    with plain_errors():
        raise typer.Exit(asyncio.run(serve_reference(reference)))
