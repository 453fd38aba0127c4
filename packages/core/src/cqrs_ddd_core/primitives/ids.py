"""Where new ids come from, so that a test can own them."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from random import Random
from time import time_ns
from typing import Protocol, TypeVar, runtime_checkable

# Of its own: a program that seeds the shared generator would repeat its ids in every process.
_random = Random()  # noqa: S311 - unique, not secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

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
    not an order: two made in the same millisecond sort either way. Nor are they secrets: the
    random bits are new in every process and fork, but they could be guessed.

    Example:
        >>> len(UUID7Generator().next_id())
        36
    """

    def next_id(self) -> str:
        """Return a new UUID in its text form."""
        random = _random.getrandbits(74)
        value = (
            (time_ns() // 1_000_000) << 80
            | _VERSION_7
            | (random >> 62) << 64
            | _VARIANT
            | (random & 0x3FFF_FFFF_FFFF_FFFF)
        )
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


G = TypeVar("G", bound=IIDGenerator)

_ids: ContextVar[IIDGenerator] = ContextVar("cqrs_ddd_ids", default=UUID7Generator())  # noqa: B039


def new_id() -> str:
    """Return a new id by the generator in force."""
    return _ids.get().next_id()


@contextmanager
def use_ids(generator: G) -> Generator[G]:
    """Make ``generator`` the one in force inside the block, which gets it as it is.

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
