"""Runs the handlers of committed events, side by side and bounded."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cqrs_ddd_core.cqrs.context import get_correlation_id
from cqrs_ddd_core.cqrs.errors import EventHandlerFailure
from cqrs_ddd_core.cqrs.event_queue import event_id_of
from cqrs_ddd_core.cqrs.instrumentation import get_hook_registry
from cqrs_ddd_core.cqrs.invocation import ConstructingHandlerFactory, Invoke, invoker
from cqrs_ddd_core.cqrs.registration_checks import name_of
from cqrs_ddd_core.cqrs.registry import Registration
from cqrs_ddd_core.ports.handler_factory import IHandlerFactory
from cqrs_ddd_core.primitives.message_context import MessageContext, current_context

_log = logging.getLogger(__name__)

OnFailure = Callable[[EventHandlerFailure], object]
Job = tuple[Any, str, Invoke]


def log_failure(failure: EventHandlerFailure) -> None:
    """Write a failure to the log, with its traceback."""
    _log.error(
        "%s failed on %s; its command has succeeded",
        failure.handler,
        type(failure.event).__name__,
        exc_info=failure.error,
    )


class EventDispatcher:
    """Hands events to the handlers of their type and of its bases.

    Handlers run at the same time, at most ``max_concurrency`` of them. Each failure is reported;
    none stops or hides another.

    Args:
        max_concurrency: how many handlers run at once in one ``dispatch``.
        on_failure: called with each failure; writes to the log by default.

    Example:
        >>> dispatcher = EventDispatcher()
        >>> dispatcher.register(str, print)
        >>> asyncio.run(dispatcher.dispatch(["shipped"]))
        shipped
        []
    """

    def __init__(self, max_concurrency: int = 10, *, on_failure: OnFailure = log_failure) -> None:
        self._max_concurrency, self._on_failure = max_concurrency, on_failure
        self._handlers: list[tuple[type, str, Invoke]] = []
        self._by_type: dict[type, list[tuple[str, Invoke]]] = {}

    def register(
        self,
        event_type: type,
        handler: Any,
        *,
        in_thread: bool = False,
        factory: IHandlerFactory | None = None,
    ) -> None:
        """Run ``handler`` (an instance, a class or a function) for events of this type."""
        registration = Registration(handler, name_of(handler), in_thread)
        invoke = invoker(registration, factory or ConstructingHandlerFactory())
        self._handlers.append((event_type, registration.name, invoke))
        self._by_type.clear()

    def get_registered_handlers(self) -> dict[type, list[str]]:
        """Return the handlers' names by event type."""
        names: dict[type, list[str]] = {}
        for event_type, name, _ in self._handlers:
            names.setdefault(event_type, []).append(name)
        return names

    def clear(self) -> None:
        """Forget every handler."""
        self._handlers.clear()
        self._by_type.clear()

    async def dispatch(self, events: Sequence[Any]) -> list[EventHandlerFailure]:
        """Run the handlers of all ``events`` and return the failures; raises none of them."""
        jobs = [(event, name, invoke) for event in events for name, invoke in self._find(event)]
        if not jobs:
            return []
        if len(jobs) == 1:
            failures = [await self._run(jobs[0])]
        else:
            failures = await self._run_together(jobs)
        return [failure for failure in failures if failure is not None]

    async def _run_together(self, jobs: list[Job]) -> list[EventHandlerFailure | None]:
        """Run jobs by a few workers that take one after another: as many tasks as may run."""
        failures: list[EventHandlerFailure | None] = []
        waiting = iter(jobs)

        async def work() -> None:
            for job in waiting:
                failures.append(await self._run(job))  # noqa: PERF401 - workers share the list

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._max_concurrency, len(jobs))):
                group.create_task(work())
        return failures

    async def _run(self, job: Job) -> EventHandlerFailure | None:
        event, name, invoke = job
        context = MessageContext(get_correlation_id(), getattr(event, "event_id", None))
        token = current_context.set(context)
        try:
            await observed_handling(event, name, invoke)
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            return self._tell(EventHandlerFailure(event, name, error))
        except Exception as error:  # noqa: BLE001 - the command has succeeded; the failure is told
            return self._tell(EventHandlerFailure(event, name, error))
        finally:
            current_context.reset(token)
        return None

    def _tell(self, failure: EventHandlerFailure) -> EventHandlerFailure:
        """Report ``failure``; when that fails too, the log has both."""
        try:
            self._on_failure(failure)
        except Exception:  # noqa: BLE001 - it would fail a command that has succeeded
            log_failure(failure)
            _log.exception("The failure of %s could not be reported", failure.handler)
        return failure

    def _find(self, event: object) -> list[tuple[str, Invoke]]:
        event_type = type(event)
        found = self._by_type.get(event_type)
        if found is None:
            found = self._by_type[event_type] = [
                (name, invoke)
                for handled, name, invoke in self._handlers
                if issubclass(event_type, handled)
            ]
        return found


def _is_being_cancelled() -> bool:
    """Whether somebody cancels this task, and not just what it was waiting for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def observed_handling(event: object, handler: str, invoke: Invoke) -> Awaitable[Any]:
    """Have ``event`` handled, under the eyes of the instrumentation hooks if there are any."""
    hooks = get_hook_registry()
    if not hooks.active:
        return invoke(event)
    attributes = {
        "event.type": type(event).__name__,
        "event.id": event_id_of(event),
        "handler": handler,
        "message_type": type(event),
    }
    operation = f"event.handler.{type(event).__name__}"
    return hooks.execute_all(operation, attributes, lambda: invoke(event))
