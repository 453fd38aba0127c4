"""Every distribution is complete, and installs and imports alone, in an empty environment."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LICENSE = (ROOT / "LICENSE").read_bytes()

# What is in a folder or file with the name of an extra needs that extra.
IMPORT_ALL = """
import importlib, pathlib, sys

name, extras, installed = sys.argv[1], *(set(text.split(",")) for text in sys.argv[2:])
home = pathlib.Path(importlib.import_module(name).__file__).parent
assert home.is_relative_to(sys.prefix), home
for file in sorted(home.rglob("*.py")):
    parts = file.relative_to(home.parent).with_suffix("").parts
    if parts[-1] != "__main__" and not (extras - installed).intersection(parts):
        importlib.import_module(".".join(parts).removesuffix(".__init__"))
"""


@dataclass(frozen=True)
class Member:
    """A member of the workspace."""

    folder: Path

    @property
    def project(self) -> dict[str, Any]:
        """What its pyproject.toml says about it."""
        text = (self.folder / "pyproject.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)["project"]

    @property
    def name(self) -> str:
        """Its distribution's name."""
        return self.project["name"]

    @property
    def module(self) -> str:
        """The package it ships."""
        return self.name.replace("-", "_")


WITH_EXTRAS = {"cqrs-ddd-core", "cqrs-ddd-specifications", "cqrs-ddd-messaging"}
"""Those with code that needs an extra; elsewhere extras are drivers, which nothing imports."""

MEMBERS = [
    Member(file.parent)
    for pattern in ("packages/**/pyproject.toml", "examples/*/pyproject.toml")
    for file in sorted(ROOT.glob(pattern))
]


def run(*command: str | Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def uv() -> str:
    found = shutil.which("uv")
    assert found is not None, "the workspace is built with uv: pip install uv"
    return found


@pytest.fixture(scope="session")
def dist(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist of every member, and a wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(uv, "build", "--quiet", "--all-packages", "--out-dir", folder)
    return folder


@pytest.fixture(scope="session")
def constraints(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has uv take members from ``dist``, never something of the same name from elsewhere."""
    lines = [f"{member.name} @ {wheel(dist, member).as_uri()}\n" for member in MEMBERS]
    file = tmp_path_factory.mktemp("constraints") / "constraints.txt"
    file.write_text("".join(lines), encoding="utf-8")
    return file


def wheel(dist: Path, member: Member) -> Path:
    (found,) = dist.glob(f"{member.module}-*.whl")
    return found


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_the_wheel_has_its_types_and_its_license(member: Member, dist: Path) -> None:
    with zipfile.ZipFile(wheel(dist, member)) as archive:
        files = {name.partition("/")[2]: name for name in archive.namelist()}
        assert f"{member.module}/py.typed" in files.values()
        assert archive.read(files["licenses/LICENSE"]) == LICENSE


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_the_sdist_has_what_the_wheel_is_built_from(member: Member, dist: Path) -> None:
    (sdist,) = dist.glob(f"{member.module}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml"} <= files
    assert f"src/{member.module}/__init__.py" in files


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_it_installs_alone_and_imports(
    member: Member, uv: str, dist: Path, constraints: Path, tmp_path: Path
) -> None:
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    install = (uv, "pip", "install", "--quiet", "--python", python, "--constraint", constraints)
    run(*install, wheel(dist, member))
    extras = ",".join(member.project.get("optional-dependencies", {}))
    import_all = (python, "-I", "-W", "error", "-c", IMPORT_ALL, member.module, extras)
    run(*import_all, "")
    for command in member.project.get("scripts", {}):
        run(python.with_name(command), "--help")
    if extras and member.name in WITH_EXTRAS:
        run(*install, f"{member.name}[{extras}] @ {wheel(dist, member).as_uri()}")
        run(*import_all, extras)


def test_every_member_is_known_to_the_workspace() -> None:
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {member.name for member in MEMBERS} == set(workspace["tool"]["uv"]["sources"])
