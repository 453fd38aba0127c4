"""Writes the rows that made no sense, for people to mend."""

import csv
from collections.abc import Iterable
from pathlib import Path

from order_fulfilment.application import RejectedRow
from order_fulfilment.infrastructure.retail_file import FileRefusedError


def check_rejects(path: Path, imported: Path) -> None:
    """Refuse, before any work is done, a place where rejects cannot go.

    Raises:
        FileRefusedError: it is no file in an existing folder, or the file to be imported.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise FileRefusedError(f"{path} cannot be written; name a file in an existing folder.")
    if path.exists() and path.samefile(imported):
        raise FileRefusedError(f"{path} is the file to be imported; name another for rejects.")


def write_rejects(path: Path, rows: Iterable[RejectedRow]) -> None:
    """Put line number, reason and the row as it was into ``path``; all rows or nothing."""
    draft = path.with_name(f"{path.name}.part")
    with draft.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["line", "reason", "row"])
        writer.writerows((row.number, row.reason, row.text) for row in rows)
    draft.replace(path)
