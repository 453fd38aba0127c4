"""Diagrams in Mermaid, of what an application is wired from."""

from cqrs_ddd_core.diagrams.text import (
    ClassDiagram,
    DiagramKind,
    SequenceDiagram,
    StateDiagram,
    label,
)

__all__ = ["ClassDiagram", "DiagramKind", "SequenceDiagram", "StateDiagram", "label"]
