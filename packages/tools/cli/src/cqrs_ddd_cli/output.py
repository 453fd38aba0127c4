"""How results look: tables for people, JSON for programs, a bar while it takes long."""

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Limit = Annotated[int, typer.Option("--limit", min=1, help="How many to show, at most.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def print_json(data: Mapping[str, Any]) -> None:
    """Print ``data`` as JSON."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def say(text: str, *, style: str | None = None) -> None:
    """Print a line for people, as it is: nothing in it is markup, nothing is cut off."""
    Console().print(Text(text, style=style or ""), soft_wrap=True)


def say_rest(shown: int, total: int) -> None:
    """Say that there is more than was shown, if there is."""
    if total > shown:
        say(f"{shown} of {total:,} are shown; --limit {total} shows all.")


class _Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        """Return the rate; nothing while it is not known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextmanager
def progress_bar(
    doing: str, total: int | None, *, hidden: bool = False, console: Console | None = None
) -> Generator[Callable[[int], None]]:
    """Show how far long work has come, with rate and time left; nothing off a terminal.

    Args:
        doing: what is done, in a word.
        total: how many rows there are; None where that is not known.
        hidden: whether to show nothing.
        console: where to; the standard output by default.
    """
    console = console or Console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    disable = hidden or not console.is_terminal
    with Progress(*columns, console=console, disable=disable, transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda count: progress.advance(task, count)
