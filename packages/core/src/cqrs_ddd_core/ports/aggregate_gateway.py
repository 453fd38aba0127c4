"""What a store offers so that the unit of work can keep aggregates in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from cqrs_ddd_core.ports.query_options import QueryOptions
from cqrs_ddd_core.ports.search_result import SearchSource

T = TypeVar("T")


class Change(NamedTuple):
    """One aggregate to be written.

    Attributes:
        aggregate: its ``version`` is still the one in the store.
        state: ``dump`` of the aggregate as it is now.
        stored: ``dump`` of the aggregate as it was loaded; None where it was not.
    """

    aggregate: Any
    state: Any
    stored: Any


@runtime_checkable
class IAggregateGateway(Protocol[T]):
    """Reads and writes aggregates of one type inside one unit of work's transaction.

    It keeps no identity map and no list of changes; the unit of work does. All writes check the
    version: the store, not a read before it, decides who was first.
    """

    @property
    def aggregate_type(self) -> type[T]:
        """The class of the aggregates."""
        ...

    def dump(self, aggregate: T) -> Any:
        """Return the aggregate's state as the store writes it; equal when nothing has changed.

        Later changes of the aggregate do not reach what was returned.
        """
        ...

    async def load(self, ids: Sequence[Any] | None) -> list[T]:
        """Return the aggregates with these ids, in no order, those that exist; None means all."""
        ...

    async def insert(self, changes: Sequence[Change]) -> None:
        """Write new aggregates as version 1.

        Raises:
            ConcurrencyError: an id is taken.
        """
        ...

    async def update(self, changes: Sequence[Change]) -> None:
        """Write aggregates as ``version + 1`` where the store still holds ``version``.

        Raises:
            ConcurrencyError: one of them is at another version, or gone.
        """
        ...

    async def delete(self, changes: Sequence[Change]) -> None:
        """Remove aggregates where the store still holds ``version``.

        Raises:
            ConcurrencyError: one of them is at another version, or gone.
        """
        ...

    def search(self, options: QueryOptions) -> SearchSource[T]:
        """Return a query, to be run when its result is asked for."""
        ...
