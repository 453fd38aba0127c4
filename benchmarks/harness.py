"""Runs a pair of functions by turns and compares their medians."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any, Literal, NamedTuple

Work = Callable[[], Awaitable[float]]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Pair:
    """The same work twice; each returns how many units it did.

    Attributes:
        prepare: called before each, and not measured.
        measures: each returns the seconds it has measured itself, instead of units.
        peer: the same work by another library, where it is installed.
    """

    ours: Work
    twin: Work
    prepare: Callable[[], Awaitable[object]] | None = None
    measures: bool = False
    peer: Work | None = None


@dataclass(frozen=True)
class Result:
    """What was measured; ``ratio`` is ours over twin, ``peer`` another library's figure.

    Attributes:
        processor: the processor time of this process, ours and twin, in microseconds a unit; it
            says more than the rate on a machine that others use, too.
    """

    case: str
    ours: float
    twin: float
    ratio: float
    unit: str
    better: Better
    processor: tuple[float, float]
    peer: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as data."""
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """A measurement: what it is called, and what opens its pair."""

    name: str
    unit: str
    better: Better
    open: Callable[[], AbstractAsyncContextManager[Pair]]
    rounds: int


_cases: dict[str, list[Case]] = {}


def case(
    group: str, name: str, *, unit: str, better: Better, rounds: int = 9
) -> Callable[[Callable[[], AsyncGenerator[Pair]]], Callable[[], AsyncGenerator[Pair]]]:
    """Register an async generator that sets up, yields a ``Pair`` and cleans up."""

    def register(
        function: Callable[[], AsyncGenerator[Pair]],
    ) -> Callable[[], AsyncGenerator[Pair]]:
        opened = Case(name, unit, better, asynccontextmanager(function), rounds)
        _cases.setdefault(group, []).append(opened)
        return function

    return register


def cases(name: str) -> list[Case]:
    """Return the cases of a group, or those whose names begin so."""
    every = [each for group in _cases.values() for each in group]
    return _cases.get(name) or [each for each in every if each.name.startswith(name)]


def groups() -> list[str]:
    """Return the names of the groups."""
    return list(_cases)


class _Spent(NamedTuple):
    """Seconds a unit: by the clock on the wall, and of this process's processor."""

    wall: float
    processor: float


async def measured(measurement: Case) -> Result:
    """Run a case: one round to warm up, then rounds of ours, twin and peer by turns."""
    async with measurement.open() as pair:
        works = [pair.ours, pair.twin] + ([pair.peer] if pair.peer is not None else [])
        for work in works:
            await _spent(pair, work)
        figures: list[list[_Spent]] = [[] for _ in works]
        for turn in range(measurement.rounds):
            order = list(zip(works, figures, strict=True))
            for work, taken in order if turn % 2 else reversed(order):
                taken.append(await _spent(pair, work))
    return _result(measurement, *map(_medians, figures))


async def _spent(pair: Pair, work: Work) -> _Spent:
    if pair.prepare is not None:
        await pair.prepare()
    start, busy = perf_counter(), process_time()
    units = await work()
    wall, processor = perf_counter() - start, process_time() - busy
    return _Spent(units, processor) if pair.measures else _Spent(wall / units, processor / units)


def _medians(figures: Sequence[_Spent]) -> _Spent:
    return _Spent(median(each.wall for each in figures), median(each.processor for each in figures))


def _scaled(seconds: float, unit: str) -> float:
    """Return a duration in a unit of time, or how often it fits into a second."""
    times = {"µs": 1e6, "ms": 1e3}.get(unit)
    return seconds * times if times is not None else 1 / seconds


def _result(measurement: Case, ours: _Spent, twin: _Spent, peer: _Spent | None = None) -> Result:
    first, second = (_scaled(each.wall, measurement.unit) for each in (ours, twin))
    return Result(
        measurement.name,
        round(first, 3),
        round(second, 3),
        round(first / second, 3),
        measurement.unit,
        measurement.better,
        (round(ours.processor * 1e6, 2), round(twin.processor * 1e6, 2)),
        None if peer is None else round(_scaled(peer.wall, measurement.unit), 3),
    )
