"""What goes wrong with projections."""

from collections.abc import Sequence

from cqrs_ddd_core.primitives.errors import ConfigurationError, CQRSDDDError, InfrastructureError


class ProjectionRegistrationError(ConfigurationError):
    """A projection can never work as it is written.

    Attributes:
        problems: everything that is wrong with it.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(problems))


class ProjectionBehindError(InfrastructureError):
    """A projection has not reached a position in time.

    Attributes:
        projection: its name.
        position: what was waited for.
        reached: where it is; None when it has never run.
    """

    def __init__(self, projection: str, position: int, reached: int | None, timeout: float) -> None:
        self.projection, self.position, self.reached = projection, position, reached
        where = "has never run" if reached is None else f"is at {reached}"
        super().__init__(
            f"{projection!r} {where}, and {position} was waited for, {timeout:g} s long. See with "
            "`cqrs-ddd projections status` whether a worker runs and whether it has stopped."
        )


class ProjectionStoppedError(CQRSDDDError):
    """A projection has stopped at an event that cannot be applied.

    Attributes:
        projection: its name.
    """

    def __init__(self, projection: str, error: str) -> None:
        self.projection = projection
        super().__init__(
            f"{projection} has stopped at {error}. Mend the cause, then `cqrs-ddd projections "
            f"resume {projection}`."
        )


class RebuildAbandonedError(CQRSDDDError):
    """The version that was waited for will not be read.

    Attributes:
        projection: its name.
    """

    def __init__(self, projection: str) -> None:
        self.projection = projection
        super().__init__(
            f"The rebuild of {projection!r} was given up; the version before it goes on being "
            f"read. `cqrs-ddd projections rebuild {projection}` begins another one."
        )
