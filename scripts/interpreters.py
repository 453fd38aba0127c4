"""Runs the test suite on every Python that the toolkit supports and this machine has."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).parents[1]
OLDEST = (3, 11)
DESCRIBE = (
    "import json, sys; json.dump([sys.version_info[:3], sys.version_info.releaselevel,"
    " sys.implementation.name, sys.prefix == sys.base_prefix], sys.stdout)"
)


@dataclass(frozen=True, order=True)
class Interpreter:
    """A Python on this machine."""

    version: tuple[int, ...]
    path: Path

    @property
    def minor(self) -> str:
        """Its version as in ``3.12``."""
        return ".".join(map(str, self.version[:2]))


def main(
    pytest_arguments: Annotated[list[str] | None, typer.Argument(help="for pytest")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="say what there is")] = False,
) -> None:
    """Run pytest on each interpreter, in an environment of its own under .venvs/."""
    interpreters = find_interpreters()
    failed: list[str] = []
    for interpreter in interpreters:
        typer.echo(f"==> {interpreter.minor}: {interpreter.path}")
        if not only_list and run_suite(interpreter, pytest_arguments or []) != 0:
            failed.append(interpreter.minor)
    typer.echo(f"{len(interpreters)} interpreters, failed: {', '.join(failed) or 'none'}")
    raise typer.Exit(1 if failed else 0)


def find_interpreters() -> list[Interpreter]:
    """Return the newest interpreter of each minor version, oldest version first."""
    newest: dict[str, Interpreter] = {}
    for path in dict.fromkeys(path.resolve() for path in candidates()):
        interpreter = described(path)
        if interpreter is not None and interpreter.version >= OLDEST:
            known = newest.get(interpreter.minor, interpreter)
            newest[interpreter.minor] = max(known, interpreter)
    return sorted(newest.values())


def candidates() -> Iterator[Path]:
    """Yield what may be an interpreter: what uv knows, pyenv's, and those on the PATH."""
    listing = subprocess.run(
        ["uv", "python", "list", "--only-installed", "--output-format", "json"],
        check=True,
        capture_output=True,
    )
    yield from (Path(found["path"]) for found in json.loads(listing.stdout))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from pyenv.glob("versions/3.*/bin/python3")
    for minor in range(OLDEST[1], 30):
        on_path = shutil.which(f"python3.{minor}")
        if on_path:
            yield Path(on_path)


def described(path: Path) -> Interpreter | None:
    """Return what ``path`` is, or None for a shim, a virtual environment or a pre-release."""
    done = subprocess.run([path, "-c", DESCRIBE], check=False, capture_output=True)
    if done.returncode:
        return None
    version, level, implementation, is_base = json.loads(done.stdout)
    if level != "final" or implementation != "cpython" or not is_base:
        return None
    return Interpreter(tuple(version), path)


def run_suite(interpreter: Interpreter, arguments: list[str]) -> int:
    """Return pytest's exit status on ``interpreter``."""
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": f".venvs/{interpreter.minor}"}
    environment.pop("VIRTUAL_ENV", None)
    command = ["uv", "run", "--frozen", "--python", interpreter.path, "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    typer.run(main)
