"""What is shown of projections."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cqrs_ddd_cli.durations import shown
from cqrs_ddd_core.ports import ParkedKey, VersionState
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_projections import ProjectionReport


def troubles_of(reports: Sequence[ProjectionReport], max_lag: int | None) -> list[str]:
    """Return what is wrong with projections, a sentence each; nothing when all is well."""
    return [trouble for report in reports for trouble in _troubles_of(report, max_lag)]


def _troubles_of(report: ProjectionReport, max_lag: int | None) -> list[str]:
    status, version = report.status, report.status.version
    name, troubles = version.projection, list[str]()
    if version.error is not None:
        troubles.append(
            f"{version} has stopped at {version.error}. Mend the cause, then `cqrs-ddd projections "
            f"resume {name}`."
        )
    if status.parked:
        troubles.append(
            f"{version} has {status.parked} parked key(s): `cqrs-ddd projections parked {name}` "
            "shows why."
        )
    if report.lag and not status.workers and not version.is_paused and version.error is None:
        troubles.append(f"{version} is behind and nobody works on it: start a worker.")
    is_live = version.state is VersionState.LIVE
    if is_live and max_lag is not None and report.lag > max_lag:
        troubles.append(f"{version} is {report.lag:,} positions behind, more than {max_lag:,}.")
    return troubles


def show_reports(reports: Sequence[ProjectionReport], troubles: Sequence[str]) -> None:
    """Print how versions get on."""
    table = Table(title="Projections", box=SIMPLE_HEAD)
    table.add_column("projection")
    table.add_column("state")
    for name in ("position", "behind", "since", "rate", "left", "workers", "retrying", "parked"):
        table.add_column(name, justify="right")
    for report in reports:
        status = report.status
        rate, left = report.rate, report.seconds_left
        table.add_row(
            str(status.version),
            _state(report),
            f"{status.position:,}",
            f"{report.lag:,}",
            shown(report.lag_seconds) if report.lag else "",
            "" if rate is None else f"{rate:,.0f}/s",
            "" if left is None else shown(left),
            str(status.workers),
            str(status.retrying),
            Text(str(status.parked), style="bold red" if status.parked else ""),
        )
    console = Console()
    console.print(table)
    for trouble in troubles:
        console.print(Text(trouble, style="red"), soft_wrap=True)


def _state(report: ProjectionReport) -> Text:
    version = report.status.version
    if version.error is not None:
        return Text("stopped", style="bold red")
    return Text("paused", style="yellow") if version.is_paused else Text(version.state.value)


def show_parked(found: Sequence[ParkedKey]) -> None:
    """Print keys whose events wait."""
    now = utc_now()
    table = Table(
        title="Keys that wait, those first that failed first", box=SIMPLE_HEAD, expand=True
    )
    table.add_column("projection and key, last error", ratio=1, overflow="fold", min_width=36)
    for name in ("failing", "tries", "behind", "again"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in found:
        what = Text(f"{entry.version} {entry.key}\n").append(entry.error, style="red")
        again = "when told" if entry.retry_in is None else f"in {shown(entry.retry_in)}"
        failing = shown((now - entry.failed_at).total_seconds())
        table.add_row(what, failing, str(entry.attempts), str(entry.behind), again)
    Console().print(table)


def report_as_data(report: ProjectionReport) -> dict[str, Any]:
    """Return how a version gets on, as data."""
    status, version = report.status, report.status.version
    return {
        "projection": version.projection,
        "version": version.version,
        "revision": version.revision,
        "state": version.state.value,
        "paused": version.is_paused,
        "error": version.error,
        "position": status.position,
        "target": report.target,
        "lag": report.lag,
        "lag_seconds": report.lag_seconds,
        "rate": report.rate,
        "seconds_left": report.seconds_left,
        "partitions": version.partitions,
        "workers": status.workers,
        "retrying": status.retrying,
        "parked": status.parked,
        "waiting": status.waiting,
    }


def parked_as_data(entry: ParkedKey) -> dict[str, Any]:
    """Return a key whose events wait, as data."""
    return {
        "projection": entry.version.projection,
        "version": entry.version.version,
        "key": entry.key,
        "position": entry.position,
        "error": entry.error,
        "attempts": entry.attempts,
        "failed_at": entry.failed_at.isoformat(),
        "behind": entry.behind,
        "retry_in_seconds": entry.retry_in,
    }
