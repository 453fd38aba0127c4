"""Circuits of one process."""

import logging
from dataclasses import dataclass

from cqrs_ddd_core.ports.circuit_breaker import CircuitOpenError, CircuitPermit, CircuitState
from cqrs_ddd_core.primitives.clock import current_clock
from cqrs_ddd_core.primitives.errors import ConfigurationError

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Circuit:
    """Where a circuit stands; ``period`` is one higher after each change of its state."""

    state: CircuitState = CircuitState.CLOSED
    period: int = 0
    failures: int = 0
    probes: int = 0
    closable_at: float = 0.0


class InMemoryCircuitBreaker:
    """Keeps circuits for the tasks of one process (see ``ICircuitBreaker``).

    Args:
        failure_threshold: failures in a row that open a circuit.
        recovery_time: seconds for which it stays open before calls may probe it.
        probes: how many calls may probe it at once; the first success closes it.

    Raises:
        ConfigurationError: one of them is less than it can be.

    Example:
        >>> import asyncio
        >>> breaker = InMemoryCircuitBreaker(failure_threshold=3, recovery_time=30)
        >>> asyncio.run(breaker.state_of("payments")).value
        'closed'
    """

    def __init__(
        self, *, failure_threshold: int = 5, recovery_time: float = 30.0, probes: int = 1
    ) -> None:
        if failure_threshold < 1 or recovery_time <= 0 or probes < 1:
            raise ConfigurationError(
                f"A circuit cannot open after {failure_threshold} failures for {recovery_time:g} s "
                f"with {probes} probes; give it at least 1 failure, some time and 1 probe."
            )
        self._threshold, self._recovery, self._probes = failure_threshold, recovery_time, probes
        self._circuits: dict[str, _Circuit] = {}

    async def enter(self, circuit: str) -> CircuitPermit:
        """Return the permit for a call."""
        found = self._circuits.setdefault(circuit, _Circuit())
        if found.state is CircuitState.CLOSED:
            return CircuitPermit(circuit, found.period, is_probe=False)
        if self._state(found) is not CircuitState.HALF_OPEN or found.probes >= self._probes:
            left = found.closable_at - current_clock().monotonic()
            raise CircuitOpenError(circuit, max(0.0, left))
        if found.state is CircuitState.OPEN:
            self._change(circuit, found, CircuitState.HALF_OPEN)
        found.probes += 1
        return CircuitPermit(circuit, found.period, is_probe=True)

    async def leave(self, permit: CircuitPermit, *, failed: bool | None) -> None:
        """Tell how the call has come out."""
        found = self._circuits.get(permit.circuit)
        if found is None or found.period != permit.period:
            return
        if permit.is_probe:
            found.probes -= 1
        if failed is None:
            return
        if not failed:
            found.failures = 0
            if permit.is_probe:
                self._change(permit.circuit, found, CircuitState.CLOSED)
            return
        found.failures += 1
        if permit.is_probe or found.failures >= self._threshold:
            found.closable_at = current_clock().monotonic() + self._recovery
            self._change(permit.circuit, found, CircuitState.OPEN)

    async def state_of(self, circuit: str) -> CircuitState:
        """Return whether calls go through now."""
        found = self._circuits.get(circuit)
        return self._state(found) if found is not None else CircuitState.CLOSED

    def _state(self, circuit: _Circuit) -> CircuitState:
        """Return the state, which an open circuit leaves by itself."""
        if circuit.state is not CircuitState.OPEN:
            return circuit.state
        is_over = current_clock().monotonic() >= circuit.closable_at
        return CircuitState.HALF_OPEN if is_over else CircuitState.OPEN

    def _change(self, name: str, circuit: _Circuit, state: CircuitState) -> None:
        circuit.state, circuit.failures, circuit.probes = state, 0, 0
        circuit.period += 1
        level = logging.WARNING if state is CircuitState.OPEN else logging.INFO
        _log.log(level, "The circuit %s is %s", name, state.value)
