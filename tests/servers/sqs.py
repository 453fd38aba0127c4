"""SQS for tests: the one that is named, the one on the usual port, or moto's in this process."""

import os
import socket
from collections.abc import Generator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any

VARIABLE = "CQRS_TEST_SQS_URL"
USUAL_PORT = 9324  # ElasticMQ's


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
    moto: Any = import_module("moto.server")  # it brings no types
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}", "moto in this process"
    finally:
        server.stop()
