"""The aggregates of one unit of work: each id one object, and what has to be written of it."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from cqrs_ddd_core.domain.aggregate import AggregateRootMixin, restore_version
from cqrs_ddd_core.ports.aggregate_gateway import Change, IAggregateGateway
from cqrs_ddd_core.primitives.errors import ConcurrencyError

_UNKNOWN = object()


class Entry:
    """One aggregate and what the store knows of it."""

    __slots__ = ("aggregate", "deleted", "gateway", "saved_version", "stored")

    def __init__(self, aggregate: Any, gateway: IAggregateGateway[Any], stored: Any) -> None:
        self.aggregate, self.gateway = aggregate, gateway
        self.stored = stored  # its dump as the store has it; None while the store has none
        self.saved_version: int = aggregate.version  # as of the last commit, for a rollback
        self.deleted = False


class IdentityMap:
    """Tracks aggregates from load or add to commit.

    What has changed is found by comparing dumps, so the domain class needs no base class, proxy
    or notification.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[IAggregateGateway[Any], Any], Entry] = {}
        # Also deleted ones, which may still have events to tell; by id(), for they need no hash.
        self._objects: dict[int, Any] = {}
        self._with_events: list[Any] = []  # which had events when they were added
        self._silent: dict[int, Any] = {}  # which do not say when they record an event

    def find(self, gateway: IAggregateGateway[Any], entity_id: Any) -> Entry | None:
        """Return the entry of this id, if it is tracked."""
        return self._entries.get((gateway, entity_id))

    def aggregates(self) -> list[Any]:
        """Return the tracked aggregates, oldest first."""
        return list(self._objects.values())

    def with_events(self, recorded: Iterable[object]) -> list[Any]:
        """Return those that may have events: of ``recorded`` the tracked, and those never in it."""
        added, self._with_events = self._with_events, []
        told = [aggregate for aggregate in recorded if id(aggregate) in self._objects]
        return [*told, *added, *self._silent.values()]

    def loaded(self, gateway: IAggregateGateway[Any], aggregate: Any) -> Any:
        """Track what was just read, and return the object that stands for its id."""
        key = (gateway, aggregate.id)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._track(key, Entry(aggregate, gateway, gateway.dump(aggregate)))
        return entry.aggregate

    def added(self, gateway: IAggregateGateway[Any], aggregate: Any) -> None:
        """Track what the user adds: new when its version is 0, else known to the store.

        Raises:
            ConcurrencyError: another object has this id already.
        """
        key = (gateway, aggregate.id)
        entry = self._entries.get(key)
        if entry is None:
            stored = _UNKNOWN if aggregate.version else None
            self._track(key, Entry(aggregate, gateway, stored))
            self._with_events.append(aggregate)
        elif entry.aggregate is not aggregate:
            raise ConcurrencyError(
                f"{gateway.aggregate_type.__name__} {aggregate.id!r}",
                expected=aggregate.version,
                actual=entry.aggregate.version,
            )
        else:
            entry.deleted = False

    def _track(self, key: tuple[IAggregateGateway[Any], Any], entry: Entry) -> Entry:
        self._entries[key] = entry
        self._objects[id(entry.aggregate)] = entry.aggregate
        if not isinstance(entry.aggregate, AggregateRootMixin):
            self._silent[id(entry.aggregate)] = entry.aggregate
        return entry

    def deleted(self, entry: Entry) -> None:
        """Forget a new aggregate; have a stored one deleted."""
        entry.deleted = True
        if entry.stored is None:
            self._forget(entry)

    async def flush(self) -> None:
        """Write what differs from the store, type by type, inserts first.

        Raises:
            ConcurrencyError: somebody else was first.
        """
        for gateway, entries in self._by_gateway().items():
            inserts: list[tuple[Entry, Change]] = []
            updates: list[tuple[Entry, Change]] = []
            deletes: list[tuple[Entry, Change]] = []
            for entry in entries:
                self._classify(entry, inserts, updates, deletes)
            for pending, write in (
                (inserts, gateway.insert),
                (updates, gateway.update),
                (deletes, gateway.delete),
            ):
                if pending:
                    await write([change for _, change in pending])
                    self._written(pending)

    def _by_gateway(self) -> dict[IAggregateGateway[Any], list[Entry]]:
        groups: dict[IAggregateGateway[Any], list[Entry]] = {}
        for entry in self._entries.values():
            groups.setdefault(entry.gateway, []).append(entry)
        return groups

    @staticmethod
    def _classify(
        entry: Entry,
        inserts: list[tuple[Entry, Change]],
        updates: list[tuple[Entry, Change]],
        deletes: list[tuple[Entry, Change]],
    ) -> None:
        stored = None if entry.stored is _UNKNOWN else entry.stored
        if entry.deleted:
            deletes.append((entry, Change(entry.aggregate, None, stored)))
            return
        state = entry.gateway.dump(entry.aggregate)
        if entry.stored is None:
            inserts.append((entry, Change(entry.aggregate, state, None)))
        elif state != entry.stored:
            updates.append((entry, Change(entry.aggregate, state, stored)))

    def _written(self, pending: Sequence[tuple[Entry, Change]]) -> None:
        for entry, change in pending:
            if entry.deleted:
                self._forget(entry)
            else:
                entry.stored = change.state
                restore_version(entry.aggregate, entry.aggregate.version + 1)

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.gateway, entry.aggregate.id]

    def release(self, gateway: IAggregateGateway[Any], aggregates: Sequence[Any]) -> None:
        """Stop tracking those that have neither changed nor raised events."""
        for aggregate in aggregates:
            key = (gateway, aggregate.id)
            entry = self._entries.get(key)
            if entry is None or aggregate.pending_events or entry.deleted:
                continue
            if gateway.dump(entry.aggregate) == entry.stored:
                del self._entries[key]
                self._objects.pop(id(aggregate), None)
                self._silent.pop(id(aggregate), None)

    def committed(self) -> None:
        """Take the versions in memory for those of the store."""
        for entry in self._entries.values():
            entry.saved_version = entry.aggregate.version
        if len(self._objects) > len(self._entries):
            self._forget_deleted()

    def _forget_deleted(self) -> None:
        self._objects = {id(entry.aggregate): entry.aggregate for entry in self._entries.values()}
        self._silent = {key: held for key, held in self._silent.items() if key in self._objects}

    def rolled_back(self) -> None:
        """Give the aggregates their last committed version back, and forget them all."""
        for entry in self._entries.values():
            restore_version(entry.aggregate, entry.saved_version)
        self._entries.clear()
        for objects in (self._objects, self._silent, self._with_events):
            objects.clear()

    def remember(self) -> Callable[[], None]:
        """Return a function that brings the aggregates back to their state of now."""
        entries, objects, silent = dict(self._entries), dict(self._objects), dict(self._silent)
        states = [
            (entry, entry.stored, entry.deleted, _state_of(entry.aggregate))
            for entry in entries.values()
        ]

        def restore() -> None:
            self._entries, self._objects, self._silent = entries, objects, silent
            self._with_events = list(objects.values())
            for entry, stored, deleted, state in states:
                entry.stored, entry.deleted = stored, deleted
                _bring_back(entry.aggregate, state)

        return restore


def _state_of(aggregate: object) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Copy what an aggregate holds; pydantic keeps private attributes in a place of their own."""
    return deepcopy((vars(aggregate), getattr(aggregate, "__pydantic_private__", None)))


def _bring_back(aggregate: object, state: tuple[dict[str, Any], dict[str, Any] | None]) -> None:
    fields, private = state
    vars(aggregate).clear()
    vars(aggregate).update(fields)
    if private is not None:
        object.__setattr__(aggregate, "__pydantic_private__", private)
