"""Every example in a docstring of the packages runs and prints what it shows."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    return [
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for source in sorted(ROOT.glob("packages/**/src"))
        for file in sorted(source.rglob("*.py"))
        if ">>>" in file.read_text(encoding="utf-8")
    ]


def test_there_are_examples() -> None:
    assert "cqrs_ddd_core.domain.value_object" in modules_with_examples()


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for example in doctest.DocTestFinder().find(importlib.import_module(name), name):
        runner.run(example, out=output.append)
    assert runner.tries
    assert not runner.failures, "".join(output)
