"""Tells workers of this process that something new is there, once it has been committed."""

from collections.abc import Callable

from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.ports import IUnitOfWork


class WakeUp:
    """Calls listeners after the commit of the given or current unit of work; at once without."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def add(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called from now on."""
        self._listeners.append(listener)

    def tell(self, uow: IUnitOfWork | None = None) -> None:
        """Call the listeners once what was just written can be seen."""
        scope = current_scope() if uow is None else None
        uow = scope.uow if scope is not None else uow
        if uow is None:
            self._call()
        elif self._listeners:
            uow.on_commit(self._committed)

    async def _committed(self) -> None:
        self._call()

    def _call(self) -> None:
        for listener in self._listeners:
            listener()
