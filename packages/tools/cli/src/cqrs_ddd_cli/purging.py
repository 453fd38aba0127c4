"""Forgetting in batches, so that no transaction grows long."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Protocol

from cqrs_ddd_cli.output import progress_bar

_AT_ONCE = 5_000


class Purge(Protocol):
    """``purge`` of a storage."""

    def __call__(self, older_than: timedelta, *, limit: int) -> Awaitable[int]:
        """Forget at most ``limit`` rows; return how many."""
        ...


async def purge_in_batches(
    purge: Purge, older_than: timedelta, total: int | None, *, hidden: bool
) -> int:
    """Forget what is older, batch after batch; return how many.

    Args:
        purge: forgets one batch.
        older_than: the age that is kept.
        total: how many there are at most, where that is known.
        hidden: whether to show no progress.
    """
    purged = 0
    with progress_bar("Purging", total, hidden=hidden) as advance:
        while True:
            batch = await purge(older_than, limit=_AT_ONCE)
            purged += batch
            advance(batch)
            if batch < _AT_ONCE:
                return purged
