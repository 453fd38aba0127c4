"""The two commands that README.md begins with name what exists; its example runs in tests/docs."""

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
SHELL = re.compile(r"^```console\n\$ (?P<command>.+)\n```$", re.MULTILINE)


def readme_commands() -> list[list[str]]:
    """Return the commands of README.md, each as its words."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [found["command"].split() for found in SHELL.finditer(text)]


def settings(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))


def test_readme_shows_two_commands() -> None:
    demo, tests = readme_commands()
    assert demo == ["pip", "install", "uv", "&&", "uv", "run", "order-fulfilment", "demo"]
    assert tests == ["uv", "run", "pytest"]


def test_the_first_names_a_script_that_uv_run_installs_and_a_command_of_it() -> None:
    *_, script, command = readme_commands()[0]
    (entry,) = entry_points(group="console_scripts", name=script)
    assert settings("examples/order_fulfilment/pyproject.toml")["project"]["scripts"] == {
        script: entry.value
    }
    shown = CliRunner().invoke(entry.load(), [command, "--help"])
    assert (shown.exit_code, "Usage" in shown.output) == (0, True)
    assert script in _default_dependencies()


def test_the_second_names_the_test_runner_that_uv_run_installs() -> None:
    assert readme_commands()[1][-1] == "pytest"
    assert "pytest" in _default_dependencies()
    assert entry_points(group="console_scripts", name="pytest")


def _default_dependencies() -> set[str]:
    """Return the names of what ``uv run`` installs in the workspace."""
    root = settings("pyproject.toml")
    groups: dict[str, list[Any]] = root["dependency-groups"]
    pending = list(root["tool"]["uv"]["default-groups"])
    names: set[str] = set()
    while pending:
        for dependency in groups[pending.pop()]:
            if isinstance(dependency, str):
                names.add(re.split(r"[\[<>=; ]", dependency)[0])
            else:
                pending.append(dependency["include-group"])
    return names
