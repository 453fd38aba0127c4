"""RabbitMQ for tests: the running one, or a private one from an installed RabbitMQ."""

import shutil
import signal
import socket
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import Popen

from sqlalchemy import URL, make_url

from tests.servers import processes
from tests.servers.search import Place, PrivateServerUnavailable, Server, free_port

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01\x00\x00"
SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server")


def answers_amqp(url: URL) -> None:
    """Fail unless a server offers to open an AMQP connection.

    Raises:
        OSError: it does not.
    """
    with closing(socket.create_connection((url.host, url.port), timeout=10)) as connection:
        connection.sendall(PROTOCOL_HEADER)
        if connection.recv(3) != METHOD_FRAME:
            message = "it does not speak AMQP"
            raise ConnectionError(message)


class RestartableRabbitMQ:
    """A private server that can be stopped and started again with what it had stored."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self._script = stack, _script()
        self._home = stack.enter_context(processes.folder())
        self._epmd = free_port()
        self.url = make_url(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
        self._process: Popen[bytes] | None = None
        self._start_epmd()
        self.start()

    @property
    def amqp(self) -> str:
        """Its address."""
        return self.url.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start it, and return once it serves."""
        node, distribution = f"cqrs{self.url.port}@localhost", free_port()
        config = self._home / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{self.url.port}\n", encoding="utf-8")
        environment = {
            "HOME": str(self._home),
            "ERL_EPMD_PORT": str(self._epmd),
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_MNESIA_BASE": str(self._home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._home / "log"),
            "RABBITMQ_PID_FILE": str(self._home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._home / "enabled_plugins"),
        }
        self._process = self._stack.enter_context(
            processes.running(
                [self._script],
                log=self._home / "output",
                ready=lambda: _answers(self.url),
                end=signal.SIGTERM,
                env=environment,
            )
        )

    def stop(self) -> None:
        """End it in good order.

        RabbitMQ 3.10 on one node, killed seconds after a quorum queue was declared, may find no
        leader for it when it is started again: that is a test of RabbitMQ and none of ours.
        """
        if self._process is not None:
            self._process.terminate()
            self._process.wait(processes.STOP_SECONDS)

    def _start_epmd(self) -> None:
        """Run Erlang's name server ourselves: one that RabbitMQ starts would outlive the tests."""
        epmd = shutil.which("epmd")
        if epmd is None:
            message = "Erlang's epmd is not installed"
            raise PrivateServerUnavailable(message)
        self._stack.enter_context(
            processes.running(
                [epmd, "-port", str(self._epmd), "-address", "127.0.0.1"],
                log=self._home / "epmd",
                ready=lambda: _listens(self._epmd),
                end=signal.SIGTERM,
            )
        )


def restartable(stack: ExitStack) -> RestartableRabbitMQ:
    """Start a RabbitMQ of our own; ``stack`` ends it.

    Raises:
        PrivateServerUnavailable: it is not installed, or did not start.
    """
    return RestartableRabbitMQ(stack)


def start_private(stack: ExitStack) -> Server:
    """Start a RabbitMQ of our own; ``stack`` ends it."""
    return Server(restartable(stack).url, f"private server from {_script()}")


def _script() -> Path:
    """Return the server's own script: Debian's command switches users, which we have done."""
    found = next((Path(script) for script in SCRIPTS if Path(script).exists()), None)
    on_path = shutil.which("rabbitmq-server")
    if found is None and on_path is not None:
        found = Path(on_path)
    if found is None:
        message = "no RabbitMQ is installed"
        raise PrivateServerUnavailable(message)
    return found


def _answers(url: URL) -> bool:
    try:
        answers_amqp(url)
    except OSError:
        return False
    return True


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


RABBITMQ = Place(
    name="RabbitMQ",
    variable="CQRS_TEST_RABBITMQ_URL",
    driver="amqp",
    default=make_url("amqp://guest:guest@127.0.0.1:5672/"),
    start=start_private,
    check=answers_amqp,
)
