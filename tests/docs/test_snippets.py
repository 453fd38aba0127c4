"""Every block of Python in README and docs runs, in order, and every diagram is drawn."""

import sys
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import pytest

from tests.docs.pages import blocks_of, diagrams_of, run_page
from tests.mermaid import drawn

ROOT = Path(__file__).parents[2]
ALL = [
    page
    for pattern in ("README.md", "docs/**/*.md", "packages/**/README.md", "examples/*/README.md")
    for page in sorted(ROOT.glob(pattern))
    if ".venv" not in page.parts
]
PAGES = [page for page in ALL if blocks_of(page)]
DRAWN = [page for page in ALL if diagrams_of(page)]
Capture: TypeAlias = pytest.CaptureFixture[str]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module that a page's blocks are: they make files where no one minds."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)  # where pydantic looks up names in quotes
    monkeypatch.chdir(tmp_path)
    return main


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page: Path, module: ModuleType, capsys: Capture) -> None:
    run_page(page, module, lambda: capsys.readouterr().out)


@pytest.mark.parametrize("page", DRAWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_diagrams_of_a_page_are_drawn_by_mermaid(page: Path) -> None:
    for line, diagram in diagrams_of(page):
        try:
            drawn(diagram)
        except RuntimeError as error:
            raise AssertionError(f"{page}:{line} is no diagram") from error


class TestThePageRunner:
    @pytest.fixture
    def page(self, tmp_path: Path) -> Path:
        return tmp_path / "page.md"

    def test_blocks_share_names_and_may_await(
        self, page: Path, module: ModuleType, capsys: Capture
    ) -> None:
        page.write_text(
            "```python\nimport asyncio\nasync def two(): return 2\n```\n"
            "```python\nprint(await two())\n```\n<!-- output -->\n```text\n2\n```\n"
            '```python\nif __name__ == "__main__":\n    print(asyncio.run(two()))\n```\n'
        )
        run_page(page, module, lambda: capsys.readouterr().out)
        assert capsys.readouterr().out == "2\n"

    def test_an_error_names_the_line_of_the_page(
        self, page: Path, module: ModuleType, capsys: Capture
    ) -> None:
        page.write_text("A page.\n\n```python\nx = 1\nx.missing\n```\n")
        with pytest.raises(AttributeError, match="missing") as failure:
            run_page(page, module, lambda: capsys.readouterr().out)
        assert (Path(failure.traceback[-1].path), failure.traceback[-1].lineno) == (page, 4)

    def test_another_output_than_shown_fails(
        self, page: Path, module: ModuleType, capsys: Capture
    ) -> None:
        page.write_text("```python\nprint(1)\n```\n\n<!-- output -->\n\n```\n2\n```\n")
        with pytest.raises(AssertionError, match=r"page\.md:8 prints 1"):
            run_page(page, module, lambda: capsys.readouterr().out)

    def test_a_marked_block_and_other_languages_are_left_alone(self, page: Path) -> None:
        page.write_text(
            "<!-- no-run -->\n```python\n1 / 0\n```\n```console\n$ ls\n```\n```python\nx = 1\n```\n"
        )
        assert [(block.line, block.code) for block in blocks_of(page)] == [(9, "x = 1\n")]
