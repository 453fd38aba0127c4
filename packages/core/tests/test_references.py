"""What is named as ``module:attribute`` is found, opened, closed, and run."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest

from cqrs_ddd_core import ExitCode, ReferenceNotUsableError, load_reference, open_reference

MODULE = "module_under_test"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


def is_text(found: object) -> bool:
    return isinstance(found, str)


async def test_what_was_entered_is_left_when_the_block_ends_however_it_ends(
    module: ModuleType,
) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def open_it() -> AsyncGenerator[str]:
        try:
            yield "found"
        finally:
            steps.append("closed")

    vars(module)["open_it"] = open_it

    async def use() -> None:
        async with open_reference(f"{MODULE}:open_it", is_text, "a text") as found:
            steps.append(found)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use()
    assert steps == ["found", "closed"]


async def test_a_class_is_made_not_taken_for_its_object(module: ModuleType) -> None:
    class Shop:
        outbox = "its own"

    vars(module)["Shop"] = Shop
    async with open_reference(f"{MODULE}:Shop", lambda it: hasattr(it, "outbox"), "one") as found:
        assert isinstance(found, Shop)


async def test_what_cannot_become_what_is_wanted_says_what_it_is(module: ModuleType) -> None:
    vars(module)["number"] = 7
    with pytest.raises(ReferenceNotUsableError, match="gives a int, but a text is needed") as error:
        async with open_reference(f"{MODULE}:number", is_text, "a text"):
            pass
    assert error.value.reference == f"{MODULE}:number"


@pytest.mark.parametrize("reference", ["", "module", ":attribute", "module:"])
def test_a_reference_has_two_halves(reference: str) -> None:
    with pytest.raises(ReferenceNotUsableError, match="write it as package"):
        load_reference(reference)


def test_built_in_callables_without_a_signature_are_called_as_they_are() -> None:
    assert load_reference("builtins:dict.fromkeys") == dict.fromkeys


class TestAsAProcess:
    @staticmethod
    def run(folder: Path, reference: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "cqrs_ddd_core.runtime", reference],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_what_is_named_runs_and_its_exit_code_is_the_processs(self, tmp_path: Path) -> None:
        (tmp_path / "shop_in_process.py").write_text(
            "import os, signal\n"
            "from cqrs_ddd_core import Periodic\n"
            "async def act(): os.kill(os.getpid(), signal.SIGTERM)\n"
            "part = Periodic('once', act, every=3600)\n"
        )
        done = self.run(tmp_path, "shop_in_process:part")
        assert done.returncode == ExitCode.OK, done.stderr
        assert "Running once" in done.stderr

    def test_what_names_nothing_is_a_mistake_in_the_wiring(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, "no_such_shop:part")
        assert done.returncode == ExitCode.CONFIGURATION
        assert "There is no module 'no_such_shop'" in done.stderr
        assert "Traceback" not in done.stderr
