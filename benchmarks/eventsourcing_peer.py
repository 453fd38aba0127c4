"""The library ``eventsourcing`` at the same work, where it is installed: a peer."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

from sqlalchemy import make_url

from benchmarks.harness import Work


@cache
def _library() -> Any:
    """Return the tills of the library; None, and say so once, where it is not installed."""
    try:
        found = import_module("benchmarks.eventsourcing_till")
        import_module("eventsourcing.postgres")
    except ImportError as error:
        print(f"# no peer ({error}): `uv sync --group benchmarks` installs eventsourcing")
        return None
    print(f"# peer: eventsourcing {version('eventsourcing')}, psycopg {version('psycopg')}")
    return found


class PeerTills:
    """Tills as the library has them: an aggregate and an application, both synchronous."""

    def __init__(self, library: Any, url: str) -> None:
        self._till, self._application = library.BenchTill, library.BenchTills(_environment(url))

    def save(self, events: int) -> Any:
        """Save a new till of so many events, in one transaction; return its id."""
        till = self._till()
        for _ in range(events - 1):
            till.sell("s-1", 2, 3)
        self._application.save(till)
        return till.id

    def saving(self, events: int, number: int) -> Work:
        """Return work that saves so many tills."""

        async def save_all() -> int:
            for _ in range(number):
                self.save(events)
            return events * number

        return save_all

    def loading(self, events: int, number: int) -> Work:
        """Return work that loads a till of so many events, so often."""
        till_id = self.save(events)

        async def load_all() -> int:
            for _ in range(number):
                found = self._application.repository.get(till_id)
                assert found.total == 6 * (events - 1)
            return number

        return load_all

    def close(self) -> None:
        """Drop what it has made."""
        datastore = self._application.factory.datastore
        with datastore.transaction(commit=True) as cursor:
            cursor.execute("DROP TABLE benchtills_events")
        self._application.close()


@contextmanager
def peer_tills(url: str) -> Generator[PeerTills | None]:
    """Yield the peer on the database at ``url``; None where it is not installed."""
    library = _library()
    if library is None:
        yield None
        return
    opened = PeerTills(library, url)
    try:
        yield opened
    finally:
        opened.close()


def _environment(url: str) -> dict[str, str]:
    parsed = make_url(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parsed.database or "postgres",
        "POSTGRES_HOST": parsed.host or "127.0.0.1",
        "POSTGRES_PORT": str(parsed.port or 5432),
        "POSTGRES_USER": parsed.username or "postgres",
        "POSTGRES_PASSWORD": parsed.password or os.environ.get("PGPASSWORD", ""),
    }
