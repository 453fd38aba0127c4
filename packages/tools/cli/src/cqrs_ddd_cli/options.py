"""Options that several commands have in common."""

from typing import Annotated

import typer

Limit = Annotated[int, typer.Option("--limit", min=1, help="How many to show, at most.")]
MessageIds = Annotated[
    list[str] | None, typer.Argument(metavar="MESSAGE_ID", help="These messages.")
]
Everything = Annotated[bool, typer.Option("--all", help="All dead letters.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
