"""``cqrs-ddd worker``: runs the parts of an application that work in the background."""

import asyncio
import logging
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cqrs_ddd_cli.durations import duration
from cqrs_ddd_cli.errors import TroubleError, plain_errors
from cqrs_ddd_cli.output import AsJson, print_json, say
from cqrs_ddd_core.runtime import read_health, serve_reference

_MAX_AGE = 30.0

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
    health_file: Annotated[
        Path | None,
        typer.Option("--health-file", help="Keep the status in this file, for `worker health`."),
    ] = None,
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
        raise typer.Exit(asyncio.run(serve_reference(reference, health=health_file)))


@app.command()
def health(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="The --health-file of a running worker.")
    ],
    *,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Be content when the process gets on, though parts of it may be in trouble.",
        ),
    ] = False,
    max_age: Annotated[
        timedelta | None,
        typer.Option(
            "--max-age",
            parser=duration,
            metavar="DURATION",
            help="How old the file may be (30s); a process that is dead or hangs writes none.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a worker on this machine is well; exit code 0 when it is, else 1.

    For the probes of a container: readiness as it is, liveness with --live, which does not ask for
    a restart because a broker is away.
    """
    with plain_errors():
        seconds = _MAX_AGE if max_age is None else max_age.total_seconds()
        found = read_health(path, max_age=seconds, only_alive=live)
        if as_json:
            print_json({"problem": found.problem, **found.status})
        if found.problem is not None:
            raise TroubleError(found.problem)
        if not as_json:
            say(f"Well: {', '.join(part['name'] for part in found.status['parts'])}.")
