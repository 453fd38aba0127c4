"""``cqrs-ddd jobs``: what waits, runs and failed, and what to do about it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from cqrs_ddd_advanced_core.background_jobs import (
    BackgroundJobAdminService,
    BackgroundJobService,
    BulkResult,
    JobStatus,
)
from cqrs_ddd_cli.bulk import report
from cqrs_ddd_cli.errors import UsageError, plain_errors
from cqrs_ddd_cli.job_view import (
    job_as_data,
    show_job,
    show_jobs,
    show_statistics,
    statistics_as_data,
)
from cqrs_ddd_cli.output import AsJson, print_json, say
from cqrs_ddd_cli.target import App, Database, JobTable, Target

app = typer.Typer(
    help="Look after background jobs.", no_args_is_help=True, rich_markup_mode="markdown"
)

_TABLE = "background_jobs"
_AT_ONCE = 500
Statuses = Annotated[
    list[JobStatus] | None, typer.Option("--status", help="In this status; may be repeated.")
]
Queue = Annotated[str | None, typer.Option("--queue", help="Of this queue.")]
Type = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Of this type.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many to show, at most.")]
JobIds = Annotated[list[str] | None, typer.Argument(metavar="JOB_ID", help="These jobs.")]


@app.command("list")
def list_(
    *,
    app_: App = None,
    database: Database = None,
    table: JobTable = _TABLE,
    status: Statuses = None,
    queue: Queue = None,
    type_: Type = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs: unfinished ones by due time, then finished ones, the latest first."""

    async def run() -> None:
        async with Target(app_, database, table).jobs() as jobs:
            found = await jobs.list_jobs(status, queue=queue, job_type=type_, limit=limit)
        if as_json:
            print_json({"jobs": [job_as_data(job) for job in found]})
        elif found:
            show_jobs("Jobs", found)
        else:
            say("There are no such jobs.")

    with plain_errors():
        asyncio.run(run())


@app.command()
def show(
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="The job.")],
    *,
    app_: App = None,
    database: Database = None,
    table: JobTable = _TABLE,
    as_json: AsJson = False,
) -> None:
    """Show everything about a job: payload, progress, result, last error."""

    async def run() -> None:
        async with Target(app_, database, table).jobs() as jobs:
            job = await BackgroundJobService(jobs).get(job_id)
        if as_json:
            print_json({**job_as_data(job), "payload": job.payload, "result": job.result})
        else:
            show_job(job)

    with plain_errors():
        asyncio.run(run())


@app.command()
def stats(
    *,
    app_: App = None,
    database: Database = None,
    table: JobTable = _TABLE,
    as_json: AsJson = False,
) -> None:
    """Count the jobs by status and queue."""

    async def run() -> None:
        async with Target(app_, database, table).jobs() as jobs:
            statistics = await jobs.statistics()
        if as_json:
            print_json(statistics_as_data(statistics))
        else:
            show_statistics(statistics)

    with plain_errors():
        asyncio.run(run())


@app.command()
def retry(
    job_ids: JobIds = None,
    *,
    app_: App = None,
    database: Database = None,
    table: JobTable = _TABLE,
    failed: Annotated[bool, typer.Option("--failed", help="All that have failed.")] = False,
    type_: Type = None,
    as_json: AsJson = False,
) -> None:
    """Give failed or cancelled jobs all their attempts again, the first one now."""

    async def run() -> BulkResult:
        async with Target(app_, database, table).jobs() as jobs:
            admin, result = (
                BackgroundJobAdminService(BackgroundJobService(jobs)),
                BulkResult([], {}),
            )
            if job_ids:
                return await admin.bulk_retry(job_ids)
            while True:
                found = await admin.list_jobs(
                    [JobStatus.FAILED], _AT_ONCE, len(result.skipped), job_type=type_
                )
                batch = await admin.bulk_retry(job.job_id for job in found)
                result.done.extend(batch.done)
                result.skipped.update(batch.skipped)
                if len(found) < _AT_ONCE:
                    return result

    with plain_errors():
        if bool(job_ids) == failed:
            raise UsageError("Say which jobs to retry: by id, or --failed (one of them).")
        report("Retried", *asyncio.run(run()), as_json=as_json)


@app.command()
def cancel(
    job_ids: JobIds = None,
    *,
    app_: App = None,
    database: Database = None,
    table: JobTable = _TABLE,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs that wait, and have those stopped that run, at their worker's next heartbeat."""

    async def run(ids: Sequence[str]) -> BulkResult:
        async with Target(app_, database, table).jobs() as jobs:
            return await BackgroundJobAdminService(BackgroundJobService(jobs)).bulk_cancel(ids)

    with plain_errors():
        if not job_ids:
            raise UsageError("Say which jobs to cancel, by id; `cqrs-ddd jobs list` shows them.")
        report("Cancelled", *asyncio.run(run(job_ids)), as_json=as_json)
