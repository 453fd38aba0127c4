"""How orchestrations and TCCs go wrong."""

from datetime import datetime

from cqrs_ddd_advanced_core.sagas.errors import SagaError


class StepTimeoutError(SagaError, TimeoutError):
    """An attempt at a step took longer than it may; whether it had its effect is not known.

    Attributes:
        step: the step.
        timeout: what it had, in seconds.
    """

    def __init__(self, step: str, timeout: float) -> None:
        self.step, self.timeout = step, timeout
        super().__init__(
            f"{step!r} did not end within {timeout:g} s and was stopped. Give it a longer timeout, "
            "or another attempt: it has the same idempotency key."
        )


class SagaDeadlineError(SagaError):
    """The time in which a saga had to reach its decision is over.

    Attributes:
        saga_id: the saga.
        deadline: when it was over.
    """

    def __init__(self, saga_id: str, deadline: datetime) -> None:
        self.saga_id, self.deadline = saga_id, deadline
        super().__init__(
            f"Saga {saga_id!r} had not decided to finish by {deadline.isoformat()}, so what it has "
            "done is undone. Start another one, or give the next ones more time."
        )


class StepInterruptedError(SagaError):
    """The process that ran a step has died, or lost its lease, as often as it may.

    Attributes:
        step: the step.
        interruptions: how often.
    """

    def __init__(self, step: str, interruptions: int) -> None:
        self.step, self.interruptions = step, interruptions
        super().__init__(
            f"{step!r} has been interrupted {interruptions} times: whoever ran it has died, or was "
            "taken for dead. Look what ends the workers; then retry the saga."
        )


class ContextConflictError(SagaError):
    """Two steps side by side have changed one field of the context.

    Attributes:
        step: the step that came second.
        fields: what both have changed.
    """

    def __init__(self, step: str, fields: list[str]) -> None:
        self.step, self.fields = step, fields
        super().__init__(
            f"{step!r} has changed {', '.join(fields)} while a step beside it did so, too. Give "
            "each of them fields of its own, or let them run one after another."
        )


class SagaContextError(SagaError):
    """A context cannot be stored, or what is stored does not fit its class any more.

    Attributes:
        saga_type: the stored name of the definition.
    """

    def __init__(self, saga_type: str, context_type: type, problem: str) -> None:
        self.saga_type = saga_type
        super().__init__(
            f"The context of {saga_type!r}, a {context_type.__name__}, {problem}. It is kept as "
            "JSON; new fields need a default, and a change that old contexts do not fit needs a "
            "new version of the saga."
        )


class StepsChangedError(SagaError):
    """A saga began with other steps than are deployed, and may not go on with these.

    Attributes:
        saga_id: the saga.
        began_with: the steps it began with.
        deployed: the steps of today.
    """

    def __init__(self, saga_id: str, saga_type: str, began_with: str, deployed: str) -> None:
        self.saga_id, self.began_with, self.deployed = saga_id, began_with, deployed
        super().__init__(
            f"Saga {saga_id!r} of {saga_type!r} began with the steps [{began_with}], deployed are "
            f"[{deployed}]. Register the old steps under the old version and the new ones under a "
            "version of their own, or, where the steps that it has begun are the first of the new "
            "ones, say accepts_changes=True; then retry it."
        )


class SagaFailedError(SagaError):
    """A saga has not been completed.

    Attributes:
        saga_id: the saga.
        status: where it stands.
        error: what it failed with.
    """

    def __init__(self, saga_id: str, status: str, error: str | None) -> None:
        self.saga_id, self.status, self.error = saga_id, status, error
        super().__init__(f"Saga {saga_id!r} is {status}: {error or 'it has not come to its end.'}")


class InsideUnitOfWorkError(SagaError):
    """A saga was to be run inside a unit of work, where its journal would commit too late."""

    def __init__(self, saga_type: str) -> None:
        super().__init__(
            f"{saga_type!r} cannot be run inside a unit of work: each of its steps is written down "
            "by itself. Call start(...), which commits with the unit of work, and let a recovery "
            "worker run it."
        )
