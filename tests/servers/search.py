"""Where a server for tests comes from, in which order, and what happens when there is none."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from tests.servers.admin import connected


@dataclass(frozen=True)
class Server:
    """A server that tests may use: where it listens, and where it came from."""

    url: URL
    source: str

    def __str__(self) -> str:
        return f"{self.source} at {self.url.host}:{self.url.port}"


class ServerMissing(Exception):  # noqa: N818  (nothing went wrong: the machine has no such server)
    """No server was found and none could be started; each reason is one place that was tried."""

    def __init__(self, name: str, variable: str, reasons: list[str]) -> None:
        self.name = name
        super().__init__(f"no {name}: {'; '.join(reasons)}. Set {variable} to use another one.")


class ServerUnusable(Exception):  # noqa: N818  (reads as what it says)
    """The server that an environment variable names does not answer."""


class PrivateServerUnavailable(Exception):  # noqa: N818  (a normal outcome of the search)
    """A private server cannot be started on this machine."""


def answers_query(url: URL) -> None:
    """Fail unless a database answers."""
    with connected(url) as connection:
        connection.exec_driver_sql("SELECT 1")


@dataclass(frozen=True)
class Place:
    """One kind of server and how it is found.

    Attributes:
        name: how people call it.
        variable: the environment variable that names one.
        driver: the synchronous SQLAlchemy driver that the fixtures use.
        default: where it listens when installed as packaged.
        start: starts a private one; the stack ends it.
        check: fails unless the server answers; by a query where it is a database.
    """

    name: str
    variable: str
    driver: str
    default: URL
    start: Callable[[ExitStack], Server]
    check: Callable[[URL], None] = answers_query


@dataclass
class Search:
    """The search for one server."""

    place: Place
    stack: ExitStack
    reasons: list[str] = field(default_factory=list[str])

    def run(self) -> Server:
        """Return the first server found.

        Raises:
            ServerUnusable: the environment variable names a server that does not answer.
            ServerMissing: there is none and none can be started.
        """
        for step in (self._named, self._on_default_port, self._private):
            server = step()
            if server is not None:
                return server
        raise ServerMissing(self.place.name, self.place.variable, self.reasons)

    def _named(self) -> Server | None:
        given = os.environ.get(self.place.variable)
        if not given:
            return None
        url = make_url(given).set(drivername=self.place.driver)
        url = url if url.database else url.set(database=self.place.default.database)
        try:
            self.place.check(url)
        except (SQLAlchemyError, OSError) as error:
            shown = url.render_as_string(hide_password=True)
            message = f"{self.place.variable} names {shown}, which does not answer: {error}"
            raise ServerUnusable(message) from error
        return Server(url, self.place.variable)

    def _on_default_port(self) -> Server | None:
        url = self.place.default
        if not _listens(url):
            self.reasons.append(f"nothing listens at {url.host}:{url.port}")
            return None
        try:
            self.place.check(url)
        except (SQLAlchemyError, OSError):
            self.reasons.append(f"{url.host}:{url.port} refuses {url.username} without a password")
            return None
        return Server(url, "running server")

    def _private(self) -> Server | None:
        try:
            return self.place.start(self.stack)
        except PrivateServerUnavailable as error:
            self.reasons.append(str(error))
            return None


def free_port() -> int:
    """Return a port on loopback where nothing listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_ci() -> bool:
    """Whether a missing server is an error here."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def _listens(url: URL) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((url.host, url.port)) == 0
