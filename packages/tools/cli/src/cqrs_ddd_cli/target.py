"""Which storage a command works on: an application's, or that of a database."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

import typer

from cqrs_ddd_advanced_core.background_jobs import IBackgroundJobRepository
from cqrs_ddd_advanced_core.sagas import ISagaRepository
from cqrs_ddd_cli.application import (
    HasEventStore,
    HasInbox,
    HasJobs,
    HasOutbox,
    HasProjections,
    HasSagas,
    HasTimers,
    IOperableOutbox,
)
from cqrs_ddd_cli.database import (
    events_at,
    inbox_at,
    jobs_at,
    outbox_at,
    projections_at,
    sagas_at,
)
from cqrs_ddd_cli.errors import UsageError
from cqrs_ddd_core.ports import IEventStore, IInboxStorage, IProjectionOperations
from cqrs_ddd_core.runtime import open_reference

T = TypeVar("T")

App = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        envvar="CQRS_DDD_APP",
        help="The application: an object with an outbox, inbox, event_store or projections, or a "
        "function that opens it.",
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="CQRS_DDD_DATABASE",
        show_envvar=True,
        help="The database instead: postgresql://, mysql://, mariadb:// or sqlite:/// URL.",
    ),
]
OutboxTable = Annotated[str, typer.Option("--table", help="The outbox's table, with --database.")]
EventTable = Annotated[
    str, typer.Option("--events-table", help="The event store's table, with --database.")
]
ProjectionTable = Annotated[
    str, typer.Option("--table", help="The projections' table, with --database.")
]
InboxTable = Annotated[str, typer.Option("--table", help="The inbox's table, with --database.")]

JobTable = Annotated[str, typer.Option("--table", help="The jobs' table, with --database.")]
SagaTable = Annotated[str, typer.Option("--table", help="The sagas' table, with --database.")]
TimerTable = Annotated[str, typer.Option("--table", help="The timers' table, with --database.")]


@dataclass(frozen=True)
class Target:
    """What a command was pointed at.

    Attributes:
        app: ``module:attribute``, or None.
        database: a URL, or None.
        table: the name of the table in the database.

    Raises:
        UsageError: both or neither was given.
    """

    app: str | None
    database: str | None
    table: str

    def __post_init__(self) -> None:
        if (self.app is None) == (self.database is None):
            raise UsageError(
                "Say what to work on: --app module:attribute, or --database URL (one of them). "
                "CQRS_DDD_APP and CQRS_DDD_DATABASE say it once for all commands."
            )

    @asynccontextmanager
    async def outbox(self) -> AsyncGenerator[IOperableOutbox]:
        """Open the outbox."""
        if self.app is None:
            async with outbox_at(self.database or "", self.table) as storage:
                yield storage
            return
        async with open_reference(
            self.app, _has_outbox, "an application with an outbox"
        ) as application:
            outbox: object = application.outbox
            if not isinstance(outbox, IOperableOutbox):
                raise UsageError(
                    f"The outbox of {self.app} is a {type(outbox).__name__}, which cannot be "
                    "looked after; offer the storage that it works on."
                )
            yield outbox

    def inbox(self) -> AbstractAsyncContextManager[IInboxStorage]:
        """Open the inbox."""
        return self._opened(inbox_at, HasInbox, "inbox", "an inbox")

    def jobs(self) -> AbstractAsyncContextManager[IBackgroundJobRepository]:
        """Open the background jobs."""
        return self._opened(jobs_at, HasJobs, "jobs", "jobs")

    def timers(self) -> AbstractAsyncContextManager[IBackgroundJobRepository]:
        """Open the scheduled commands."""
        return self._opened(jobs_at, HasTimers, "timers", "timers")

    def sagas(self) -> AbstractAsyncContextManager[ISagaRepository]:
        """Open the sagas."""
        return self._opened(sagas_at, HasSagas, "sagas", "sagas")

    def events(self, table: str | None = None) -> AbstractAsyncContextManager[IEventStore]:
        """Open the event store; in a database, in ``table`` or the one that was named."""
        return self._opened(events_at, HasEventStore, "event_store", "an event_store", table)

    @asynccontextmanager
    async def _opened(
        self,
        at: Callable[[str, str], AbstractAsyncContextManager[T]],
        protocol: type[object],
        attribute: str,
        wanted: str,
        table: str | None = None,
    ) -> AsyncGenerator[T]:
        """Yield what is in the database, or what the application has under ``attribute``."""
        if self.app is None:
            async with at(self.database or "", table or self.table) as storage:
                yield storage
            return

        def has_it(found: object) -> bool:
            return isinstance(found, protocol)

        async with open_reference(self.app, has_it, f"an application with {wanted}") as application:
            yield getattr(application, attribute)

    @asynccontextmanager
    async def projections(
        self, event_table: str
    ) -> AsyncGenerator[tuple[IProjectionOperations, IEventStore]]:
        """Open the storage of projections, and the events that they follow."""
        if self.app is None:
            async with (
                projections_at(self.database or "", self.table) as storage,
                self.events(event_table) as events,
            ):
                yield storage, events
            return
        async with open_reference(
            self.app, _has_projections, "an application with projections and an event_store"
        ) as application:
            yield application.projections, application.event_store


def _has_projections(found: object) -> bool:
    return isinstance(found, HasProjections)


def _has_outbox(found: object) -> bool:
    return isinstance(found, HasOutbox)
