"""What a type checker knows about messages, handlers and repositories, and what it refuses."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parent / "samples"
RIGHT = sorted(path.name for path in SAMPLES.glob("*.py"))
WRONG = sorted(path.name for path in SAMPLES.glob("wrong/*.py"))
MARK = "# wrong:"

Complaints = dict[str, dict[int, list[str]]]


@pytest.fixture(scope="module")
def complaints() -> Complaints:
    """What pyright says of the samples in strict mode: messages by file and line."""
    command = [sys.executable, "-m", "pyright", "--outputjson"]
    command += ["--project", str(SAMPLES), "--pythonpath", sys.executable]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    report: dict[str, Any] = json.loads(finished.stdout)
    assert report["summary"]["filesAnalyzed"] == len(RIGHT) + len(WRONG), finished.stderr
    found: Complaints = defaultdict(lambda: defaultdict(list))
    for diagnostic in report["generalDiagnostics"]:
        line = diagnostic["range"]["start"]["line"] + 1
        found[Path(diagnostic["file"]).name][line].append(diagnostic["message"])
    return found


@pytest.mark.parametrize("sample", RIGHT)
def test_what_is_right_passes_in_strict_mode(sample: str, complaints: Complaints) -> None:
    assert not complaints[sample]


@pytest.mark.parametrize("sample", WRONG)
def test_exactly_the_marked_lines_are_type_errors(sample: str, complaints: Complaints) -> None:
    lines = (SAMPLES / "wrong" / sample).read_text().splitlines()
    marked = {number for number, line in enumerate(lines, start=1) if MARK in line}
    assert marked
    assert set(complaints[sample]) == marked, dict(complaints[sample])
