"""Why a saga cannot be started, found or moved."""

from collections.abc import Iterable

from cqrs_ddd_core.primitives.errors import (
    ConcurrencyError,
    ConfigurationError,
    CQRSDDDError,
    NotFoundError,
)


class SagaError(CQRSDDDError):
    """Base of what can go wrong with a saga."""


class SagaConfigurationError(SagaError, ConfigurationError):
    """A saga is defined or wired in a way that can never work.

    Attributes:
        saga_type: which one.
        problems: everything that is wrong with it.
    """

    def __init__(self, saga_type: str, problems: Iterable[str]) -> None:
        self.saga_type, self.problems = saga_type, list(problems)
        super().__init__(f"Saga {saga_type!r} cannot work: " + " ".join(self.problems))


class SagaNotFoundError(SagaError, NotFoundError):
    """There is no such saga; finished ones are forgotten after a time."""

    def __init__(self, saga_id: str) -> None:
        self.saga_id = saga_id
        super().__init__(f"There is no saga {saga_id!r}: it never was, or was purged.")


class SagaExistsError(SagaError, ConcurrencyError):
    """A saga with this id, or of this type with this key, is there already.

    Attributes:
        saga_type: its type.
        saga_id: the id it was to have.
        key: the key it was to have.
    """

    def __init__(self, saga_type: str, saga_id: str, key: str | None) -> None:
        self.saga_type, self.saga_id, self.key = saga_type, saga_id, key
        ConcurrencyError.__init__(self, f"saga {saga_id}", expected=0, actual=None)
        said = (
            f"There is a saga {saga_type!r} already with the id {saga_id!r} or the key {key!r}. "
            "Load that one and go on with it."
        )
        self.args = (said,)


class SagaLeaseLostError(SagaError, ConcurrencyError):
    """Somebody else has taken the saga over, because a lease ran out.

    Attributes:
        saga_id: the saga.
        epoch: the lease that has ended.
    """

    def __init__(self, saga_id: str, epoch: int) -> None:
        self.saga_id, self.epoch = saga_id, epoch
        ConcurrencyError.__init__(self, f"saga {saga_id}", expected=epoch, actual=None)
        said = (
            f"Lease {epoch} of saga {saga_id!r} has ended and another worker goes on with it. "
            "Nothing is to be done, unless it happens often: then make the lease longer."
        )
        self.args = (said,)


class IllegalSagaTransitionError(SagaError):
    """What is asked for does not fit where the saga stands.

    Attributes:
        saga_id: the saga.
        status: where it stands.
        wanted: what was asked for.
        allowed: where it would be possible.
    """

    def __init__(self, saga_id: str, status: str, wanted: str, allowed: Iterable[str]) -> None:
        self.saga_id, self.status, self.wanted = saga_id, status, wanted
        self.allowed = [str(each) for each in allowed]
        super().__init__(
            f"Saga {saga_id!r} is {status} and cannot {wanted}; that is possible while it is "
            f"{' or '.join(self.allowed)}."
        )


class SagaCorrelationError(SagaError):
    """An event does not say which saga it belongs to.

    Attributes:
        saga_type: the saga that listens to it.
        event: the event.
    """

    def __init__(self, saga_type: str, event: object, by: str) -> None:
        self.saga_type, self.event = saga_type, event
        missing = f"it has no {by}" if by else "the function for it returns nothing"
        super().__init__(
            f"{type(event).__name__} does not say to which {saga_type!r} it belongs: {missing}. "
            "Name the field that tells with correlate_by(...) or on(..., correlate=...)."
        )
