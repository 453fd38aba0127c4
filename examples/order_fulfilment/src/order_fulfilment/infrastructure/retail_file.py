"""A file in the "Online Retail" format, as it comes: any encoding, any mess."""

import codecs
import hashlib
from collections.abc import Iterator
from pathlib import Path

from cqrs_ddd_core import CQRSDDDError
from order_fulfilment.application import Row
from order_fulfilment.infrastructure.csv_records import CsvRecords, Record
from order_fulfilment.infrastructure.retail_row import COLUMNS, RowError, read_row

_BLOCK = 1 << 20


class FileRefusedError(CQRSDDDError):
    """A file cannot be read at all, or is none of this format."""


class RetailFile:
    """A file of invoices (see ``InvoiceFile``).

    Attributes:
        id: a digest of the content.
        name: the file's name.
        lines: how many lines it has, for the progress bar.

    Raises:
        FileRefusedError: there is no such file, or it is none of this format.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, path.name
        if not path.is_file():
            raise FileRefusedError(f"{path} is no file.")
        try:
            self.id, self._encoding, self.lines = _survey(path)
        except OSError as error:
            raise FileRefusedError(f"{path} cannot be read: {error.strerror}.") from error
        self._columns = self._header()

    def rows(self) -> Iterator[Row]:
        """Yield every row, those that make no sense with the reason."""
        records = self._records()
        next(records, None)
        for record in records:
            yield self._row(record)

    def _records(self) -> Iterator[Record]:
        with self._path.open(encoding=self._encoding, newline="") as stream:
            yield from CsvRecords(stream)

    def _header(self) -> list[str]:
        header = next(self._records(), None)
        columns = [field.strip() for field in header.fields] if header else []
        missing = [column for column in COLUMNS if column not in columns]
        if missing:
            raise FileRefusedError(
                f"{self._path} is no file in the Online Retail format: its first line lacks the "
                f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}."
            )
        return columns

    def _row(self, record: Record) -> Row:
        number, text, fields = record
        if len(fields) != len(self._columns):
            reason = f"the row has {len(fields)} fields, the header {len(self._columns)}"
            return Row(number, text, reason=reason)
        values = {name: field.strip() for name, field in zip(self._columns, fields, strict=True)}
        try:
            return read_row(self.id, record, values)
        except RowError as error:
            return Row(number, text, reason=str(error))


def _survey(path: Path) -> tuple[str, str, int]:
    """Return the digest of a file, its encoding and how many lines it has."""
    digest, lines = hashlib.blake2b(digest_size=12), 0
    encodings = ("utf-8-sig", "cp1252", "latin-1")
    with path.open("rb") as stream:
        if stream.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            encodings = ("utf-16",)
        decoders = {name: codecs.getincrementaldecoder(name)() for name in encodings}
        stream.seek(0)
        while block := stream.read(_BLOCK):
            digest.update(block)
            lines += block.count(b"\n")
            _try_all(decoders, block)
    _try_all(decoders, b"", final=True)
    if not decoders:
        raise FileRefusedError(f"{path} is no text file.")
    return digest.hexdigest(), next(iter(decoders)), lines


def _try_all(
    decoders: dict[str, codecs.IncrementalDecoder], block: bytes, *, final: bool = False
) -> None:
    """Drop the encodings that ``block`` cannot be in."""
    for name, decoder in list(decoders.items()):
        try:
            decoder.decode(block, final)
        except UnicodeDecodeError:
            del decoders[name]
