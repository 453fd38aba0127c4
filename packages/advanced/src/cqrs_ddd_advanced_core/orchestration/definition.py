"""What is common to the definitions of sagas that run through a plan; and orchestrations."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Generic, TypeVar

from cqrs_ddd_advanced_core.orchestration.checks import problems_of
from cqrs_ddd_advanced_core.orchestration.compiling import compiled
from cqrs_ddd_advanced_core.orchestration.context import ContextCodec
from cqrs_ddd_advanced_core.orchestration.diagrams import plan_diagram
from cqrs_ddd_advanced_core.orchestration.plan import Plan
from cqrs_ddd_advanced_core.orchestration.step import ParallelSteps, Step
from cqrs_ddd_advanced_core.sagas.errors import SagaConfigurationError
from cqrs_ddd_advanced_core.sagas.instance import SagaKind
from cqrs_ddd_core.diagrams import DiagramKind
from cqrs_ddd_core.primitives.retry import RetryPolicy

C = TypeVar("C")

ONCE = RetryPolicy(max_attempts=1, base_delay=0.5, max_delay=300.0)
COMPENSATION = RetryPolicy(max_attempts=5, base_delay=0.5, max_delay=60.0)


class PlannedSaga(Generic[C]):
    """A saga with a plan; made as an ``Orchestration`` or as a ``TCC``.

    Attributes:
        name: its name.
        version: which form of its steps this is.
        saga_type: the name that its instances are stored under: the name, from version 2 on with
            the version.
        kind: how it is driven.
        context_type: the class of its context.
        plan: its steps.
        deadline: how long it may take to decide to finish; None without a limit.
        accepts_changes: whether an instance that began with other steps may go on with these.
        stops_at_failure: whether what cannot be undone keeps what was done before from being
            undone.
        codec: how its context is stored.
    """

    kind: ClassVar[SagaKind]

    def __init__(
        self,
        name: str,
        context_type: type[C],
        plan: Plan,
        *,
        version: int,
        deadline: float | None,
        accepts_changes: bool,
        stops_at_failure: bool = False,
    ) -> None:
        self.name, self.version = name, version
        self.saga_type = saga_type_of(name, version)
        self.context_type, self.plan = context_type, plan
        self.deadline = timedelta(seconds=deadline) if deadline is not None else None
        self.accepts_changes, self.stops_at_failure = accepts_changes, stops_at_failure
        self.codec = ContextCodec(self.saga_type, context_type)

    def to_mermaid(self, kind: DiagramKind = "sequence") -> str:
        """Return the saga as a Mermaid diagram.

        Args:
            kind: ``"sequence"`` shows who is asked for what, and the way back; ``"state"`` which
                step follows which; ``"class"`` what the steps consist of.
        """
        return plan_diagram(self.saga_type, self.plan, kind)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.saga_type!r})"


class Orchestration(PlannedSaga[C]):
    """A saga that does its steps one after another, and undoes them when one fails.

    Args:
        name: its name, under which its instances are stored; it stays.
        context: the class of what its steps share: a pydantic model or a dataclass.
        steps: steps that can be undone, then perhaps a pivot, then retriable ones.
        version: counted up when the steps change; the old version stays registered as long as
            instances of it run.
        deadline: seconds from its start until its pivot, or its first retriable step, has to
            begin; later, what was done is undone. None without a limit.
        retry: how often and how fast a step is tried again, where it does not say so itself;
            without it, once.
        compensation_retry: the same for compensations.
        stops_at_failed_compensation: whether what was done before is left as it is when something
            cannot be undone; by default, all that can be undone is.
        accepts_changes: whether an instance that began with other steps of this version may go on
            with these, where the steps that it has begun are the first of these.

    Attributes:
        steps: the steps, as they were given.

    Raises:
        SagaConfigurationError: it could never work; tells everything that is wrong.

    Example:
        >>> from dataclasses import dataclass
        >>> from cqrs_ddd_advanced_core.orchestration import StepFunctions
        >>> @dataclass
        ... class Trip:
        ...     room: str | None = None
        >>> async def book(trip, call):
        ...     trip.room = "12"
        >>> async def cancel(trip, call): ...
        >>> trip = Orchestration("trip", Trip, [Step("room", StepFunctions(book, cancel))])
        >>> trip.saga_type
        'trip'
    """

    kind = SagaKind.ORCHESTRATED

    def __init__(
        self,
        name: str,
        context: type[C],
        steps: Sequence[Step[C] | ParallelSteps[C]],
        *,
        version: int = 1,
        deadline: float | None = None,
        retry: RetryPolicy = ONCE,
        compensation_retry: RetryPolicy = COMPENSATION,
        stops_at_failed_compensation: bool = False,
        accepts_changes: bool = False,
    ) -> None:
        self.steps = tuple(steps)
        problems = problems_of(name, version, context, self.steps, deadline)
        if problems:
            raise SagaConfigurationError(name, problems)
        super().__init__(
            name,
            context,
            compiled(self.steps, retry, compensation_retry),
            version=version,
            deadline=deadline,
            accepts_changes=accepts_changes,
            stops_at_failure=stops_at_failed_compensation,
        )


def saga_type_of(name: str, version: int) -> str:
    """Return the stored name of a version of a saga.

    Example:
        >>> saga_type_of("trip", 1), saga_type_of("trip", 2)
        ('trip', 'trip@2')
    """
    return name if version == 1 else f"{name}@{version}"
