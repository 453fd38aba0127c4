"""Changes that cannot both be kept."""

from collections.abc import Sequence

from cqrs_ddd_core.primitives.errors import CQRSDDDError


class MergeConflictError(CQRSDDDError):
    """Both sides changed the same fields, each in its own way.

    Attributes:
        fields: their names, with dots where they are nested.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = list(fields)
        super().__init__(
            f"Both sides changed {', '.join(fields)}. Show both to the user, or choose a strategy "
            "that decides: ignore_conflicts=True lets the later change win."
        )
