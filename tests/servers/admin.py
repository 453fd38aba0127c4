"""Connections that create, empty and drop test databases; every statement commits by itself."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, NullPool, create_engine


@contextmanager
def connected(url: URL) -> Generator[Connection]:
    """Yield a connection to ``url`` that is closed afterwards."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
