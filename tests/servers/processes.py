"""Private server processes in temporary folders, which never outlive the test session."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.search import PrivateServerUnavailable

START_SECONDS = 30.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02


def server_user() -> str | None:
    """Return the user to run a server as: database servers refuse to run as root."""
    return "nobody" if hasattr(os, "geteuid") and os.geteuid() == 0 else None


@contextmanager
def folder() -> Generator[Path]:
    """Yield a temporary folder that the server's user owns."""
    path = Path(tempfile.mkdtemp(prefix="cqrs-test-"))
    try:
        user = server_user()
        if user is not None:
            shutil.chown(path, user)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run(*command: str | Path) -> None:
    """Run a command of the server's tools to its end, as the server's user.

    Raises:
        PrivateServerUnavailable: it failed; the message carries its output.
    """
    done = subprocess.run(
        command, user=server_user(), cwd="/", capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()}"
        raise PrivateServerUnavailable(message)


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    ready: Callable[[], bool],
    end: signal.Signals,
    env: Mapping[str, str] | None = None,
) -> Generator[subprocess.Popen[bytes]]:
    """Run a server until the block ends, in a process group of its own.

    Args:
        command: the server, in the foreground.
        log: the file for its output.
        ready: whether it serves.
        end: the signal that ends it.
        env: more variables for its environment.

    Raises:
        PrivateServerUnavailable: it ended, or served nothing within half a minute.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_dies_with_us(end), *command],
            user=server_user(),
            cwd="/",
            env={**os.environ, **(env or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C ends the tests first, then the server
        )
    try:
        _wait_until_ready(process, ready, log)
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(
    process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-5:]
            raise PrivateServerUnavailable("a private server did not start: " + " | ".join(last))
        time.sleep(POLL_SECONDS)


def _dies_with_us(end: signal.Signals) -> list[str]:
    """Have Linux end the server when the test process is killed."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", end.name.removeprefix("SIG"), "--"] if setpriv else []
