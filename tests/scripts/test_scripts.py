"""The developer commands."""

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts import interpreters, services
from tests.servers.search import free_port


def test_every_server_of_the_compose_file_has_its_port_known() -> None:
    text = services.COMPOSE_FILE.read_text(encoding="utf-8")
    published = re.findall(
        r"^  (\w+):\n(?:    .*\n|\s*\n)*?    ports: \[\"127\.0\.0\.1:(\d+):", text, re.MULTILINE
    )
    assert {name: int(port) for name, port in published} == services.PORTS


def test_status_says_what_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PORTS", {"nothing": free_port()})
    result = CliRunner().invoke(services.app, ["status"])
    assert result.exit_code == 0
    assert re.search(r"nothing\W+\d+\W+no\b", result.output)


def test_without_docker_the_advice_is_to_do_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(services.app, ["up"])
    assert result.exit_code == 1
    assert "private servers" in result.output


def test_this_version_of_python_is_among_the_interpreters() -> None:
    found = interpreters.find_interpreters()
    assert sys.version_info[:2] in [interpreter.version[:2] for interpreter in found]
    assert min(found).version >= interpreters.OLDEST


def test_a_virtual_environment_is_no_interpreter_of_its_own() -> None:
    assert interpreters.described(Path(sys.executable)) is None
