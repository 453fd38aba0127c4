"""The port of what runs sagas of some types when they wake up."""

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from cqrs_ddd_advanced_core.sagas.instance import SagaInstance


@runtime_checkable
class ISagaRunner(Protocol):
    """Goes on with sagas that a worker has claimed."""

    @property
    def saga_types(self) -> Collection[str]:
        """The stored names of the definitions that it knows."""
        ...

    async def resume(self, saga: SagaInstance) -> None:
        """Go on with ``saga``, as far as it goes by itself, from where its journal ends.

        Its worker has just claimed it and renews the lease meanwhile. It is cancelled when the
        lease is lost. When it returns, the last save has released the saga.

        Raises:
            ConcurrencyError: somebody else has moved the saga; nothing more is to be done.
            Exception: it cannot go on now; the worker tries again later.
        """
        ...
