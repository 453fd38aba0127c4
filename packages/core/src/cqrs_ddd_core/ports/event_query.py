"""Queries for events by type and tags, and the condition that none came since they were read."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cqrs_ddd_core.domain.event import event_type_of
from cqrs_ddd_core.domain.tags import checked_tags
from cqrs_ddd_core.ports.event_store import StoredEvent
from cqrs_ddd_core.primitives.errors import ConcurrencyError, ConfigurationError, CQRSDDDError


class EventQueryError(CQRSDDDError, ValueError):
    """A query for events asks for nothing, or for what cannot be asked together."""


@dataclass(frozen=True, slots=True)
class EventQueryItem:
    """Events of one of these types (or any) that have all of these tags.

    Attributes:
        types: stored names of event types; none means any.
        tags: tags that an event must have, all of them. Appends of events with the first one wait
            for each other, so it should be the one that the fewest events have.

    Raises:
        EventQueryError: there are neither types nor tags, which would mean all events.
        TagError: a tag is none.
    """

    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an item that matches everything."""
        if isinstance(self.types, str):
            raise EventQueryError(f"Give a list of types, also where there is one: {self.types!r}.")
        object.__setattr__(self, "types", tuple(dict.fromkeys(self.types)))
        object.__setattr__(self, "tags", checked_tags(self.tags))
        if not (self.types or self.tags):
            raise EventQueryError(
                "An item without types and without tags would match every event. Name a type or a "
                "tag; what follows all events reads the feed."
            )

    def matches(self, event_type: str, tags: Collection[str]) -> bool:
        """Whether an event of this type with these tags is meant."""
        is_of_type = not self.types or event_type in self.types
        return is_of_type and all(tag in tags for tag in self.tags)

    def __str__(self) -> str:
        types = " or ".join(self.types) or "any type"
        return f"{types} with {' and '.join(self.tags)}" if self.tags else types


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Events that one of the items matches. Only events with at least one tag are ever found.

    Attributes:
        items: at least one.
        tenant_id: whose events.

    Raises:
        EventQueryError: there is no item.

    Example:
        >>> subscriptions = EventQuery.of(types=["StudentSubscribed"], tags=["course:c-1"])
        >>> str(subscriptions | EventQuery.of(tags=["student:s-1"]))
        'StudentSubscribed with course:c-1, or any type with student:s-1'
    """

    items: tuple[EventQueryItem, ...]
    tenant_id: str = ""

    def __post_init__(self) -> None:
        """Keep each item once."""
        object.__setattr__(self, "items", tuple(dict.fromkeys(self.items)))
        if not self.items:
            raise EventQueryError("A query without items finds nothing; give it at least one.")

    @classmethod
    def of(
        cls, *, types: Iterable[type | str] = (), tags: Iterable[str] = (), tenant_id: str = ""
    ) -> "EventQuery":
        """Return a query of one item.

        Args:
            types: classes of events, or the names they are stored under; none means any.
            tags: tags that an event must have, all of them.
            tenant_id: whose events.

        Raises:
            EventQueryError: there are neither types nor tags.
            TagError: a tag is none.
        """
        if isinstance(types, str):
            raise EventQueryError(f"Give a list of types, also where there is one: {types!r}.")
        names = [kind if isinstance(kind, str) else event_type_of(kind) for kind in types]
        return cls((EventQueryItem(tuple(names), checked_tags(tags)),), tenant_id)

    def __or__(self, other: "EventQuery") -> "EventQuery":
        """Return a query for what one of the two finds.

        Raises:
            EventQueryError: they are for two tenants.
        """
        if self.tenant_id != other.tenant_id:
            raise EventQueryError(
                f"One query is for the tenant {self.tenant_id!r}, the other for "
                f"{other.tenant_id!r}; a decision is made within one tenant."
            )
        return EventQuery((*self.items, *other.items), self.tenant_id)

    def matches(self, event_type: str, tags: Collection[str], tenant_id: str) -> bool:
        """Whether an event of this type and tenant with these tags is meant."""
        if not tags or tenant_id != self.tenant_id:
            return False
        return any(item.matches(event_type, tags) for item in self.items)

    def matches_stored(self, event: StoredEvent) -> bool:
        """Whether ``event`` is meant."""
        return self.matches(event.event_type, event.tags, event.stream.tenant_id)

    def __str__(self) -> str:
        items = ", or ".join(map(str, self.items))
        return f"{items} (tenant {self.tenant_id})" if self.tenant_id else items


@dataclass(frozen=True, slots=True)
class AppendCondition:
    """Events may be appended if nothing has come that the decision for them does not know of.

    Events are never changed, so how many a query finds is its version: as long as the number is
    the same, so are the events.

    Attributes:
        query: finds the events that the decision was made on.
        version: how many of them there were; 0 where there must be none.
    """

    query: EventQuery
    version: int = 0


class AppendConditionError(ConcurrencyError):
    """Events were appended that the decision did not know of; nothing of it is kept.

    Attributes:
        query: finds the events that the decision was made on.
        expected: how many there were then.
        actual: how many there are, counted to one more than expected.
    """

    def __init__(self, condition: AppendCondition, actual: int) -> None:
        self.query, expected = condition.query, condition.version
        super().__init__(f"The query for {self.query}", expected=expected, actual=actual)
        found = f"more than {expected}" if actual > expected else str(actual)
        message = (
            f"The decision was made on {expected} event(s) of {self.query}, and there are {found}. "
            "Read them again and decide again; RetryMiddleware does that for you."
        )
        self.args = (message,)


class UntaggedEventError(CQRSDDDError):
    """An event is appended on a condition and has no tag, so that no condition could see it.

    Attributes:
        event_type: what it is.
        event_id: which one.
    """

    def __init__(self, event_type: str, event_id: str | None) -> None:
        self.event_type, self.event_id = event_type, event_id
        super().__init__(
            f"{event_type} {event_id or ''} has no tag, so no query would find it and the next "
            "decision would not know of it. Annotate a field of its class with a Tag."
        )


class ConditionUnsupportedError(ConfigurationError):
    """This database, as it is set up, cannot promise what an append on a condition needs.

    Attributes:
        reason: why not.
    """

    def __init__(self, reason: str, advice: str) -> None:
        self.reason = reason
        super().__init__(f"No append on a condition here: {reason}. {advice}")


def refuse_untagged(events: Iterable[StoredEvent]) -> None:
    """Raise ``UntaggedEventError`` for the first of ``events`` without a tag."""
    for event in events:
        if not event.tags:
            raise UntaggedEventError(event.event_type, event.event_id)
