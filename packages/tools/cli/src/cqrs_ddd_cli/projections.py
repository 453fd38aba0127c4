"""``cqrs-ddd projections``: how far each has come, what is parked, rebuilds."""

import asyncio
from typing import Annotated

import typer

from cqrs_ddd_cli.errors import TROUBLE, TroubleError, UsageError, plain_errors
from cqrs_ddd_cli.output import AsJson, print_json, progress_bar, say
from cqrs_ddd_cli.projections_view import (
    parked_as_data,
    report_as_data,
    show_parked,
    show_reports,
    troubles_of,
)
from cqrs_ddd_cli.target import App, Database, EventTable, ProjectionTable, Target
from cqrs_ddd_core.ports import IEventStore, IProjectionOperations, ProjectionVersion, VersionStatus
from cqrs_ddd_projections import report_on, wait_until_live

app = typer.Typer(
    help="Look after read models that follow the events.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Name = Annotated[str, typer.Argument(metavar="PROJECTION", help="Its name.")]
MaybeName = Annotated[
    str | None, typer.Argument(metavar="PROJECTION", help="Its name; all by default.")
]


@app.command()
def status(
    name: MaybeName = None,
    *,
    app_: App = None,
    database: Database = None,
    table: ProjectionTable = "projections",
    events_table: EventTable = "events",
    check: Annotated[
        bool, typer.Option("--check", help="End with code 1 when something is wrong.")
    ] = False,
    max_lag: Annotated[
        int | None,
        typer.Option("--max-lag", min=0, help="It is wrong to be more positions behind."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how far each version of a projection is behind, and what is wrong.

    Wrong are projections that have stopped, parked events, and a projection that is behind while
    nobody works on it. With --check, the exit code says so: 0 when all is well, else 1.
    """
    with plain_errors():
        target = Target(app_, database, table)
        troubles = asyncio.run(_status(target, events_table, name, max_lag, as_json=as_json))
        if check and troubles:
            raise typer.Exit(TROUBLE)


@app.command()
def rebuild(
    name: Name,
    *,
    app_: App = None,
    database: Database = None,
    table: ProjectionTable = "projections",
    events_table: EventTable = "events",
    partitions: Annotated[
        int | None, typer.Option("--partitions", min=1, help="How many; as before by default.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show progress until the new version is live.")
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up the rebuild that is under way instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the read model anew from the first event on, beside the one that is read.

    The projection's workers do it. The old version is read until the new one has caught up; then
    it is replaced at once, and dropped. Side effects are not repeated.
    """
    with plain_errors():
        target = Target(app_, database, table)
        if abandon:
            asyncio.run(_abandon(target, events_table, name, as_json=as_json))
        else:
            asyncio.run(
                _rebuild(target, events_table, name, partitions, wait=wait, as_json=as_json)
            )


@app.command()
def pause(
    name: Name,
    *,
    app_: App = None,
    database: Database = None,
    table: ProjectionTable = "projections",
    events_table: EventTable = "events",
    as_json: AsJson = False,
) -> None:
    """Have every worker leave the projection alone; nothing is written once this has ended."""
    with plain_errors():
        target = Target(app_, database, table)
        asyncio.run(_rest(target, events_table, name, pauses=True, as_json=as_json))


@app.command()
def resume(
    name: Name,
    *,
    app_: App = None,
    database: Database = None,
    table: ProjectionTable = "projections",
    events_table: EventTable = "events",
    as_json: AsJson = False,
) -> None:
    """Have a projection go on that was paused, or has stopped at an event: that one comes first."""
    with plain_errors():
        target = Target(app_, database, table)
        asyncio.run(_rest(target, events_table, name, pauses=False, as_json=as_json))


@app.command()
def parked(
    name: MaybeName = None,
    *,
    app_: App = None,
    database: Database = None,
    table: ProjectionTable = "projections",
    events_table: EventTable = "events",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the keys whose events wait, with the error that holds them up."""
    with plain_errors():
        target = Target(app_, database, table)
        asyncio.run(_parked(target, events_table, name, limit, as_json=as_json))


@app.command()
def retry(
    name: Name,
    key: Annotated[list[str] | None, typer.Argument(metavar="KEY", help="These keys.")] = None,
    *,
    app_: App = None,
    database: Database = None,
    table: ProjectionTable = "projections",
    events_table: EventTable = "events",
    everything: Annotated[bool, typer.Option("--all", help="All of its keys.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have parked events tried again, and then what waits behind them, in order."""
    with plain_errors():
        if bool(key) == everything:
            raise UsageError("Say which: keys, as `parked` lists them, or --all.")
        target = Target(app_, database, table)
        asyncio.run(_retry(target, events_table, name, key, as_json=as_json))


async def _status(
    target: Target, events_table: str, name: str | None, max_lag: int | None, *, as_json: bool
) -> list[str]:
    async with target.projections(events_table) as (storage, events):
        reports = await report_on(storage, events, name)
    if name is not None and not reports:
        raise _unknown(name)
    troubles = troubles_of(reports, max_lag)
    if as_json:
        data = [report_as_data(report) for report in reports]
        print_json({"projections": data, "troubles": troubles})
    elif reports:
        show_reports(reports, troubles)
    else:
        say("No projection has run yet.")
    return troubles


async def _rebuild(
    target: Target,
    events_table: str,
    name: str,
    partitions: int | None,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    async with target.projections(events_table) as (storage, events):
        version = await storage.rebuild(name, partitions=partitions)
        if version is None:
            raise _unknown(name)
        if not wait and not as_json:
            say(f"{version} is built by the projection's workers; `status` shows how it gets on.")
        if wait:
            await _wait(storage, events, version, hidden=as_json)
            if not as_json:
                say(f"{version} is live.")
    if as_json:
        print_json({"projection": name, "version": version.version, "live": wait})


async def _wait(
    storage: IProjectionOperations,
    events: IEventStore,
    version: ProjectionVersion,
    *,
    hidden: bool,
) -> None:
    """Show progress until ``version`` is live."""
    done = 0
    with progress_bar("Rebuilding", await events.latest_position(), hidden=hidden) as advance:

        def show(status: VersionStatus) -> None:
            nonlocal done
            advance(status.position - done)
            done = status.position

        await wait_until_live(storage, version, show)


async def _abandon(target: Target, events_table: str, name: str, *, as_json: bool) -> None:
    async with target.projections(events_table) as (storage, _):
        if not await storage.abandon(name):
            raise TroubleError(
                f"No rebuild of {name!r} can be given up: there is none, or it takes over already."
            )
    _done({"abandoned": name}, f"The rebuild of {name} is given up.", as_json=as_json)


async def _rest(
    target: Target, events_table: str, name: str, *, pauses: bool, as_json: bool
) -> None:
    async with target.projections(events_table) as (storage, _):
        known = await (storage.pause(name) if pauses else storage.resume(name))
        if not known:
            raise _unknown(name)
    word = "paused" if pauses else "resumed"
    _done({word: name}, f"{name} is {word}.", as_json=as_json)


async def _parked(
    target: Target, events_table: str, name: str | None, limit: int, *, as_json: bool
) -> None:
    async with target.projections(events_table) as (storage, _):
        found = await storage.parked(name, limit)
    if as_json:
        print_json({"parked": [parked_as_data(entry) for entry in found]})
    elif found:
        show_parked(found)
    else:
        say("No events are parked.")


async def _retry(
    target: Target, events_table: str, name: str, keys: list[str] | None, *, as_json: bool
) -> None:
    async with target.projections(events_table) as (storage, _):
        count = await storage.retry(name, keys)
    if keys and not count:
        raise TroubleError(f"No events of {', '.join(keys)} are parked in {name!r}.")
    text = f"Tried again soon: {count} key(s), where a worker runs."
    _done({"retried": count}, text, as_json=as_json)


def _done(data: dict[str, object], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(data)
    else:
        say(text)


def _unknown(name: str) -> TroubleError:
    return TroubleError(
        f"There is no projection {name!r} here; `cqrs-ddd projections status` lists those that "
        "have run."
    )
