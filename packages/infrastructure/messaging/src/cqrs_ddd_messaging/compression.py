"""Smaller payloads, and no bomb among them."""

import zlib
from dataclasses import dataclass
from typing import Literal

Method = Literal["zlib", "zstd"]


_UNKNOWN_SIZE = -1  # of a frame that was written as a stream


class DecompressionError(ValueError):
    """Bytes that cannot be decompressed, or would grow beyond what is allowed."""


@dataclass(frozen=True, slots=True)
class Compression:
    """Compresses payloads of at least ``threshold`` bytes, where that makes them smaller.

    Attributes:
        method: ``"zlib"``, which is always there, or ``"zstd"``, which is faster and needs the
            extra of that name. Whatever a sender uses, a receiver recognises it.
        threshold: in bytes.
        level: how hard to try; None is the method's own default.

    Example:
        >>> compression = Compression(threshold=10)
        >>> compression.method, len(compression.compress(b"a" * 1000) or b"") < 30
        ('zlib', True)
        >>> compression.compress(b"short") is None
        True
    """

    method: Method = "zlib"
    threshold: int = 1024
    level: int | None = None

    def compress(self, data: bytes) -> bytes | None:
        """Return ``data`` compressed; None where it is better left alone."""
        if len(data) < self.threshold:
            return None
        if self.method == "zstd":
            import zstandard  # noqa: PLC0415 - an extra

            compressor = zstandard.ZstdCompressor(level=3 if self.level is None else self.level)
            smaller = compressor.compress(data)
        else:
            smaller = zlib.compress(
                data, zlib.Z_DEFAULT_COMPRESSION if self.level is None else self.level
            )
        return smaller if len(smaller) < len(data) else None


def decompress(data: bytes, method: str, max_size: int) -> bytes:
    """Return what was compressed, unless it is longer than ``max_size`` bytes.

    Raises:
        DecompressionError: it is longer, broken, or of an unknown method.
    """
    if method == "zlib":
        found = _unzlib(data, max_size)
    elif method == "zstd":
        found = _unzstd(data, max_size)
    else:
        raise DecompressionError(f"there is no compression {method!r}")
    if len(found) > max_size:
        raise DecompressionError(f"decompressed, it has more than {max_size} bytes")
    return found


def _unzlib(data: bytes, max_size: int) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        found = decompressor.decompress(data, max_size + 1)
    except zlib.error as error:
        raise DecompressionError(str(error)) from error
    if not decompressor.eof and len(found) <= max_size:
        raise DecompressionError("its compressed bytes end too early")
    return found


def _unzstd(data: bytes, max_size: int) -> bytes:
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DecompressionError("install cqrs-ddd-messaging[zstd] to read it") from error
    try:
        # The window bounds the memory that reading takes, whatever the frame asks for.
        reader = zstandard.ZstdDecompressor(max_window_size=max(max_size, 1 << 20)).stream_reader(
            data
        )
        found = reader.read(max_size + 1)
        frame_size = zstandard.frame_content_size(data)
    except (zstandard.ZstdError, MemoryError) as error:
        raise DecompressionError(str(error)) from error
    if len(found) <= max_size and frame_size not in {_UNKNOWN_SIZE, len(found)}:
        raise DecompressionError("its compressed bytes end too early")
    return found
