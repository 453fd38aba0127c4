"""Writes Mermaid: names become participants, states and classes that any reader can draw."""

import re
from typing import Literal

DiagramKind = Literal["sequence", "state", "class"]

_PLAIN = frozenset(" _-.,()+*/'=@!?")
_LONGEST = 60
_METHOD = re.compile(r"\w+\([^()]*\)")


def label(text: object) -> str:
    """Return ``text`` as a label that Mermaid reads as text, whatever stands in it.

    Long ones are cut. Characters that mean something to Mermaid are written as their code points.

    Example:
        >>> label("refund: 5 %")
        'refund#58; 5 #37;'
    """
    words = " ".join(str(text).split())
    cut = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
    return "".join(
        character if character in _PLAIN or character.isalnum() else f"#{ord(character)};"
        for character in cut
    )


class Diagram:
    """Lines of one diagram; names are numbered, so that they can be anything.

    Args:
        heading: the line that says what it is.
        prefix: what the ids of its names begin with.
        declaration: how a name is declared, from ``id`` and ``label``.
    """

    def __init__(self, heading: str, prefix: str, declaration: str) -> None:
        self._heading, self._prefix, self._declaration = heading, prefix, declaration
        self._ids: dict[str, str] = {}
        self._declared: list[str] = []
        self._lines: list[str] = []

    def id_of(self, name: str) -> str:
        """Return the id of ``name``, which is declared when it comes up first."""
        if name not in self._ids:
            self._ids[name] = f"{self._prefix}{len(self._ids) + 1}"
            text = label(name) or "_"
            self._declared.append(self._declaration.format(id=self._ids[name], label=text))
        return self._ids[name]

    def line(self, text: str) -> None:
        """Add a line."""
        self._lines.append(text)

    def __str__(self) -> str:
        """Return the text of the diagram."""
        return "\n    ".join([self._heading, *self._declared, *self._lines])


class SequenceDiagram(Diagram):
    """Who says what to whom, from top to bottom.

    Example:
        >>> diagram = SequenceDiagram()
        >>> diagram.message("Shop", "Payment", "ChargePayment")
        >>> print(diagram)
        sequenceDiagram
            participant p1 as Shop
            participant p2 as Payment
            p1->>p2: ChargePayment
    """

    def __init__(self) -> None:
        super().__init__("sequenceDiagram", "p", "participant {id} as {label}")

    def message(self, sender: str, receiver: str, text: str, *, reply: bool = False) -> None:
        """Add a message; a reply has a dashed line."""
        arrow = "-->>" if reply else "->>"
        ends = f"{self.id_of(sender)}{arrow}{self.id_of(receiver)}"
        self.line(f"{ends}: {label(text) or '_'}")

    def note(self, about: str, text: str) -> None:
        """Add a note over a participant."""
        self.line(f"Note over {self.id_of(about)}: {label(text) or '_'}")

    def block(self, keyword: Literal["alt", "else", "opt", "par", "and"], text: str) -> None:
        """Begin a block, or its next branch; ``end`` ends it."""
        self.line(f"{keyword} {label(text) or '_'}")

    def end(self) -> None:
        """End the block that was begun last."""
        self.line("end")


class StateDiagram(Diagram):
    """Which states there are, and what leads from one to another.

    Example:
        >>> diagram = StateDiagram()
        >>> diagram.begins("reserving")
        >>> diagram.transition("reserving", "charging", "ItemsReserved")
        >>> diagram.ends("charging")
        >>> print(diagram)
        stateDiagram-v2
            state "reserving" as s1
            state "charging" as s2
            [*] --> s1
            s1 --> s2 : ItemsReserved
            s2 --> [*]
    """

    def __init__(self) -> None:
        super().__init__("stateDiagram-v2", "s", 'state "{label}" as {id}')

    def begins(self, state: str, text: str = "") -> None:
        """Add where it begins."""
        self._arrow("[*]", self.id_of(state), text)

    def transition(self, before: str, after: str, text: str = "") -> None:
        """Add a transition and what causes it."""
        first = self.id_of(before)
        self._arrow(first, self.id_of(after), text)

    def ends(self, state: str, text: str = "") -> None:
        """Add where it may end."""
        self._arrow(self.id_of(state), "[*]", text)

    def _arrow(self, before: str, after: str, text: str) -> None:
        self.line(f"{before} --> {after}" + (f" : {label(text)}" if label(text) else ""))


class ClassDiagram(Diagram):
    """Which classes there are, what they have, and how they know each other.

    Example:
        >>> diagram = ClassDiagram()
        >>> diagram.has("Payment", "act(context)")
        >>> diagram.knows("ShipOrder", "Payment", "step 2")
        >>> print(diagram)
        classDiagram
            class c1["Payment"]
            class c2["ShipOrder"]
            c1 : act(context)
            c2 --> c1 : step 2
    """

    def __init__(self) -> None:
        super().__init__("classDiagram", "c", 'class {id}["{label}"]')

    def has(self, name: str, member: str) -> None:
        """Add a member to a class; one with brackets at its end is a method."""
        text = label(member) or "_"
        if not _METHOD.fullmatch(text):  # other brackets would confuse Mermaid
            text = text.replace("(", "#40;").replace(")", "#41;")
        self.line(f"{self.id_of(name)} : {text}")

    def knows(self, name: str, other: str, text: str = "") -> None:
        """Add a relation from a class to another."""
        ends = f"{self.id_of(name)} --> {self.id_of(other)}"
        self.line(ends + (f" : {label(text)}" if label(text) else ""))
