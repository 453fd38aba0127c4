"""Making calls through a circuit breaker."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cqrs_ddd_core.cqrs.shielding import shielded
from cqrs_ddd_core.ports.circuit_breaker import ICircuitBreaker


@asynccontextmanager
async def guarded(
    breaker: ICircuitBreaker,
    circuit: str,
    *,
    failures: tuple[type[Exception], ...],
    neutral: tuple[type[Exception], ...] = (),
) -> AsyncGenerator[None]:
    """Let the block through a circuit, and tell the breaker how it has come out.

    Args:
        breaker: knows the circuit.
        circuit: its name: what is called.
        failures: errors that say that what is called does not work. Others, such as a refusal,
            say that it does. A block that is cancelled says nothing.
        neutral: errors that say nothing either.

    Raises:
        CircuitOpenError: the block is not entered.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_core import InMemoryCircuitBreaker
        >>> breaker = InMemoryCircuitBreaker(failure_threshold=1)
        >>> async def call():
        ...     async with guarded(breaker, "payments", failures=(TimeoutError,)):
        ...         raise TimeoutError
        >>> async def call_twice():
        ...     for _ in range(2):
        ...         try:
        ...             await call()
        ...         except Exception as error:
        ...             print(type(error).__name__)
        >>> asyncio.run(call_twice())
        TimeoutError
        CircuitOpenError
    """
    permit = await breaker.enter(circuit)
    failed: bool | None = None
    try:
        yield
        failed = False
    except Exception as error:
        failed = None if isinstance(error, neutral) else isinstance(error, failures)
        raise
    finally:
        await shielded(breaker.leave(permit, failed=failed))
