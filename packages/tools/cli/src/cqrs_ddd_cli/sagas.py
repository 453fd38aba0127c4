"""``cqrs-ddd sagas``: what runs, what is stuck and why, and what to do about it."""

import asyncio
import getpass
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, NamedTuple

import typer

from cqrs_ddd_advanced_core.sagas import (
    ISagaRepository,
    SagaFilter,
    SagaInstance,
    SagaKind,
    SagaOperations,
    SagaStatus,
)
from cqrs_ddd_cli.bulk import report
from cqrs_ddd_cli.durations import duration
from cqrs_ddd_cli.errors import TROUBLE, UsageError, plain_errors
from cqrs_ddd_cli.options import Limit
from cqrs_ddd_cli.output import AsJson, print_json, say
from cqrs_ddd_cli.purging import purge_in_batches
from cqrs_ddd_cli.saga_view import entry_as_data, saga_as_data, show_counts, show_saga, show_sagas
from cqrs_ddd_cli.target import App, Database, SagaTable, Target
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import CQRSDDDError

app = typer.Typer(help="Look after sagas.", no_args_is_help=True, rich_markup_mode="markdown")

_STUCK = tuple(status for status in SagaStatus if status.needs_a_person)
_AT_ONCE = 500
Statuses = Annotated[
    list[SagaStatus] | None, typer.Option("--status", help="In this status; may be repeated.")
]
Kinds = Annotated[list[SagaKind] | None, typer.Option("--kind", help="Of this kind.")]
Types = Annotated[
    list[str] | None, typer.Option("--type", metavar="TYPE", help="Of this type; may be repeated.")
]
SagaIds = Annotated[list[str] | None, typer.Argument(metavar="SAGA_ID", help="These sagas.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the sagas' journals.")]


class Moves(NamedTuple):
    """What has become of several sagas: those that were moved, why others were not."""

    done: list[str]
    skipped: dict[str, str]


@app.command("list")
def list_(
    *,
    app_: App = None,
    database: Database = None,
    table: SagaTable = "sagas",
    status: Statuses = None,
    kind: Kinds = None,
    type_: Types = None,
    correlation: Annotated[
        str | None, typer.Option("--correlation", help="Of this conversation.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this tenant.")] = None,
    idle: Annotated[
        timedelta | None,
        typer.Option("--idle", parser=duration, metavar="DURATION", help="Not moved for so long."),
    ] = None,
    limit: Limit = 50,
    after: Annotated[
        str | None, typer.Option("--after", metavar="SAGA_ID", help="Those begun before it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List sagas, the latest begun first."""
    wanted = SagaFilter(
        statuses=status,
        kinds=kind,
        saga_types=type_,
        correlation_id=correlation,
        tenant_id=tenant,
        updated_before=None if idle is None else utc_now() - idle,
    )

    async def run() -> None:
        async with Target(app_, database, table).sagas() as sagas:
            found = await sagas.search(wanted, limit=limit, after=after)
        if as_json:
            print_json({"sagas": [saga_as_data(saga) for saga in found]})
        elif found:
            show_sagas(found)
        else:
            say("There are no such sagas.")

    with plain_errors():
        asyncio.run(run())


@app.command()
def show(
    saga_id: Annotated[str, typer.Argument(metavar="SAGA_ID", help="The saga.")],
    *,
    app_: App = None,
    database: Database = None,
    table: SagaTable = "sagas",
    as_json: AsJson = False,
) -> None:
    """Show everything about a saga, with the history of each step and its error."""

    async def run() -> None:
        async with Target(app_, database, table).sagas() as sagas:
            operations = SagaOperations(sagas)
            saga = await operations.get_saga_state(saga_id)
            history = await operations.history(saga_id)
        if as_json:
            state = saga.data.decode(errors="replace")
            entries = [entry_as_data(entry) for entry in history]
            print_json({**saga_as_data(saga), "state": state, "history": entries})
        else:
            show_saga(saga, history)

    with plain_errors():
        asyncio.run(run())


@app.command()
def stats(
    *,
    app_: App = None,
    database: Database = None,
    table: SagaTable = "sagas",
    as_json: AsJson = False,
) -> None:
    """Count the sagas by type and status; exit code 1 when some wait for a person."""

    async def run() -> bool:
        async with Target(app_, database, table).sagas() as sagas:
            counts = await sagas.statistics()
        if as_json:
            print_json(
                {name: {str(k): v for k, v in each.items()} for name, each in counts.items()}
            )
        else:
            show_counts(counts)
        return any(each.get(status) for each in counts.values() for status in _STUCK)

    with plain_errors():
        if asyncio.run(run()):
            raise typer.Exit(TROUBLE)


@app.command()
def retry(
    saga_ids: SagaIds = None,
    *,
    app_: App = None,
    database: Database = None,
    table: SagaTable = "sagas",
    stuck: Annotated[bool, typer.Option("--stuck", help="All that wait for a person.")] = False,
    type_: Types = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Give what sagas do now all its attempts again; one that compensates goes on doing so."""

    async def run() -> Moves:
        async with Target(app_, database, table).sagas() as sagas:
            operations = _operations(sagas)
            wanted = SagaFilter(statuses=_STUCK, saga_types=type_)
            chosen = saga_ids or [saga async for saga in _all_ids(sagas, wanted)]
            return await _move(chosen, operations.retry, reason)

    with plain_errors():
        if bool(saga_ids) == stuck:
            raise UsageError("Say which sagas to retry: by id, or --stuck (one of them).")
        report("Retried", *asyncio.run(run()), as_json=as_json)


@app.command()
def compensate(
    saga_ids: SagaIds = None,
    *,
    app_: App = None,
    database: Database = None,
    table: SagaTable = "sagas",
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Have everything undone that sagas have done; there is no way back from that."""
    with plain_errors():
        chosen, target = _given(saga_ids), Target(app_, database, table)
        moves = asyncio.run(_move_given(target, chosen, SagaOperations.compensate, reason))
        report("To be undone", *moves, as_json=as_json)


@app.command()
def resume(
    saga_ids: SagaIds = None,
    *,
    app_: App = None,
    database: Database = None,
    table: SagaTable = "sagas",
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Have suspended sagas go on."""
    with plain_errors():
        chosen, target = _given(saga_ids), Target(app_, database, table)
        moves = asyncio.run(_move_given(target, chosen, SagaOperations.resume, reason))
        report("Resumed", *moves, as_json=as_json)


@app.command()
def purge(
    *,
    older_than: Annotated[
        timedelta,
        typer.Option(
            "--older-than",
            parser=duration,
            metavar="DURATION",
            help="Those that finished longer ago than this, such as 90d.",
        ),
    ],
    app_: App = None,
    database: Database = None,
    table: SagaTable = "sagas",
    as_json: AsJson = False,
) -> None:
    """Forget finished sagas. An event that comes after that may begin its saga once more."""

    async def run() -> int:
        async with Target(app_, database, table).sagas() as sagas:
            return await purge_in_batches(sagas.purge, older_than, None, hidden=as_json)

    with plain_errors():
        purged = asyncio.run(run())
        if as_json:
            print_json({"purged": purged})
        else:
            say(f"Purged: {purged:,}.")


def _given(saga_ids: Sequence[str] | None) -> Sequence[str]:
    if not saga_ids:
        raise UsageError("Say which sagas, by id; `cqrs-ddd sagas list` shows them.")
    return saga_ids


def _operations(sagas: ISagaRepository) -> SagaOperations:
    """Return what moves sagas in the name of who types the command."""
    try:
        return SagaOperations(sagas, operator=getpass.getuser())
    except (OSError, KeyError):  # a container's user without a name
        return SagaOperations(sagas)


async def _all_ids(sagas: ISagaRepository, wanted: SagaFilter) -> AsyncGenerator[str]:
    after: str | None = None
    while page := await sagas.search(wanted, limit=_AT_ONCE, after=after):
        for saga in page:
            yield saga.saga_id
        after = page[-1].saga_id


async def _move_given(
    target: Target,
    saga_ids: Sequence[str],
    move: Callable[[SagaOperations, str, str], Awaitable[SagaInstance]],
    reason: str,
) -> Moves:
    async with target.sagas() as sagas:
        return await _move(saga_ids, partial(move, _operations(sagas)), reason)


async def _move(
    saga_ids: Sequence[str], move: Callable[[str, str], Awaitable[SagaInstance]], reason: str
) -> Moves:
    moves = Moves([], {})
    for saga_id in saga_ids:
        try:
            await move(saga_id, reason)
        except CQRSDDDError as error:
            moves.skipped[saga_id] = str(error)
        else:
            moves.done.append(saga_id)
    return moves
