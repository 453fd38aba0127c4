"""``cqrs-ddd worker run`` in a real process."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

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


def start(reference: str, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cqrs_ddd_cli", "worker", "run", reference, *options],
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


def test_its_health_is_seen_from_outside_until_it_ends() -> None:
    def health(*options: str) -> Result:
        return CliRunner().invoke(app, ["worker", "health", "health.json", *options])

    with start("background_shop:worker", "--health-file", "health.json") as child:
        assert child.stdout is not None
        said = child.stdout.readline().strip()
        well, reported = health("--live"), health("--live", "--json")
        child.kill()
    assert (said, well.exit_code, well.stdout) == ("ready", 0, "Well: relay.\n"), well.stderr
    report = json.loads(reported.stdout)
    assert (report["problem"], report["pid"]) == (None, child.pid)
    left = health("--max-age", "0s")
    assert (left.exit_code, left.stdout) == (1, "")
    assert "the worker was killed, or hangs" in left.stderr


def test_there_is_no_health_without_a_worker() -> None:
    result = CliRunner().invoke(app, ["worker", "health", "health.json"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "There is no health file health.json" in result.stderr


def test_a_health_file_in_no_folder_is_said_before_anything_runs() -> None:
    with start("background_shop:worker", "--health-file", "nowhere/health.json") as child:
        said, log = child.communicate()
    assert (child.returncode, said) == (1, "")
    assert "Name one in a folder that exists" in log
