"""Cuts untidy CSV text into records, so that one broken row does not swallow its neighbours."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_LINES = 50


class Record(NamedTuple):
    """One record of a file.

    Attributes:
        number: the line at which it begins, the first of the file being 1.
        text: as it stands in the file, without the end of the line.
        fields: its fields.
    """

    number: int
    text: str
    fields: list[str]


class CsvRecords:
    """The records of ``lines``, the header among them; blank lines are none.

    A quoted field may go over several lines. Where that would not end, or would take in a line that
    is a whole record itself, the quote is a stray one: the record ends with its line.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = enumerate(lines, start=1)
        self._put_back: deque[tuple[int, str]] = deque()
        self._width = 0

    def __iter__(self) -> Iterator[Record]:
        while (line := self._next()) is not None:
            if line[1].strip():
                record = self._record(*line)
                self._width = self._width or len(record.fields)
                yield record

    def _next(self) -> tuple[int, str] | None:
        return self._put_back.popleft() if self._put_back else next(self._lines, None)

    def _record(self, number: int, text: str) -> Record:
        taken: list[tuple[int, str]] = []

        def feed() -> Iterator[str]:
            yield text
            while len(taken) < MAX_LINES and (line := self._next()) is not None:
                taken.append(line)
                yield line[1]

        try:
            fields = next(csv.reader(feed(), strict=True))
        except csv.Error:
            fields = []
        if not fields or any(self._is_whole(line) for _, line in taken):
            self._put_back.extendleft(reversed(taken))
            return Record(number, text.rstrip("\r\n"), _fields_of(text))
        whole = "".join([text, *(line for _, line in taken)])
        return Record(number, whole.rstrip("\r\n"), fields)

    def _is_whole(self, line: str) -> bool:
        return '"' not in line and line.count(",") == self._width - 1


def _fields_of(line: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return []
