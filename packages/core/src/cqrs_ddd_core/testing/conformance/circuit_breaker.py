"""What every circuit breaker promises: failures in a row open it, probes close it."""
# ruff: noqa: D102 - test names are sentences

import asyncio

import pytest

from cqrs_ddd_core.cqrs.circuit import guarded
from cqrs_ddd_core.ports.circuit_breaker import (
    CircuitOpenError,
    CircuitPermit,
    CircuitState,
    ICircuitBreaker,
)

_THRESHOLD = 3
_LONG = 30.0


class _UnavailableError(Exception):
    """What is called does not work."""


class _RefusedError(Exception):
    """What is called works, and says no."""


class CircuitBreakerConformance:
    """Subclass, provide the fixture ``breaker``, and the method ``let_it_recover``, done.

    It opens after 3 failures in a row, for longer than a test lasts, and lets one call probe it at
    a time.
    """

    async def let_it_recover(self) -> None:
        """Let the time pass for which a circuit stays open."""
        raise NotImplementedError

    async def test_it_implements_the_port(self, breaker: ICircuitBreaker) -> None:
        assert isinstance(breaker, ICircuitBreaker)

    async def test_a_new_circuit_is_closed(self, breaker: ICircuitBreaker) -> None:
        assert await breaker.state_of("new") is CircuitState.CLOSED

    async def test_failures_in_a_row_open_it(self, breaker: ICircuitBreaker) -> None:
        await self._fail(breaker, _THRESHOLD - 1)
        assert await breaker.state_of("c") is CircuitState.CLOSED
        await self._fail(breaker, 1)
        assert await breaker.state_of("c") is CircuitState.OPEN
        with pytest.raises(CircuitOpenError) as refused:
            await breaker.enter("c")
        assert refused.value.circuit == "c"
        assert refused.value.retry_in > 0

    async def test_a_success_between_failures_keeps_it_closed(
        self, breaker: ICircuitBreaker
    ) -> None:
        await self._fail(breaker, _THRESHOLD - 1)
        await breaker.leave(await breaker.enter("c"), failed=False)
        await self._fail(breaker, _THRESHOLD - 1)
        assert await breaker.state_of("c") is CircuitState.CLOSED

    async def test_circuits_do_not_know_each_other(self, breaker: ICircuitBreaker) -> None:
        await self._fail(breaker, _THRESHOLD)
        assert await breaker.state_of("other") is CircuitState.CLOSED
        await breaker.enter("other")

    async def test_what_says_nothing_changes_nothing(self, breaker: ICircuitBreaker) -> None:
        for _ in range(_THRESHOLD):
            await breaker.leave(await breaker.enter("c"), failed=None)
        await self._fail(breaker, _THRESHOLD - 1)
        await breaker.leave(await breaker.enter("c"), failed=None)
        await self._fail(breaker, 1)
        assert await breaker.state_of("c") is CircuitState.OPEN

    async def test_a_probe_that_works_closes_it(self, breaker: ICircuitBreaker) -> None:
        await self._fail(breaker, _THRESHOLD)
        await breaker.leave(await self._probe(breaker), failed=False)
        assert await breaker.state_of("c") is CircuitState.CLOSED
        await self._fail(breaker, _THRESHOLD - 1)
        assert await breaker.state_of("c") is CircuitState.CLOSED, "earlier failures are forgotten"

    async def test_a_probe_that_fails_opens_it_again(self, breaker: ICircuitBreaker) -> None:
        await self._fail(breaker, _THRESHOLD)
        await breaker.leave(await self._probe(breaker), failed=True)
        with pytest.raises(CircuitOpenError):
            await breaker.enter("c")

    async def test_only_one_probes_at_a_time(self, breaker: ICircuitBreaker) -> None:
        await self._fail(breaker, _THRESHOLD)
        await self._probe(breaker)
        outcomes = await asyncio.gather(
            *(breaker.enter("c") for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(outcome, CircuitOpenError) for outcome in outcomes)
        assert await breaker.state_of("c") is CircuitState.HALF_OPEN

    async def test_a_probe_that_says_nothing_makes_room_for_another(
        self, breaker: ICircuitBreaker
    ) -> None:
        await self._fail(breaker, _THRESHOLD)
        await breaker.leave(await self._probe(breaker), failed=None)
        assert (await breaker.enter("c")).is_probe

    async def test_a_call_from_before_says_nothing_about_now(
        self, breaker: ICircuitBreaker
    ) -> None:
        early = [await breaker.enter("c") for _ in range(2)]
        await self._fail(breaker, _THRESHOLD)
        await breaker.leave(early[0], failed=False)
        assert await breaker.state_of("c") is CircuitState.OPEN
        await self._probe(breaker)
        await breaker.leave(early[1], failed=True)
        assert await breaker.state_of("c") is CircuitState.HALF_OPEN

    async def test_a_block_tells_how_it_has_come_out(self, breaker: ICircuitBreaker) -> None:
        async def call(error: Exception | None) -> None:
            async with guarded(breaker, "c", failures=(_UnavailableError,)):
                if error is not None:
                    raise error

        for error in (
            _UnavailableError(),
            _UnavailableError(),
            _RefusedError(),
            _UnavailableError(),
            _UnavailableError(),
        ):
            with pytest.raises(type(error)):
                await call(error)
        assert await breaker.state_of("c") is CircuitState.CLOSED, "a refusal is an answer"
        with pytest.raises(_UnavailableError):
            await call(_UnavailableError())
        with pytest.raises(CircuitOpenError):
            await call(None)

    async def test_a_cancelled_probe_makes_room_for_another(self, breaker: ICircuitBreaker) -> None:
        await self._fail(breaker, _THRESHOLD)
        await self.let_it_recover()
        entered = asyncio.Event()

        async def hang() -> None:
            async with guarded(breaker, "c", failures=(_UnavailableError,)):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hang())
        await asyncio.wait_for(entered.wait(), _LONG)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await breaker.enter("c")).is_probe

    async def _fail(self, breaker: ICircuitBreaker, times: int) -> None:
        for _ in range(times):
            await breaker.leave(await breaker.enter("c"), failed=True)

    async def _probe(self, breaker: ICircuitBreaker) -> CircuitPermit:
        await self.let_it_recover()
        permit = await breaker.enter("c")
        assert permit.is_probe
        return permit
