"""SQS for tests: the one that is named, the one on the usual port, or moto's in this process."""

import os
import socket
from collections.abc import Generator
from contextlib import closing, contextmanager
from importlib import import_module
from threading import Thread
from typing import Any

VARIABLE = "CQRS_TEST_SQS_URL"
USUAL_PORT = 9324  # ElasticMQ's


class RestartableSQS:
    """Moto's server, which can be stopped and started again with what it had stored.

    What it stores belongs to this process and outlives the socket that it serves.
    """

    def __init__(self) -> None:
        self._serving: Any = import_module("werkzeug.serving")
        self._moto: Any = import_module("moto.moto_server.werkzeug_app")  # it brings no types
        self._server: Any = None
        self._thread: Thread | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Serve, on the same port as before."""
        application = self._moto.DomainDispatcherApplication(self._moto.create_backend_app)
        self._server = self._serving.make_server(
            "127.0.0.1",
            self._port,
            application,
            threaded=True,
            request_handler=self._moto.MotoRequestHandler,
        )
        self._port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections; no harm when it does already."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            self._thread.join()
            server.server_close()


@contextmanager
def restartable() -> Generator[RestartableSQS]:
    """Run one until the block ends."""
    server = RestartableSQS()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def sqs_endpoint() -> Generator[tuple[str, str]]:
    """Yield the endpoint's URL, and where it came from."""
    named = os.environ.get(VARIABLE)
    if named:
        yield named, VARIABLE
        return
    with closing(socket.socket()) as probe:
        if probe.connect_ex(("127.0.0.1", USUAL_PORT)) == 0:
            yield f"http://127.0.0.1:{USUAL_PORT}", "running server"
            return
    with restartable() as server:
        yield server.url, "moto in this process"
