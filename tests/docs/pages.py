"""Pages of documentation, and how their blocks of Python are run."""

import ast
import asyncio
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

FENCED = re.compile(
    r"^(?P<marker><!-- *(?:no-run|output) *-->\n+)?^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: Python that is run, or the output that the Python before it printed."""

    page: Path
    line: int
    code: str
    is_output: bool

    def compiled(self) -> CodeType:
        """Return code that may await, with the line numbers of the page."""
        return compile(
            "\n" * (self.line - 1) + self.code,
            self.page,
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )


def blocks_of(page: Path) -> list[Block]:
    """Return what is to be run or compared on a page, in order.

    ``<!-- no-run -->`` above a block of Python exempts it. ``<!-- output -->`` above another block
    says that this is what the blocks before it printed.
    """
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    for found in FENCED.finditer(text):
        marker = found["marker"] or ""
        is_output = "output" in marker
        if is_output or (found["language"] == "python" and "no-run" not in marker):
            line = text.count("\n", 0, found.start("code")) + 1
            blocks.append(Block(page, line, found["code"], is_output))
    return blocks


def run_page(page: Path, module: ModuleType, printed: Callable[[], str]) -> None:
    """Run a page's blocks one after another in ``module``.

    Args:
        page: the page.
        module: whose names the blocks share.
        printed: returns what was printed since the last call.
    """
    with asyncio.Runner() as runner:
        for block in blocks_of(page):
            if block.is_output:
                output = printed()
                assert output.strip() == block.code.strip(), f"{page}:{block.line} prints {output}"
            elif (code := block.compiled()).co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, module.__dict__))
            else:
                exec(code, module.__dict__)


def diagrams_of(page: Path) -> list[tuple[int, str]]:
    """Return the Mermaid diagrams of a page, each with its line."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start("code")) + 1, found["code"])
        for found in FENCED.finditer(text)
        if found["language"] == "mermaid"
    ]
