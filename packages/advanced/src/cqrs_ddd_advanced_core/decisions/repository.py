"""Reads what decisions depend on, and appends what they lead to."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, NoReturn, TypeVar, cast

from cqrs_ddd_advanced_core.decisions.decision import Decision, DecisionModel
from cqrs_ddd_advanced_core.decisions.state_view import StateView
from cqrs_ddd_advanced_core.event_sourcing.errors import EventSourcingError
from cqrs_ddd_advanced_core.event_sourcing.reader import EventReader
from cqrs_ddd_advanced_core.event_sourcing.recording import encoded
from cqrs_ddd_advanced_core.upcasting import UpcasterRegistry
from cqrs_ddd_core import (
    AppendCondition,
    Change,
    EventTypeRegistry,
    ExpectedVersion,
    IAggregateGateway,
    ITaggedEventStore,
    IUnitOfWork,
    JsonMessageCodec,
    QueryOptions,
    SearchSource,
    StoredEvent,
    StreamAppend,
    StreamId,
    UnitOfWork,
)
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.middleware.event_store import note_as_kept

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


class DecisionRepository:
    """Decisions over events of many aggregates, each with the boundary that its query draws.

    In a unit of work, what a decision records is appended when it commits, handled and sent like
    any event; a matching event that came in between refuses the commit, and ``RetryMiddleware``
    repeats the command. An event that names an aggregate goes into the stream of that; any other
    has a stream of its own.

    Args:
        event_store: keeps the events.
        events: the classes of all events that the queries find.
        event_registry: the same under names of your own.
        upcaster_registry: brings old events to the schema of today; its chains are checked here.

    Raises:
        UpcasterChainError: old events could not be read.

    Example:
        >>> import asyncio
        >>> from typing import Annotated
        >>> from cqrs_ddd_core import DomainEvent, EventQuery, InMemoryEventStore, Tag
        >>> class UsernameClaimed(DomainEvent):
        ...     username: Annotated[str, Tag("username")]
        >>> def is_claimed(username: str) -> StateView[bool]:
        ...     query = EventQuery.of(types=[UsernameClaimed], tags=[f"username:{username}"])
        ...     return StateView(query, initial=False, evolve=lambda *_: True)
        >>> async def main():
        ...     store = InMemoryEventStore()
        ...     decisions = DecisionRepository(event_store=store, events=[UsernameClaimed])
        ...     decision = await decisions.load(is_claimed("ada"))
        ...     if not decision.state:
        ...         decision.record(UsernameClaimed(username="ada"))
        ...     await decisions.save(decision)
        ...     return (await decisions.load(is_claimed("ada"))).state
        >>> asyncio.run(main())
        True
    """

    def __init__(
        self,
        *,
        event_store: ITaggedEventStore,
        events: Iterable[type] = (),
        event_registry: EventTypeRegistry | None = None,
        upcaster_registry: UpcasterRegistry | None = None,
    ) -> None:
        self._store, self._types = event_store, event_registry or EventTypeRegistry()
        self._types.add(*events)
        if upcaster_registry is not None:
            upcaster_registry.validate(self._types)
        self._reader = EventReader(self._types, upcaster_registry)
        self._codec = JsonMessageCodec()

    async def load(self, view: StateView[S]) -> Decision[S]:
        """Return what ``view`` makes of all events, those of this unit of work among them.

        Raises:
            EventUnreadableError: a stored event is of no known class, or does not fit it.
        """
        scope = current_scope()
        uow = scope.uow if scope is not None else None
        if uow is not None and uow.has_tracked:
            await uow.flush()
        decision = Decision(view, self._types)
        found = self._store.read_matching(view.query, uow=uow)
        async with aclosing(found):
            async for stored in found:
                decision.take(stored.event_type, stored.tags, self._reader.read(stored))
        if uow is not None:
            decision.read_only = uow.read_only
            gateway = cast("IAggregateGateway[Any]", _Gateway(self, uow))
            uow.identities.loaded(gateway, decision)
        return decision

    async def execute(self, model: DecisionModel[C, S, E], command: C) -> list[E]:
        """Read what ``command`` depends on, decide, append and return the events.

        Raises:
            AppendConditionError: now or at commit, when what was read has changed.
            Exception: what the model's ``decide`` raises; nothing is appended then.
        """
        decision = await self.load(model.view(command))
        events = list(model.decide(command, decision.state) or ())
        decision.record(*events)
        await self.save(decision)
        return events

    async def save(self, decision: Decision[Any]) -> None:
        """Append what ``decision`` has recorded; in a unit of work that is done when it commits.

        Raises:
            AppendConditionError: what was read has changed.
        """
        if current_scope() is None:
            decision.clear_events()
            await self.append(decision, None)

    async def append(self, decision: Decision[Any], uow: IUnitOfWork | None) -> None:
        """Give the store what ``decision`` has recorded, on the condition that it holds."""
        events = list(decision.unsaved)
        if not events:
            return
        query = decision.view.query
        stored = encoded(events, self._types, self._codec, "the decision")
        appends = [_placed(event, query.tenant_id) for event in stored]
        condition = AppendCondition(query, decision.known)
        await self._store.append_many(appends, uow, condition=condition)
        if uow is not None:
            note_as_kept(stored, uow)
        decision.saved()


def _placed(event: StoredEvent, tenant_id: str) -> StreamAppend:
    """Return the append of an event to its aggregate's stream, else to one of its own."""
    if event.stream.aggregate_id:
        stream = replace(event.stream, tenant_id=tenant_id)
        return StreamAppend(stream, [replace(event, stream=stream)], ExpectedVersion.ANY)
    stream = StreamId(event.event_type, event.event_id, tenant_id)
    return StreamAppend(stream, [replace(event, stream=stream)], ExpectedVersion.NO_STREAM)


class _Gateway:
    """Has a unit of work append what decisions have recorded (see ``IAggregateGateway``)."""

    aggregate_type: type = Decision

    def __init__(self, decisions: DecisionRepository, uow: UnitOfWork) -> None:
        self._decisions, self._uow = decisions, uow

    def dump(self, aggregate: Decision[Any]) -> int:
        """Return how many events it has recorded."""
        return aggregate.recorded

    async def update(self, changes: Sequence[Change]) -> None:
        """Append what was recorded."""
        for aggregate, _, _ in changes:
            await self._decisions.append(aggregate, self._uow)

    async def load(self, ids: Sequence[Any] | None) -> NoReturn:  # noqa: ARG002 - the port's names
        """Refuse."""
        _refuse("read by a view, not by id")

    async def insert(self, changes: Sequence[Change]) -> NoReturn:  # noqa: ARG002 - the same
        """Refuse."""
        _refuse("loaded before they are saved")

    async def delete(self, changes: Sequence[Change]) -> NoReturn:  # noqa: ARG002 - the same
        """Refuse."""
        _refuse("never deleted")

    def search(self, options: QueryOptions) -> SearchSource[Any]:  # noqa: ARG002 - the same
        """Refuse."""
        _refuse("not searched")


def _refuse(what: str) -> NoReturn:
    raise EventSourcingError(f"Decisions are {what}.")
