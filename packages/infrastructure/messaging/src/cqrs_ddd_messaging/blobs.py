"""Where payloads are kept that are too large for a broker."""

import asyncio
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol, runtime_checkable

from cqrs_ddd_core import utc_now
from cqrs_ddd_messaging.errors import BlobStoreError

_REFERENCE = re.compile(r"sha256-[0-9a-f]{64}")


@runtime_checkable
class IBlobStore(Protocol):
    """Keeps bytes under a reference, for every process that sends or receives."""

    async def put(self, data: bytes) -> str:
        """Keep ``data`` durably and return its reference; the same bytes may have the same one.

        Raises:
            BlobStoreError: it cannot be kept now.
        """
        ...

    async def get(self, reference: str, *, max_size: int) -> bytes:
        """Return what is kept under ``reference``.

        Raises:
            BlobStoreError: it is not there, not now, longer than ``max_size``, or not what was put.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """Payloads of more than ``threshold`` bytes stay in ``store``; messages carry the reference."""

    store: IBlobStore
    threshold: int = 200_000


class FilesystemBlobStore:
    """Keeps each blob in a file named after its content, in a folder that all processes share.

    Args:
        folder: made when it is not there.

    Example:
        >>> async def main():
        ...     blobs = FilesystemBlobStore("blobs")
        ...     return await blobs.get(await blobs.put(b"a large payload"), max_size=100)
        >>> asyncio.run(main())
        b'a large payload'
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    async def put(self, data: bytes) -> str:
        """Write ``data`` to a file, durably, and return its reference."""
        reference = f"sha256-{sha256(data).hexdigest()}"
        try:
            await asyncio.to_thread(self._write, reference, data)
        except OSError as error:
            raise BlobStoreError(reference, error) from error
        return reference

    async def get(self, reference: str, *, max_size: int) -> bytes:
        """Read the file and check that its content is what was put."""
        if not _REFERENCE.fullmatch(reference):
            raise BlobStoreError(reference, "this is no reference of a FilesystemBlobStore")
        try:
            data = await asyncio.to_thread(self._read, reference, max_size)
        except OSError as error:
            raise BlobStoreError(reference, error) from error
        if f"sha256-{sha256(data).hexdigest()}" != reference:
            raise BlobStoreError(reference, f"it is damaged, or longer than {max_size} bytes")
        return data

    async def purge(self, older_than: timedelta) -> int:
        """Remove blobs put more than ``older_than`` ago; return how many."""
        return await asyncio.to_thread(self._purge, (utc_now() - older_than).timestamp())

    def _write(self, reference: str, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._folder, prefix=".new-", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(self._folder / reference)  # whole or not at all
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _read(self, reference: str, max_size: int) -> bytes:
        with (self._folder / reference).open("rb") as file:
            return file.read(max_size + 1)

    def _purge(self, before: float) -> int:
        old = [path for path in self._folder.glob("sha256-*") if path.stat().st_mtime < before]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)
