"""Appends the events of a unit of work to the event store, in its transaction."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from cqrs_ddd_core.cqrs.codec import JsonMessageCodec
from cqrs_ddd_core.domain.event import event_type_of, schema_version_of
from cqrs_ddd_core.domain.tags import tags_of
from cqrs_ddd_core.ports.event_store import IEventStore, StoredEvent, StreamAppend, StreamId
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.ids import new_id

_kept: WeakKeyDictionary[IUnitOfWork, set[str]] = WeakKeyDictionary()


class EventStorePersistenceMiddleware:
    """An event sink: keeps the events of state-stored aggregates as a record beside their state.

    Events go into the stream of their aggregate. An event that names no aggregate goes into a
    stream of its own type.

    Args:
        event_store: keeps the events.
        codec: encodes them; JSON by default.
        tenant_of: returns the tenant of an event; by default there are none.
        selects: which events to keep; all by default. Those of event-sourced aggregates are kept
            by their repository.
    """

    delivers: ClassVar[bool] = False

    def __init__(
        self,
        event_store: IEventStore,
        *,
        codec: IMessageCodec | None = None,
        tenant_of: Callable[[Any], str] = lambda _: "",
        selects: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        self._store, self._codec = event_store, codec or JsonMessageCodec()
        self._tenant_of, self._selects = tenant_of, selects

    async def save_events(self, events: Sequence[Any], uow: IUnitOfWork) -> None:
        """Append those of ``events`` that are selected to their streams, all in one call."""
        by_stream: dict[StreamId, list[StoredEvent]] = {}
        kept = _kept.get(uow, ())
        for event in events:
            if self._selects(event) and getattr(event, "event_id", None) not in kept:
                stored = stored_event(event, self._codec, self._tenant_of(event))
                by_stream.setdefault(stored.stream, []).append(stored)
        if by_stream:
            appends = [StreamAppend(stream, stored) for stream, stored in by_stream.items()]
            await self._store.append_many(appends, uow)


def note_as_kept(events: Iterable[StoredEvent], uow: IUnitOfWork) -> None:
    """Have the middleware leave ``events`` out: their aggregate's repository has appended them.

    That happens where a handler writes before its end, by ``flush`` or a search.
    """
    _kept.setdefault(uow, set()).update(event.event_id for event in events)


def stored_event(event: object, codec: IMessageCodec, tenant_id: str = "") -> StoredEvent:
    """Return ``event`` as the store keeps it, not yet placed in its stream."""
    event_type = event_type_of(type(event))
    return StoredEvent(
        event_id=getattr(event, "event_id", None) or new_id(),
        event_type=event_type,
        stream=StreamId(
            getattr(event, "aggregate_type", None) or event_type,
            getattr(event, "aggregate_id", None) or "",
            tenant_id,
        ),
        payload=codec.encode(event),
        occurred_at=getattr(event, "occurred_at", None) or utc_now(),
        schema_version=schema_version_of(type(event)),
        correlation_id=getattr(event, "correlation_id", None),
        causation_id=getattr(event, "causation_id", None),
        metadata=getattr(event, "metadata", None) or {},
        tags=tags_of(event),
    )
