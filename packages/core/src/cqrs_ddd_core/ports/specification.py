"""The port of a condition that an object meets or does not."""

from typing import Any, Protocol, TypeVar, runtime_checkable

T_contra = TypeVar("T_contra", contravariant=True)


@runtime_checkable
class ISpecification(Protocol[T_contra]):
    """A condition, to be asked of an object or compiled for a database."""

    def is_satisfied_by(self, candidate: T_contra, /) -> bool:
        """Whether ``candidate`` meets the condition."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the condition as data."""
        ...
