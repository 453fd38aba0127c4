"""What has become of several things at once."""

from collections.abc import Mapping, Sequence

import typer

from cqrs_ddd_cli.errors import TROUBLE
from cqrs_ddd_cli.output import print_json, say


def report(verb: str, done: Sequence[str], skipped: Mapping[str, str], *, as_json: bool) -> None:
    """Say what was done and what could not be; exit code 1 when there is such.

    Args:
        verb: what was done, such as ``Retried``.
        done: the ids with which it was.
        skipped: why it was not with the others, by id.
        as_json: whether programs are to read it.
    """
    if as_json:
        print_json({"done": list(done), "skipped": dict(skipped)})
    else:
        say(f"{verb}: {len(done):,}.")
        for why in skipped.values():
            say(why, style="red")
    if skipped:
        raise typer.Exit(TROUBLE)
