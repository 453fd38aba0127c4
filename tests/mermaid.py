"""Diagrams are read by Mermaid itself, in an engine that comes as a wheel."""

from typing import Any, cast

import mermaidx  # pyright: ignore[reportMissingTypeStubs]

_render = cast("Any", mermaidx).render


def drawn(diagram: object) -> str:
    """Return the picture of a diagram, as SVG.

    Raises:
        RuntimeError: Mermaid cannot read it.
    """
    return str(_render(str(diagram)).svg())
