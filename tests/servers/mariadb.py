"""MariaDB for tests: the running one, or a private one from an installed MariaDB."""

import shutil
import signal
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from tests.servers import processes
from tests.servers.admin import connected
from tests.servers.search import Place, PrivateServerUnavailable, Server, free_port


def start_private(stack: ExitStack) -> Server:
    """Start a MariaDB of our own, without flushing to disk; ``stack`` ends it.

    Raises:
        PrivateServerUnavailable: it is not installed, or did not start.
    """
    folders = "/usr/sbin:/usr/local/sbin"
    server = shutil.which("mariadbd") or shutil.which("mariadbd", path=folders)
    install = shutil.which("mariadb-install-db")
    if server is None or install is None:
        message = "no MariaDB is installed"
        raise PrivateServerUnavailable(message)
    home = stack.enter_context(processes.folder())
    data = home / "data"
    processes.run(
        *(install, "--no-defaults", f"--datadir={data}"),
        *("--auth-root-authentication-method=normal", "--skip-test-db"),
    )
    return _serve(stack, server, data)


def _serve(stack: ExitStack, server: str, data: Path) -> Server:
    port = free_port()
    url = make_url(f"mysql+pymysql://root@127.0.0.1:{port}/mysql")
    command = [
        *(server, "--no-defaults", f"--datadir={data}", f"--port={port}"),
        *("--bind-address=127.0.0.1", f"--socket={data.parent / 'socket'}"),
        *("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"),
    ]

    def ready() -> bool:
        try:
            with connected(url):
                return True
        except OperationalError:
            return False

    log = data.parent / "log"
    stack.enter_context(processes.running(command, log=log, ready=ready, end=signal.SIGTERM))
    return Server(url, f"private server from {server}")


MARIADB = Place(
    name="MariaDB",
    variable="CQRS_TEST_MARIADB_URL",
    driver="mysql+pymysql",
    default=make_url("mysql+pymysql://root@127.0.0.1:3306/mysql"),
    start=start_private,
)
