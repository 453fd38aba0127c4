"""The import rules of the workspace hold, and each of them would notice a violation."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS: list[dict[str, Any]] = tomllib.loads(
    (ROOT / "pyproject.toml").read_text(encoding="utf-8")
)["tool"]["importlinter"]["contracts"]

VIOLATIONS = {
    "core imports pydantic and nothing else": ("cqrs_ddd_core/domain", "import sqlalchemy"),
    "core is built in layers": ("cqrs_ddd_core/primitives", "from cqrs_ddd_core import ports"),
    "specifications import core": (
        "cqrs_ddd_specifications",
        "from cqrs_ddd_persistence_sqlalchemy import engine",
    ),
    "advanced imports core": (
        "cqrs_ddd_advanced_core",
        "from cqrs_ddd_persistence_sqlalchemy import engine",
    ),
    "the SQLAlchemy adapter imports no other adapter": (
        "cqrs_ddd_persistence_sqlalchemy",
        "import redis",
    ),
    "projections import ports, never adapters": (
        "cqrs_ddd_projections",
        "from cqrs_ddd_persistence_sqlalchemy import engine",
    ),
    "the brokers' adapters import core and their clients": (
        "cqrs_ddd_messaging",
        "import sqlalchemy",
    ),
    "the brokers' adapters do not know each other": (
        "cqrs_ddd_messaging/rabbitmq",
        "from cqrs_ddd_messaging import kafka",
    ),
    "the command line imports packages, typer and rich": ("cqrs_ddd_cli", "import sqlalchemy"),
    "the example's domain knows no database": ("order_fulfilment/domain", "import sqlalchemy"),
    "the example's application knows no database": (
        "order_fulfilment/application",
        "from order_fulfilment import infrastructure",
    ),
    "the example's web shop knows no database": ("order_fulfilment/web_shop", "import sqlalchemy"),
}


def lint_imports(source: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run import-linter, over copies of the packages in ``source`` when given."""
    command = shutil.which("lint-imports")
    assert command is not None
    path = os.pathsep.join(filter(None, [str(source or ""), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [command, "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def broken_rules(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter prints when every rule is broken once."""
    source = tmp_path_factory.mktemp("packages")
    for pyproject in [*ROOT.glob("packages/**/pyproject.toml"), *ROOT.glob("examples/*/*.toml")]:
        shutil.copytree(pyproject.parent / "src", source, dirs_exist_ok=True)
    for folder, statement in VIOLATIONS.values():
        (source / folder / "breaks_a_rule.py").write_text(f"{statement}\n", encoding="utf-8")
    done = lint_imports(source)
    assert done.returncode != 0
    return done.stdout


def test_the_import_rules_hold() -> None:
    done = lint_imports()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [contract["name"] for contract in CONTRACTS])
def test_breaking_a_rule_is_noticed(name: str, broken_rules: str) -> None:
    assert name in VIOLATIONS, "add an import that breaks this contract to VIOLATIONS"
    assert f"{name} BROKEN" in broken_rules
