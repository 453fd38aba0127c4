"""The port that keeps calls away from what fails again and again."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.primitives.errors import InfrastructureError


class CircuitState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    """They do."""
    OPEN = "open"
    """They are refused, for a time."""
    HALF_OPEN = "half-open"
    """A few do, and show whether all may again."""


class CircuitOpenError(InfrastructureError):
    """A call was not made, because what it would have called has failed too often.

    Attributes:
        circuit: the circuit's name.
        retry_in: seconds until a call may get through.
    """

    def __init__(self, circuit: str, retry_in: float) -> None:
        self.circuit, self.retry_in = circuit, retry_in
        super().__init__(
            f"The circuit {circuit!r} is open: it has failed too often. Try again in "
            f"{retry_in:.1f} s, or do without it meanwhile."
        )


@dataclass(frozen=True, slots=True)
class CircuitPermit:
    """The right to make one call.

    Attributes:
        circuit: the circuit's name.
        period: counts the circuit's states; what a call of an earlier one has met says nothing
            about the state of now.
        is_probe: whether the call shows if the circuit may be closed.
    """

    circuit: str
    period: int
    is_probe: bool


@runtime_checkable
class ICircuitBreaker(Protocol):
    """Opens a circuit after failures in a row, and lets a few calls probe it after a time.

    Circuits have names and come into being, closed, when they are first asked for. One that is
    shared by processes ends a permit for a probe by itself after a time, for its holder may die.
    """

    async def enter(self, circuit: str) -> CircuitPermit:
        """Return the permit for a call.

        Raises:
            CircuitOpenError: calls are refused, or enough of them probe the circuit.
        """
        ...

    async def leave(self, permit: CircuitPermit, *, failed: bool | None) -> None:
        """Tell how the call has come out; None when that says nothing about what was called."""
        ...

    async def state_of(self, circuit: str) -> CircuitState:
        """Return whether calls go through now."""
        ...
