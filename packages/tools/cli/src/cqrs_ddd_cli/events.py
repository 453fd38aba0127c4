"""``cqrs-ddd events``: a look into the event store."""

import asyncio
from collections import Counter
from typing import Annotated, Any

import typer

from cqrs_ddd_cli.errors import TroubleError, UsageError, plain_errors
from cqrs_ddd_cli.events_view import print_event, show_counts
from cqrs_ddd_cli.output import AsJson, print_json, progress_bar, say
from cqrs_ddd_cli.target import App, Database, Target
from cqrs_ddd_core import FeedSubscription
from cqrs_ddd_core.ports import StoredEvent, StreamId

app = typer.Typer(
    help="Look into the event store.", no_args_is_help=True, rich_markup_mode="markdown"
)

Table = Annotated[str, typer.Option("--table", help="The event store's table, with --database.")]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="TYPE", help="Those of this type; may be repeated."),
]


@app.command()
def tail(
    *,
    app_: App = None,
    database: Database = None,
    table: Table = "events",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    type_: Types = None,
    as_json: AsJson = False,
) -> None:
    """Show the last events of the feed; as JSON, one object in a line."""
    with plain_errors():
        target = Target(app_, database, table)
        asyncio.run(_tail(target, lines, type_ or None, follow=follow, as_json=as_json))


@app.command()
def show(
    stream: Annotated[
        str, typer.Argument(metavar="STREAM", help="Such as Order/o-1, or tenant:Order/o-1.")
    ],
    *,
    app_: App = None,
    database: Database = None,
    table: Table = "events",
    after: Annotated[int, typer.Option("--after", min=0, help="Begin behind this version.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, at most.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Show the events of one stream, in order; as JSON, one object in a line."""
    with plain_errors():
        target = Target(app_, database, table)
        asyncio.run(_show(target, _stream(stream), after, limit, as_json=as_json))


@app.command()
def stats(
    *,
    app_: App = None,
    database: Database = None,
    table: Table = "events",
    last: Annotated[
        int, typer.Option("--last", min=1, help="Count so many positions, the last ones.")
    ] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Show how long the feed is, and how many events of which types came lately."""
    with plain_errors():
        asyncio.run(_stats(Target(app_, database, table), last, as_json=as_json))


async def _tail(
    target: Target, lines: int, types: list[str] | None, *, follow: bool, as_json: bool
) -> None:
    async with target.events() as store:
        latest, found = await store.latest_position(), list[StoredEvent]()
        if lines:
            backwards = store.read_all(
                before_position=latest + 1, event_types=types, backwards=True
            )
            async for event in backwards:
                found.append(event)
                if len(found) == lines:
                    break
            await backwards.aclose()
        for event in reversed(found):
            print_event(event, as_json=as_json)
        if not follow:
            if not found and not as_json:
                say("There are no such events." if types else "There are no events.")
            return
        subscription = FeedSubscription(store, after_position=latest, event_types=types)
        async for page in subscription.pages():
            for event in page.events:
                print_event(event, as_json=as_json)


async def _show(target: Target, stream: StreamId, after: int, limit: int, *, as_json: bool) -> None:
    count = 0
    async with target.events() as store:
        events = store.read_stream(stream, after_version=after, before_version=after + limit + 1)
        async for event in events:
            print_event(event, as_json=as_json)
            count += 1
    if not count:
        raise TroubleError(f"Stream {stream} has no events{f' behind {after}' if after else ''}.")


async def _stats(target: Target, last: int, *, as_json: bool) -> None:
    types, streams = Counter[str](), set[StreamId]()
    first: StoredEvent | None = None
    newest: StoredEvent | None = None
    async with target.events() as store:
        latest = await store.latest_position()
        after = max(0, latest - last)
        with progress_bar("Counting", latest - after, hidden=as_json) as advance:
            async for event in store.read_all(after_position=after, before_position=latest + 1):
                types[event.event_type] += 1
                streams.add(event.stream)
                first, newest = first or event, event
                advance(1)
    data: dict[str, Any] = {
        "latest_position": latest,
        "counted": types.total(),
        "streams": len(streams),
        "first_recorded_at": _time_of(first),
        "last_recorded_at": _time_of(newest),
        "types": dict(types.most_common()),
    }
    if as_json:
        print_json(data)
    else:
        show_counts(data)


def _time_of(event: StoredEvent | None) -> str | None:
    recorded_at = event.recorded_at if event is not None else None
    return None if recorded_at is None else recorded_at.isoformat()


def _stream(text: str) -> StreamId:
    """Return the stream that is written as ``str(StreamId)`` writes it."""
    kind, slash, aggregate_id = text.partition("/")
    tenant, colon, aggregate_type = kind.partition(":")
    if not slash or not kind or not aggregate_id:
        raise UsageError(f"{text!r} is no stream; write it as Order/o-1, or tenant:Order/o-1.")
    if not colon:
        return StreamId(kind, aggregate_id)
    return StreamId(aggregate_type, aggregate_id, tenant)
