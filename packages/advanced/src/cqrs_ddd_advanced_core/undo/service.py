"""Gives out undo tokens and knows whether one may still be used."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from cqrs_ddd_advanced_core.scheduling.command_names import command_type_of
from cqrs_ddd_advanced_core.undo.errors import (
    NotUndoableError,
    UndoError,
    UndoExpiredError,
    UndoStatusError,
    UndoTokenNotFoundError,
    UndoUnsafeError,
)
from cqrs_ddd_advanced_core.undo.repository import IUndoTokenRepository
from cqrs_ddd_advanced_core.undo.reversal import Reversal, UndoRegistry
from cqrs_ddd_advanced_core.undo.token import StoredCommand, UndoStatus, UndoToken
from cqrs_ddd_core.cqrs.codec import JsonMessageCodec
from cqrs_ddd_core.domain import event_type_of
from cqrs_ddd_core.ports import IEventStore, IMessageCodec, IUnitOfWork, StreamId
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.ids import new_id


class UndoService:
    """Gives out tokens for what a command did.

    It stands on the record of events: of event-sourced aggregates, and of state-stored ones whose
    events ``EventStorePersistenceMiddleware`` keeps. What came after is seen there.

    Args:
        event_store: the record.
        repository: keeps the tokens.
        registry: how events are undone; events may bring that themselves.
        ttl: how long a token can be used.
        harmless: types of events that may come after without being trampled on.
        codec: turns commands into bytes; JSON by default.
    """

    def __init__(
        self,
        event_store: IEventStore,
        repository: IUndoTokenRepository,
        *,
        registry: UndoRegistry | None = None,
        ttl: timedelta = timedelta(days=1),
        harmless: Collection[type] = (),
        codec: IMessageCodec | None = None,
    ) -> None:
        self.event_store, self.repository = event_store, repository
        self.codec: IMessageCodec = codec or JsonMessageCodec()
        self._registry, self._ttl = registry or UndoRegistry(), ttl
        self._harmless = {event_type_of(event_type) for event_type in harmless}
        _services[id(event_store)] = self

    async def create_token(
        self,
        aggregate_id: str,
        aggregate_type: str,
        events: Sequence[Any],
        *,
        ttl: timedelta | None = None,
        uow: IUnitOfWork | None = None,
    ) -> UndoToken:
        """Return a token that undoes ``events``, which have just happened to an aggregate.

        Args:
            aggregate_id: which aggregate.
            aggregate_type: its type's name.
            events: those of the command's response.
            ttl: how long it can be used; the service's by default.
            uow: the unit of work to join; the current one by default.

        Raises:
            NotUndoableError: an event has no reverse, or is not in the record.
        """
        own = [each for each in events if getattr(each, "aggregate_id", None) == aggregate_id]
        reversals = [(event, self._registry.reversal_of(event)) for event in own]
        known = [(event, reversal) for event, reversal in reversals if reversal is not None]
        if len(known) < len(own) or not own:
            names = [_type_of(event) for event, reversal in reversals if reversal is None]
            raise NotUndoableError(names, "give them undo_command(), or register a reversal.")
        stream = StreamId(aggregate_type, aggregate_id)
        now = utc_now()
        token = UndoToken(
            token_id=new_id(),
            aggregate_type=aggregate_type,
            aggregate_id=aggregate_id,
            version=await self._version_behind(stream, own, uow),
            undo=tuple(self._stored(reversal.undo(event)) for event, reversal in reversed(known)),
            redo=self._redo(known),
            created_at=now,
            expires_at=now + (ttl or self._ttl),
        )
        await self.repository.add(token, uow)
        return token

    async def usable(self, token_id: str, status: UndoStatus) -> UndoToken:
        """Return a token that can be undone (DONE) or redone (UNDONE).

        Raises:
            UndoTokenNotFoundError: there is no such token.
            UndoExpiredError: its time is over.
            UndoStatusError: it is in the other status, or cannot be redone at all.
        """
        token = await self.repository.find(token_id)
        if token is None:
            raise UndoTokenNotFoundError(token_id)
        wanted = "be undone" if status is UndoStatus.DONE else "be redone"
        if token.status is not status:
            raise UndoStatusError(token_id, wanted, token.status.value)
        if status is UndoStatus.UNDONE and not token.redo:
            raise UndoStatusError(token_id, wanted, "without a command for that")
        if token.expires_at <= utc_now():
            raise UndoExpiredError(token_id)
        return token

    async def refuse_if_unsafe(
        self, token: UndoToken, own: Collection[str] = (), uow: IUnitOfWork | None = None
    ) -> None:
        """Look whether anything came after that an undo would trample on.

        Args:
            token: the token.
            own: ids of events that the undo itself has raised.
            uow: the unit of work to join; the current one by default.

        Raises:
            UndoUnsafeError: it did.
        """
        stream = StreamId(token.aggregate_type, token.aggregate_id)
        fine = {*token.event_ids, *own}
        later = [
            event.event_type
            async for event in self.event_store.read_stream(
                stream, after_version=token.version, uow=uow
            )
            if event.event_id not in fine and event.event_type not in self._harmless
        ]
        if later:
            raise UndoUnsafeError(token.token_id, later)

    def _redo(self, known: Sequence[tuple[Any, Reversal]]) -> tuple[StoredCommand, ...]:
        if any(reversal.redo is None for _, reversal in known):
            return ()
        made = [reversal.redo(event) for event, reversal in known if reversal.redo is not None]
        return tuple(self._stored(command) for command in made)

    def _stored(self, command: object) -> StoredCommand:
        return StoredCommand(command_type_of(type(command)), self.codec.encode(command))

    async def _version_behind(
        self, stream: StreamId, events: Sequence[Any], uow: IUnitOfWork | None
    ) -> int:
        """Return the version of the last of ``events`` in its stream."""
        ids = {event.event_id for event in events}
        version = 0
        async for stored in self.event_store.read_stream(stream, uow=uow):
            if stored.event_id in ids:
                ids.remove(stored.event_id)
                version = stored.version
        if ids:
            names = [_type_of(event) for event in events if event.event_id in ids]
            raise NotUndoableError(
                names,
                f"not in the stream {stream}. Is EventStorePersistenceMiddleware wired, and the "
                "aggregate_type right?",
            )
        return version


_services: WeakValueDictionary[int, UndoService] = WeakValueDictionary()


def service_on(event_store: IEventStore) -> UndoService:
    """Return the service that was made last on an event store.

    Raises:
        UndoError: there is none.
    """
    found = _services.get(id(event_store))
    if found is None or found.event_store is not event_store:
        raise UndoError(
            "There is no UndoService on this event store; keep one, or give it: "
            "UndoExecutor(mediator, event_store, undo_service)."
        )
    return found


def _type_of(event: object) -> str:
    return event_type_of(type(event))
