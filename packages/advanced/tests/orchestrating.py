"""Steps whose effects are counted, processes that die, and what tests do with them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cqrs_ddd_advanced_core.orchestration import OrchestrationRunner, PlannedSaga, StepCall
from cqrs_ddd_advanced_core.sagas import (
    InMemorySagaRepository,
    JournalEntry,
    SagaAction,
    SagaInstance,
    SagaOutcome,
    SagaStatus,
)
from cqrs_ddd_core import IUnitOfWork, RetryPolicy
from cqrs_ddd_core.testing import ManualClock

LEASE = 30.0
AT_ONCE = RetryPolicy(max_attempts=1, base_delay=0.0, max_delay=0.0)


def attempts(number: int) -> RetryPolicy:
    """Return a policy of so many attempts without a pause."""
    return RetryPolicy(max_attempts=number, base_delay=0.0, max_delay=0.0)


class Killed(BaseException):
    """The process is no more."""


class Refused(Exception):  # noqa: N818 - the business says so
    """A step is refused; it has no effect."""


class Declined(Exception):  # noqa: N818 - the business says so
    """A step is refused for good; it has no effect."""


@dataclass
class Trail:
    """A context that remembers which steps have worked on it."""

    done: list[str] = field(default_factory=list[str])
    note: str = ""


@dataclass
class World:
    """What the steps have done to the world, in order, and how often they were asked.

    A receiver knows idempotency keys: what it is asked to do again under the same key, it has
    done once.
    """

    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    effects: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    keys: dict[tuple[str, str], set[str]] = field(default_factory=dict[tuple[str, str], set[str]])

    def ask(self, call: StepCall) -> tuple[str, str]:
        what = (call.action.value, call.step)
        self.asked.append(what)
        self.keys.setdefault(what, set()).add(call.idempotency_key)
        return what

    def apply(self, what: tuple[str, str]) -> None:
        if what not in self.effects:
            self.effects.append(what)

    def times(self, action: str, step: str) -> int:
        return self.asked.count((action, step))


class Scripted:
    """A step that does in each attempt what its script says, and works when that has ended.

    ``ok``, ``refuse`` and ``decline`` (no effect, unless it is there already), ``time out`` (with
    its effect), ``lose`` (times out without), ``die`` (before its effect), ``die late`` (behind).
    """

    def __init__(
        self, world: World, acts: Sequence[str] = (), compensations: Sequence[str] = ()
    ) -> None:
        self.world, self.on_call = world, list[Callable[[StepCall], None]]()
        self._scripts: dict[SagaAction, Iterator[str]] = {}
        self._acts, self._compensations = acts, compensations
        self.reset()

    def reset(self) -> None:
        forward, backward = iter(self._acts), iter(self._compensations)
        for action in (SagaAction.ACT, SagaAction.TRY):
            self._scripts[action] = forward
        for action in (SagaAction.COMPENSATE, SagaAction.CANCEL, SagaAction.CONFIRM):
            self._scripts[action] = backward

    async def act(self, context: Trail, call: StepCall) -> str:
        self._play(call)
        context.done = [*context.done, call.step]
        return f"{call.step} done"

    async def compensate(self, context: Trail, call: StepCall) -> None:
        self._play(call)

    try_ = act
    confirm = compensate
    cancel = compensate

    def _play(self, call: StepCall) -> None:
        what = self.world.ask(call)
        for look in self.on_call:
            look(call)
        turn = next(self._scripts[call.action], "ok")
        if turn in {"refuse", "decline"} and what not in self.world.effects:
            raise (Refused if turn == "refuse" else Declined)(call.step)
        if turn == "lose":
            raise TimeoutError(call.step)
        if turn == "die":
            raise Killed
        self.world.apply(what)
        if turn == "time out":
            raise TimeoutError(call.step)
        if turn == "die late":
            raise Killed


FORWARD = {SagaAction.ACT, SagaAction.TRY, SagaAction.CONFIRM}


class WatchedRepository(InMemorySagaRepository):
    """Keeps sagas, and notes what must never be written, and how far they came before they turned.

    Attributes:
        problems: what must never have been written.
        turned_at: how many entries there were when a saga turned back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.turned_at: int | None = None

    async def save(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        release: bool = False,
    ) -> SagaInstance:
        before = await self.find(saga.saga_id)
        saved = await super().save(saga, journal, uow, release=release)
        if saga.status is SagaStatus.COMPENSATING and self.turned_at is None:
            self.turned_at = saga.entries
        if before is not None and before.status is not SagaStatus.RUNNING:
            if saga.status in {SagaStatus.RUNNING, SagaStatus.COMPLETED}:
                self.problems.append(f"{before.status} to {saga.status}")
            self.problems += [
                f"{entry.action} {entry.step} begun while {before.status}"
                for entry in journal
                if entry.action in FORWARD and entry.outcome is SagaOutcome.STARTED
            ]
        return saved


class MortalRepository:
    """What one process sees of a repository, until it dies before or behind one of its writes.

    Args:
        repository: the one that outlives it.
        dies_at: which write it is, from 0; None for a long life.
        is_written: whether the write is committed.
    """

    def __init__(
        self,
        repository: InMemorySagaRepository,
        dies_at: int | None = None,
        *,
        is_written: bool = False,
    ) -> None:
        self._repository, self._dies_at, self._is_written = repository, dies_at, is_written
        self._writes = 0
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._repository, name)

    async def add(self, saga: SagaInstance, *arguments: Any, **options: Any) -> SagaInstance:
        return await self._write(self._repository.add, saga, *arguments, **options)

    async def save(
        self,
        saga: SagaInstance,
        journal: Sequence[JournalEntry] = (),
        uow: IUnitOfWork | None = None,
        *,
        release: bool = False,
    ) -> SagaInstance:
        return await self._write(self._repository.save, saga, journal, uow, release=release)

    async def release(self, saga_id: str, epoch: int) -> None:
        if not self.is_dead:
            await self._repository.release(saga_id, epoch)

    async def _write(self, write: Any, *arguments: Any, **options: Any) -> Any:
        if self.is_dead:
            raise Killed
        number, self._writes = self._writes, self._writes + 1
        if number != self._dies_at:
            return await write(*arguments, **options)
        self.is_dead = True
        if self._is_written:
            await write(*arguments, **options)
        raise Killed


async def resume_due(
    repository: InMemorySagaRepository,
    definition: PlannedSaga[Any],
    process: Any = None,
    **options: Any,
) -> bool:
    """Claim what is due, as a worker of a process does, and go on with it; return what was."""
    runner = OrchestrationRunner(process or repository, [definition], **options)
    claimed = await repository.claim(list(runner.saga_types), worker="w", lease=LEASE)
    for saga in claimed:
        await runner.resume(saga)
    return bool(claimed)


async def run_to_the_end(
    repository: InMemorySagaRepository,
    definition: PlannedSaga[Any],
    clock: ManualClock,
    processes: Sequence[Any] = (),
    **options: Any,
) -> None:
    """Let one process after the other go on, each until it dies; the last ones live."""
    waiting = list(processes)
    for _ in range(200):
        clock.advance(LEASE + 1)
        process = waiting.pop(0) if waiting else None
        try:
            if not await resume_due(repository, definition, process, **options):
                return
        except Killed:
            if process is not None:
                process.is_dead = True
    raise AssertionError("it never ends")


def lines(journal: Sequence[JournalEntry]) -> list[str]:
    """Return a journal in short."""
    return [f"{entry.action} {entry.step} {entry.outcome}" for entry in journal]


def is_done(journal: Sequence[JournalEntry], action: SagaAction, step: str) -> bool:
    return any(
        (entry.action, entry.step, entry.outcome) == (action, step, SagaOutcome.COMPLETED)
        for entry in journal
    )
