"""Sends each message to the publisher that is responsible for its type."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cqrs_ddd_core.cqrs.errors import HandlerError
from cqrs_ddd_core.domain.event import event_type_of
from cqrs_ddd_core.ports.message_publisher import IMessagePublisher
from cqrs_ddd_core.ports.outbox_storage import OutboxMessage

T = TypeVar("T", bound=type)
_ROUTE = "__cqrs_ddd_route__"


class PublisherNotFoundError(HandlerError):
    """No publisher is responsible for a message.

    Attributes:
        event_type: the type of the message.
    """

    def __init__(self, event_type: str, destination: str | None = None) -> None:
        self.event_type, self.destination = event_type, destination
        missing = (
            f"has the destination {destination!r}, which is not among the destinations"
            if destination is not None
            else "has no route, and there is no default"
        )
        super().__init__(
            f"{event_type!r} {missing}. Add it with register_route(), with @route_to on its class, "
            "or give the TopicRoutingPublisher a default."
        )


def route_to(destination: str) -> Callable[[T], T]:
    """Mark a class of messages as meant for ``destination``.

    Example:
        >>> from cqrs_ddd_core import DomainEvent
        >>> @route_to("billing")
        ... class InvoiceSent(DomainEvent):
        ...     total: int
    """

    def mark(message_type: T) -> T:
        setattr(message_type, _ROUTE, destination)
        return message_type

    return mark


class TopicRoutingPublisher:
    """Publishes each message through the publisher that its type belongs to.

    The first that is there decides: a route for its type, ``@route_to`` on its class together with
    ``destinations``, the default.

    Args:
        routes: publishers by the name of a message's type.
        destinations: publishers by what ``@route_to`` names.
        default: takes all the rest.
        message_types: the classes whose ``@route_to`` counts; a stored message knows only its
            type's name.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_core import DomainEvent, OutboxMessage, utc_now
        >>> class Printer:
        ...     async def publish(self, messages):
        ...         print([message.message_id for message in messages])
        ...         return [None] * len(messages)
        >>> @route_to("billing")
        ... class InvoiceSent(DomainEvent):
        ...     total: int
        >>> publisher = TopicRoutingPublisher(
        ...     destinations={"billing": Printer()}, message_types=[InvoiceSent]
        ... )
        >>> message = OutboxMessage(
        ...     message_id="m-1", event_type="InvoiceSent", payload=b"{}", occurred_at=utc_now()
        ... )
        >>> asyncio.run(publisher.publish([message]))
        ['m-1']
        [None]
    """

    def __init__(
        self,
        routes: Mapping[str, IMessagePublisher] | None = None,
        destinations: Mapping[str, IMessagePublisher] | None = None,
        default: IMessagePublisher | None = None,
        *,
        message_types: Sequence[type[Any]] = (),
    ) -> None:
        self._routes = dict(routes or {})
        self._destinations, self._default = dict(destinations or {}), default
        self._marked: dict[str, str] = {
            event_type_of(message_type): getattr(message_type, _ROUTE)
            for message_type in message_types
            if hasattr(message_type, _ROUTE)
        }

    def register_route(self, event_type: str | type, publisher: IMessagePublisher) -> None:
        """Send messages of this type through ``publisher`` from now on."""
        name = event_type if isinstance(event_type, str) else event_type_of(event_type)
        self._routes[name] = publisher

    def publisher_for(self, event_type: str) -> IMessagePublisher:
        """Return who publishes messages of this type.

        Raises:
            PublisherNotFoundError: nobody does.
        """
        if event_type in self._routes:
            return self._routes[event_type]
        destination = self._marked.get(event_type)
        publisher = self._destinations.get(destination) if destination else self._default
        if publisher is None:
            raise PublisherNotFoundError(event_type, destination)
        return publisher

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Publish ``messages``, those of one publisher together (see ``IMessagePublisher``).

        A publisher whose broker is away fails its own messages; the others' are published.
        Raises only when every publisher did.
        """
        batch = _Batch(messages)
        runs = self._runs(batch)
        away = [error for run in runs if (error := await batch.publish(*run)) is not None]
        if away and len(away) == len(runs) and all(batch.outcomes):
            raise away[0]
        return batch.outcomes

    def _runs(self, batch: "_Batch") -> list[tuple[IMessagePublisher, list[int]]]:
        """Group messages into one call a publisher, or several where a key changes publishers."""
        runs: list[tuple[IMessagePublisher, list[int]]] = []
        last_run: dict[str, int] = {}
        for index, message in enumerate(batch.messages):
            try:
                publisher = self.publisher_for(message.event_type)
            except PublisherNotFoundError as error:
                batch.failed(index, error)
                continue
            earliest = last_run.get(message.partition_key, 0)
            place = next((at for at in range(earliest, len(runs)) if runs[at][0] is publisher), -1)
            if place < 0:
                place = len(runs)
                runs.append((publisher, []))
            runs[place][1].append(index)
            if message.partition_key:
                last_run[message.partition_key] = place
        return runs


class _Batch:
    """Messages on their way, and what has become of each."""

    def __init__(self, messages: Sequence[OutboxMessage]) -> None:
        self.messages = messages
        self.outcomes: list[Exception | None] = [None] * len(messages)
        self._failed_at: dict[str, int] = {}

    def failed(self, index: int, error: Exception) -> None:
        """Note a failure; later messages with the same key stay behind it."""
        self.outcomes[index] = error
        key = self.messages[index].partition_key
        if key:
            self._failed_at[key] = min(index, self._failed_at.get(key, index))

    async def publish(self, publisher: IMessagePublisher, indexes: list[int]) -> Exception | None:
        """Publish those that nothing keeps back; return what made the publisher fail entirely."""
        free: list[int] = []
        for index in indexes:
            before = self._failed_at.get(self.messages[index].partition_key, index)
            if before < index:
                self.outcomes[index] = self.outcomes[before]
            else:
                free.append(index)
        if not free:
            return None
        away: Exception | None = None
        try:
            results = await publisher.publish([self.messages[index] for index in free])
        except Exception as error:  # noqa: BLE001 - it fails these messages, not those of others
            away = error
            results = [error] * len(free)
        for index, result in zip(free, results, strict=True):
            if result is not None:
                self.failed(index, result)
        return away
