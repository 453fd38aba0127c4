"""``cqrs-ddd worker run`` in a real process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cqrs_ddd_cli.main import app

SHOP = """
import asyncio
from contextlib import asynccontextmanager
from cqrs_ddd_core import ConfigurationError, Progress, Worker

class Part:
    name = "relay"
    def __init__(self):
        self.progress = Progress()
    async def run(self, stopping):
        print("ready", flush=True)
        await stopping.wait()
        print("drained", flush=True)

class Wrong(Part):
    async def run(self, stopping):
        raise ConfigurationError("There is no queue.")

worker = Worker([Part()])
part = Part()
wrong = Worker([Wrong()])

@asynccontextmanager
async def open_worker():
    print("opened", flush=True)
    yield Worker([Part()])
    print("closed", flush=True)
"""


@pytest.fixture(autouse=True)
def shop() -> None:
    Path("background_shop.py").write_text(SHOP, encoding="utf-8")


def start(reference: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cqrs_ddd_cli", "worker", "run", reference],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("worker", [], []), ("part", [], []), ("open_worker", ["opened"], ["closed"])],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_a_signal_and_leaves_everything_closed(
    name: str, before: list[str], after: list[str], number: signal.Signals
) -> None:
    with start(f"background_shop:{name}") as child:
        assert child.stdout is not None
        for line in [*before, "ready"]:
            assert child.stdout.readline().strip() == line
        child.send_signal(number)
        said, log = child.communicate()
    assert said.split() == ["drained", *after]
    assert child.returncode == 0
    assert "INFO" in log
    assert "Running relay" in log
    assert "Traceback" not in log


def test_a_mistake_in_the_wiring_has_a_code_of_its_own() -> None:
    with start("background_shop:wrong") as child:
        _, log = child.communicate()
    assert child.returncode == 78
    assert "ConfigurationError: There is no queue." in log


def test_what_is_no_worker_is_refused() -> None:
    result = CliRunner().invoke(app, ["worker", "run", "background_shop:SHOP"])
    assert result.exit_code == 2
    assert "background_shop has no 'SHOP'" in result.stderr
    result = CliRunner().invoke(app, ["worker", "run", "json:__name__"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "gives a str, but a Worker or a part of one is needed" in result.stderr
