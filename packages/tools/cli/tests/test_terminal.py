"""What a person sees at a terminal of 80 columns."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from rich.console import Console

from cqrs_ddd_cli.output import progress_bar

from .conftest import Shop

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def type_at_a_terminal(*arguments: str, answer: str = "") -> tuple[int, str]:
    """Run the command at a terminal of 80 columns; return its exit code and what was seen."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    with subprocess.Popen(
        [sys.executable, "-m", "cqrs_ddd_cli", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    ) as child:
        os.close(slave)
        os.write(master, answer.encode())
        seen = b""
        while chunk := _read(master):
            seen += chunk
        os.close(master)
    return child.returncode, ESCAPES.sub("", seen.decode())


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # how Linux says that nobody has the terminal open any more
        return b""


@pytest.fixture
def troubled(sqlite_shop: Shop) -> Shop:
    sqlite_shop.saves(
        ("0190b6c4-7d3a-7c2e-9f41-2a6b8c9d0e1f", "OrderPlaced", "Order/with-a-rather-long-key"),
        ("0190b6c4-7d3a-7c2e-9f41-2a6b8c9d0e2f", "OrderShipped", "Order/2"),
    )
    sqlite_shop.relays(away_for=["Order/with-a-rather-long-key", "Order/2"])
    return sqlite_shop


def test_tables_fit_and_show_ids_whole(troubled: Shop) -> None:
    for command in ("list", "dead-letters"):
        code, seen = type_at_a_terminal("outbox", command, *troubled.target)
        assert code == 0
        assert "0190b6c4-7d3a-7c2e-9f41-2a6b8c9d0e1f" in seen
        assert "OrderPlaced  Order/with-a-rather-long-key" in seen
        assert "ValueError: the queue [orders] refused it" in seen
        assert max(map(len, seen.splitlines())) <= 80


def test_all_is_asked_for_and_yes_shows_how_far_it_has_come(troubled: Shop) -> None:
    code, seen = type_at_a_terminal("outbox", "redrive", "--all", *troubled.target, answer="y\n")
    assert code == 0
    assert "Redrive all 2 dead letters? [y/N]:" in seen
    assert "Redriving" in seen
    assert "2/2" in seen
    assert "Redriven: 2." in seen


def test_no_leaves_everything_as_it_is(troubled: Shop) -> None:
    code, seen = type_at_a_terminal("outbox", "redrive", "--all", *troubled.target, answer="n\n")
    assert code == 1
    assert "Redriv" not in seen.partition("[y/N]:")[2]
    assert '"dead_letters": 2' in troubled.run("outbox", "status", "--json").stdout


def test_json_is_json_also_at_a_terminal(troubled: Shop) -> None:
    code, seen = type_at_a_terminal(
        "outbox", "redrive", "--all", "--yes", "--json", *troubled.target
    )
    assert code == 0
    assert seen.replace("\r", "") == '{\n  "redriven": 2,\n  "missing": []\n}\n'


@pytest.mark.parametrize("on_terminal", [True, False])
def test_progress_has_rate_and_time_left_on_a_terminal_only(on_terminal: bool) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=on_terminal, width=80)
    with progress_bar("Purging", 40_000, console=console) as advance:
        for _ in range(6):
            advance(5_000)
    shown = output.getvalue()
    assert all((text in shown) == on_terminal for text in ("Purging", "30000/40000", "/s", "0:00:"))
