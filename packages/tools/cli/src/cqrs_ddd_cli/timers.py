"""``cqrs-ddd timers``: commands that wait for their time."""

import asyncio
from typing import Annotated

import typer

from cqrs_ddd_advanced_core.scheduling import CommandScheduler
from cqrs_ddd_cli.errors import TROUBLE, plain_errors
from cqrs_ddd_cli.job_view import job_as_data, show_jobs
from cqrs_ddd_cli.options import Limit
from cqrs_ddd_cli.output import AsJson, print_json, say
from cqrs_ddd_cli.target import App, Database, Target, TimerTable

app = typer.Typer(
    help="Look after scheduled commands.", no_args_is_help=True, rich_markup_mode="markdown"
)

Queue = Annotated[str, typer.Option("--queue", help="The queue that they wait in.")]


@app.command("list")
def list_(
    *,
    app_: App = None,
    database: Database = None,
    table: TimerTable = "timers",
    queue: Queue = "timers",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the timers that have not gone off, the next one first."""

    async def run() -> None:
        async with Target(app_, database, table).timers() as timers:
            found = await CommandScheduler(timers, queue=queue).list_timers(limit)
        if as_json:
            print_json({"timers": [job_as_data(timer) for timer in found]})
        elif found:
            show_jobs("Timers", found)
        else:
            say("No timer waits.")

    with plain_errors():
        asyncio.run(run())


@app.command()
def cancel(
    names: Annotated[
        list[str], typer.Argument(metavar="KEY_OR_ID", help="These timers, by key or id.")
    ],
    *,
    app_: App = None,
    database: Database = None,
    table: TimerTable = "timers",
    queue: Queue = "timers",
    as_json: AsJson = False,
) -> None:
    """Cancel timers, recurring ones for good."""

    async def run() -> dict[str, bool]:
        async with Target(app_, database, table).timers() as timers:
            scheduler = CommandScheduler(timers, queue=queue)
            return {name: await scheduler.cancel(name) for name in names}

    with plain_errors():
        outcome = asyncio.run(run())
        missing = [name for name, cancelled in outcome.items() if not cancelled]
        if as_json:
            print_json({"cancelled": [n for n in names if outcome[n]], "missing": missing})
        else:
            say(f"Cancelled: {len(outcome) - len(missing):,}.")
            for name in missing:
                say(f"No timer waits under {name!r}: it went off, or never was.", style="red")
        if missing:
            raise typer.Exit(TROUBLE)
