"""The page of known failures names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"\bdef (test_\w+)\(")


def test_every_test_that_the_page_names_exists() -> None:
    named = TEST.findall((ROOT / "docs/known-failures.md").read_text(encoding="utf-8"))
    files = [
        *ROOT.glob("packages/**/tests/**/*.py"),
        *ROOT.glob("packages/**/testing/conformance/*.py"),
        *ROOT.glob("tests/**/*.py"),
    ]
    defined = {name for file in files for name in DEFINED.findall(file.read_text(encoding="utf-8"))}
    assert len(named) > 1
    assert [name for name in named if name not in defined] == []
