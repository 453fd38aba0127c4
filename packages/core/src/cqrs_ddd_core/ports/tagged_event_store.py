"""The port of an event store that is asked by tags, and appends on a condition."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from cqrs_ddd_core.ports.event_query import AppendCondition, EventQuery
from cqrs_ddd_core.ports.event_store import IEventStore, StoredEvent, StreamAppend
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork


@runtime_checkable
class ITaggedEventStore(IEventStore, Protocol):
    """An event store whose boundary of consistency is a query instead of a stream.

    Events with tags, however they are appended, are found by queries beside being in their stream
    and in the feed. Source: the specification of dynamic consistency boundaries, dcb.events.
    """

    def read_matching(
        self, query: EventQuery, *, uow: IUnitOfWork | None = None
    ) -> AsyncGenerator[StoredEvent]:
        """Yield the events that ``query`` finds, each once, an event behind those it rests on.

        How many there were is the version for an ``AppendCondition``: the append is refused if
        another one was committed before, while or after they were read.
        """
        ...

    async def append_many(
        self,
        appends: Sequence[StreamAppend],
        uow: IUnitOfWork | None = None,
        *,
        condition: AppendCondition | None = None,
    ) -> None:
        """Append to several streams, all or nothing, if ``condition`` holds until the commit.

        No event that the query finds can be committed between the check and the commit, whatever
        else the transactions do. Appending the very same event ids again where they already stand
        is a success that changes nothing.

        Raises:
            AppendConditionError: now or at commit, when the query does not find as many events as
                the condition says.
            ConcurrencyError: now or at commit, when a stream is not at its expected version.
            UntaggedEventError: an event under a condition has no tag.
            ConditionUnsupportedError: this database cannot promise it.
        """
        ...
