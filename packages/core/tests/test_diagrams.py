"""Diagrams are drawn by Mermaid itself, whatever the names are."""

from typing import Any

import pytest

from cqrs_ddd_core import handler_chain
from cqrs_ddd_core.diagrams import ClassDiagram, SequenceDiagram, StateDiagram
from tests.mermaid import drawn

HOSTILE = [
    "",
    "end",
    "a;b",
    "x: y",
    "#35;",
    "[*]",
    "class",
    "note",
    '"quoted"',
    "<b>",
    "{x}",
    "日本 “é”",
    "a-->b",
    "%%{init}%%",
    "`x`",
    "~T~",
    "$$",
    "()",
    "*)",
    "f(x)",
    "a\nb",
    "<<fork>>",
    "__proto__",
    "x" * 500,
]


def test_mermaid_refuses_what_is_no_diagram() -> None:
    with pytest.raises(RuntimeError, match="Parse error"):
        drawn("sequenceDiagram\n    A->>>>B hi")


def test_any_name_can_stand_in_a_sequence() -> None:
    diagram = SequenceDiagram()
    for name in HOSTILE:
        diagram.message(name, "other", name)
        diagram.note(name, name)
        diagram.block("alt", name)
        diagram.message("other", name, name, reply=True)
        diagram.block("else", name)
        diagram.end()
    assert "日本" in drawn(diagram)


def test_any_name_can_stand_in_a_state_diagram() -> None:
    diagram = StateDiagram()
    for name in HOSTILE:
        diagram.begins(name, name)
        diagram.transition(name, "other", name)
        diagram.ends(name, name)
    assert "日本" in drawn(diagram)


def test_any_name_can_stand_in_a_class_diagram() -> None:
    diagram = ClassDiagram()
    for name in HOSTILE:
        diagram.has(name, name)
        diagram.knows(name, "other", name)
    assert "日本" in drawn(diagram)


async def clerk(command: Any, pass_on: Any) -> Any:
    return await pass_on(command)


@pytest.mark.parametrize("kind", ["sequence", "class"])
def test_a_chain_shows_each_link_also_when_one_comes_twice(kind: Any) -> None:
    chain = handler_chain(clerk, clerk, clerk)
    picture = drawn(chain.to_mermaid(kind))
    assert all(name in picture for name in ("clerk", "clerk (2)", "clerk (3)"))
