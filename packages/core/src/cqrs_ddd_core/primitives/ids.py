"""Where new ids come from, so that a test can own them."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from random import SystemRandom
from time import time_ns
from typing import Protocol, runtime_checkable

_randbits = SystemRandom().getrandbits
_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


@runtime_checkable
class IIDGenerator(Protocol):
    """Makes ids that are unique across processes and machines."""

    def next_id(self) -> str:
        """Return an id never returned before."""
        ...


class UUID7Generator:
    """UUIDs of version 7 (RFC 9562): a millisecond timestamp, then 74 random bits.

    They sort roughly by the time they were made, which keeps database indexes compact. They are
    not an order: two made in the same millisecond sort either way.

    Example:
        >>> len(UUID7Generator().next_id())
        36
    """

    def next_id(self) -> str:
        """Return a new UUID in its text form."""
        random = _randbits(74)
        value = (
            (time_ns() // 1_000_000) << 80
            | _VERSION_7
            | (random >> 62) << 64
            | _VARIANT
            | (random & 0x3FFF_FFFF_FFFF_FFFF)
        )
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_ids: ContextVar[IIDGenerator] = ContextVar("cqrs_ddd_ids", default=UUID7Generator())  # noqa: B039


def new_id() -> str:
    """Return a new id by the generator in force."""
    return _ids.get().next_id()


@contextmanager
def use_ids(generator: IIDGenerator) -> Generator[IIDGenerator]:
    """Make ``generator`` the one in force inside the block.

    Example:
        >>> from cqrs_ddd_core.testing import SequentialIds
        >>> with use_ids(SequentialIds("order")):
        ...     new_id(), new_id()
        ('order-1', 'order-2')
    """
    token = _ids.set(generator)
    try:
        yield generator
    finally:
        _ids.reset(token)
