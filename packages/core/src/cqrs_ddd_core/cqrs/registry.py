"""Which handler stands behind which message type."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol, TypeVar, overload

from cqrs_ddd_core.cqrs.errors import HandlerRegistrationError
from cqrs_ddd_core.cqrs.handler import EventPhase
from cqrs_ddd_core.cqrs.message import ResultType
from cqrs_ddd_core.cqrs.registration_checks import (
    check_durable_names,
    check_events,
    check_signature,
    name_of,
)
from cqrs_ddd_core.cqrs.response import CommandResponse, QueryResponse

_DURABLE = EventPhase.DURABLE

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
M_contra = TypeVar("M_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class MessageClass(Protocol[M_co, R]):
    """A class of commands or queries, as a type checker sees it: what it makes, its result."""

    def __message_type__(self) -> type[M_co]: ...

    def __result_type__(self) -> ResultType[R]: ...


class Handles(Protocol[M_contra, R_co]):
    """An object, or an instance of a class, whose ``handle`` takes the message."""

    def handle(self, message: M_contra, /) -> R_co:
        """Handle ``message``."""
        ...


class Registration(NamedTuple):
    """One handler as it was registered.

    Attributes:
        handler: an instance, a class or a function.
        name: how it is called in errors and logs.
        in_thread: whether a synchronous handler runs in a worker thread.
    """

    handler: Any
    name: str
    in_thread: bool = False


class EventRegistration(NamedTuple):
    """One event handler as it was registered."""

    event_type: type
    phase: EventPhase
    registration: Registration


class HandlerRegistry:
    """Which handler stands behind which message; instances, classes and functions alike.

    Mistakes are collected and reported together by ``validate``, which the mediator calls when it
    is made.

    Example:
        >>> from cqrs_ddd_core import Command
        >>> class Greet(Command[str]):
        ...     name: str
        >>> async def greet(command: Greet) -> str:
        ...     return f"Hello {command.name}"
        >>> registry = HandlerRegistry()
        >>> registry.register_command_handler(Greet, greet)
    """

    def __init__(self) -> None:
        self.commands: dict[type, Registration] = {}
        self.queries: dict[type, Registration] = {}
        self.streams: dict[type, Registration] = {}
        self.events: list[EventRegistration] = []
        self._problems: list[str] = []
        self._listeners: list[Callable[[], None]] = []

    @overload
    def register_command_handler(
        self,
        command_type: MessageClass[M, R],
        handler: Handles[M, Awaitable[CommandResponse[R]]]
        | type[Handles[M, Awaitable[CommandResponse[R]]]],
        *,
        in_thread: bool = False,
    ) -> None: ...
    @overload
    def register_command_handler(
        self,
        command_type: MessageClass[M, R],
        handler: Callable[[M], Awaitable[CommandResponse[R] | R]]
        | Callable[[M, Any], Awaitable[CommandResponse[R] | R]]
        | Callable[[M], CommandResponse[R] | R],
        *,
        in_thread: bool = False,
    ) -> None: ...
    def register_command_handler(
        self, command_type: Any, handler: Any, *, in_thread: bool = False
    ) -> None:
        """Let ``handler`` carry out commands of this type.

        Args:
            command_type: a class of commands.
            handler: an object with ``handle``, a class of such, or a function. A class is made
                anew for each command, through the mediator's handler factory.
            in_thread: run a synchronous handler in a worker thread.
        """
        self._put(self.commands, "command", command_type, handler, in_thread=in_thread)

    @overload
    def register_query_handler(
        self,
        query_type: MessageClass[M, R],
        handler: Handles[M, Awaitable[QueryResponse[R]]]
        | type[Handles[M, Awaitable[QueryResponse[R]]]],
        *,
        in_thread: bool = False,
    ) -> None: ...
    @overload
    def register_query_handler(
        self,
        query_type: MessageClass[M, R],
        handler: Callable[[M], Awaitable[QueryResponse[R] | R]]
        | Callable[[M, Any], Awaitable[QueryResponse[R] | R]]
        | Callable[[M], QueryResponse[R] | R],
        *,
        in_thread: bool = False,
    ) -> None: ...
    def register_query_handler(
        self, query_type: Any, handler: Any, *, in_thread: bool = False
    ) -> None:
        """Let ``handler`` answer queries of this type (see ``register_command_handler``)."""
        self._put(self.queries, "query", query_type, handler, in_thread=in_thread)

    def register_stream_handler(
        self,
        message_type: MessageClass[M, R],
        handler: Handles[M, AsyncIterator[R]]
        | type[Handles[M, AsyncIterator[R]]]
        | Callable[[M], AsyncIterator[R]]
        | Callable[[M, Any], AsyncIterator[R]],
    ) -> None:
        """Let ``handler``, an async generator, answer commands or queries of this type.

        Its items are read with ``mediator.stream``.
        """
        self._put(self.streams, "stream", message_type, handler, in_thread=False)

    def register_event_handler(
        self,
        event_type: type[M],
        handler: Handles[M, Awaitable[None]]
        | type[Handles[M, Awaitable[None]]]
        | Callable[[M], Awaitable[None]]
        | Callable[[M, Any], Awaitable[None]]
        | Callable[[M], None],
        *,
        phase: EventPhase = EventPhase.AFTER_COMMIT,
        name: str | None = None,
        in_thread: bool = False,
    ) -> None:
        """Let ``handler`` react to events of this type and of the types derived from it.

        Args:
            event_type: a class of events.
            handler: an object with ``handle``, a class of such, or a function.
            phase: when it runs and what its failure means.
            name: how it is called in errors and logs; its own name by default. The inbox knows a
                DURABLE handler by it: give it one that stays when the code is moved or renamed.
            in_thread: run a synchronous handler in a worker thread.
        """
        registration = Registration(handler, name or name_of(handler), in_thread)
        entry = EventRegistration(event_type, phase, registration)
        if entry not in self.events:
            self._problems += check_signature(event_type, registration, "event")
            self.events.append(entry)
            self._changed()

    def event_handlers(self, event_type: type, phase: EventPhase) -> list[Registration]:
        """Return the handlers of ``event_type`` and of its bases, in order of registration."""
        return [
            entry.registration
            for entry in self.events
            if entry.phase is phase and issubclass(event_type, entry.event_type)
        ]

    def event_types(self, *phases: EventPhase) -> list[type]:
        """Return the event types that have handlers in these phases (none named: in any)."""
        return list(
            dict.fromkeys(
                entry.event_type for entry in self.events if not phases or entry.phase in phases
            )
        )

    def validate(self, *expected: type) -> None:
        """Check all registrations together.

        Args:
            *expected: message types that must have a handler.

        Raises:
            HandlerRegistrationError: lists every mistake with its fix.
        """
        known = {*self.commands, *self.queries, *self.streams}
        missing = [
            f"{message_type.__qualname__} has no handler; register one, or do not expect it."
            for message_type in expected
            if message_type not in known
        ]
        durable = [entry.registration for entry in self.events if entry.phase is _DURABLE]
        checks = (*check_events(self.event_types()), *check_durable_names(durable))
        problems = [*self._problems, *checks, *missing]
        if problems:
            raise HandlerRegistrationError(problems)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever a handler is added."""
        self._listeners.append(listener)

    def get_registered_handlers(self) -> dict[str, list[str]]:
        """Return the handlers' names by message type, for people to read."""
        handlers = {
            message_type.__name__: [registration.name]
            for table in (self.commands, self.queries, self.streams)
            for message_type, registration in table.items()
        }
        for event_type, phase, registration in self.events:
            name = f"{registration.name} ({phase.value})"
            handlers.setdefault(event_type.__name__, []).append(name)
        return handlers

    def clear(self) -> None:
        """Forget every handler."""
        for table in (self.commands, self.queries, self.streams):
            table.clear()
        self.events.clear()
        self._problems.clear()
        self._changed()

    def _put(
        self,
        table: dict[type, Registration],
        kind: str,
        message_type: Any,
        handler: Any,
        *,
        in_thread: bool,
    ) -> None:
        registration = Registration(handler, name_of(handler), in_thread)
        present = table.get(message_type)
        if present is not None and present.handler is not handler:
            self._problems.append(
                f"Duplicate {kind} handler for {message_type.__qualname__}: {present.name} and "
                f"{registration.name}. Keep one; side effects belong into event handlers."
            )
            return
        self._problems += check_signature(message_type, registration, kind)
        table[message_type] = registration
        self._changed()

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
