"""Wrong uses of the unit of work, each with its fix."""

from cqrs_ddd_core.primitives.errors import CQRSDDDError


class UnitOfWorkError(CQRSDDDError):
    """The unit of work cannot be used like this."""


class NoUnitOfWorkError(UnitOfWorkError):
    """There is no unit of work here."""

    def __init__(self) -> None:
        super().__init__(
            "No unit of work is running here. Send a command or query through the mediator, or "
            "open one: async with uow_factory() as uow. AFTER_COMMIT event handlers run outside "
            "of one: let them send a command, or register them as IN_TRANSACTION."
        )


class UnitOfWorkClosedError(UnitOfWorkError):
    """The unit of work has ended."""

    def __init__(self) -> None:
        super().__init__(
            "This unit of work has ended; what happens now would never be committed. Await "
            "everything before the handler returns, and send a new command for later work. A task "
            "that outlives the handler starts with a context of its own: "
            "create_task(work(), context=contextvars.Context())."
        )


class ForeignTaskError(UnitOfWorkError):
    """The unit of work belongs to another task."""

    def __init__(self) -> None:
        super().__init__(
            "This unit of work was opened by another task; one transaction is never shared by two. "
            "Await the work in the handler itself, or let the new task send a command of its own, "
            "which opens a unit of work there and commits by itself; so does "
            "async with uow_factory() as uow."
        )


class ReadOnlyUnitOfWorkError(UnitOfWorkError):
    """A query tried to change something."""

    def __init__(self, what: str = "change an aggregate") -> None:
        super().__init__(
            f"A query handler tried to {what}; its unit of work is never committed, so the change "
            "would be lost. Make the request a command."
        )


class UnitOfWorkDoomedError(UnitOfWorkError):
    """Something inside failed and was caught, so a commit would keep half of it.

    Attributes:
        cause: what failed.
    """

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(
            f"A nested command failed with {type(cause).__name__} and the error was caught, so "
            "this unit of work cannot be committed. Let the error pass, or send the nested command "
            "with savepoint=True, which undoes just what it did."
        )
