"""The ``cqrs-ddd`` command."""

from importlib.metadata import version as version_of
from typing import Annotated

import typer

from cqrs_ddd_cli import events, inbox, jobs, outbox, projections, sagas, timers, worker

app = typer.Typer(
    name="cqrs-ddd",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(outbox.app, name="outbox")
app.add_typer(inbox.app, name="inbox")
app.add_typer(projections.app, name="projections")
app.add_typer(events.app, name="events")
app.add_typer(jobs.app, name="jobs")
app.add_typer(sagas.app, name="sagas")
app.add_typer(timers.app, name="timers")
app.add_typer(worker.app, name="worker")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_of("cqrs-ddd-cli"))
        raise typer.Exit


@app.callback()
def cqrs_ddd(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Look after an application on the CQRS-DDD Toolkit.

    Exit codes: 0 fine, 1 something is wrong or could not be done, 2 the command makes no sense.
    """


def main() -> None:
    """Run the command."""
    app()
