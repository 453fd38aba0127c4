"""Hooks around what the toolkit does, for tracing and metrics."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable

_log = logging.getLogger(__name__)

Operation = Callable[[], Awaitable[Any]]
Predicate = Callable[[str, Mapping[str, Any]], bool]


@runtime_checkable
class InstrumentationHook(Protocol):
    """Stands around operations and looks on.

    It awaits ``next_step`` once and returns what that returned. An error of its own is logged and
    changes nothing; the operation's error passes through.
    """

    async def __call__(
        self, operation: str, attributes: Mapping[str, Any], next_step: Operation
    ) -> Any:
        """Look on while ``next_step`` runs."""
        ...


class HookRegistration:
    """One registered hook; ``remove`` takes it out, ``enabled`` switches it off and on."""

    def __init__(
        self,
        registry: "HookRegistry",
        hook: InstrumentationHook,
        priority: int,
        matches: Predicate,
        *,
        enabled: bool,
    ) -> None:
        self._registry, self.hook, self.priority = registry, hook, priority
        self.matches, self.enabled = matches, enabled

    def remove(self) -> None:
        """Take the hook out of its registry."""
        self._registry.remove(self)


class HookRegistry:
    """The hooks of this process, seen from every task.

    Attributes:
        active: whether there is any hook; what is instrumented looks here first.

    Example:
        >>> import asyncio
        >>> hooks = HookRegistry()
        >>> async def watch(operation, attributes, next_step):
        ...     print("before", operation)
        ...     return await next_step()
        >>> registration = hooks.register(watch, operations=["command.*"])
        >>> async def work():
        ...     return "done"
        >>> asyncio.run(hooks.execute_all("command.PlaceOrder", {}, work))
        before command.PlaceOrder
        'done'
    """

    def __init__(self) -> None:
        self._registrations: list[HookRegistration] = []
        self.active = False

    def register(
        self,
        hook: InstrumentationHook,
        *,
        priority: int = 0,
        operations: Sequence[str] = ("*",),
        message_types: Sequence[type] = (),
        predicate: Predicate | None = None,
        enabled: bool = True,
    ) -> HookRegistration:
        """Have ``hook`` look on.

        Args:
            hook: called around each operation that matches.
            priority: the lowest is outermost.
            operations: patterns of operation names, such as ``command.*``.
            message_types: only operations on messages of these classes; none means all.
            predicate: decides on operation and attributes.
            enabled: whether it begins at once.
        """

        def matches(operation: str, attributes: Mapping[str, Any]) -> bool:
            if not any(fnmatchcase(operation, pattern) for pattern in operations):
                return False
            if message_types and not issubclass(
                attributes.get("message_type", object), tuple(message_types)
            ):
                return False
            return predicate is None or predicate(operation, attributes)

        registration = HookRegistration(self, hook, priority, matches, enabled=enabled)
        self._registrations.append(registration)
        self._registrations.sort(key=lambda entry: entry.priority)
        self.active = True
        return registration

    def remove(self, registration: HookRegistration) -> None:
        """Take a hook out; no harm when it is out already."""
        if registration in self._registrations:
            self._registrations.remove(registration)
        self.active = bool(self._registrations)

    def clear(self) -> None:
        """Take all hooks out."""
        self._registrations.clear()
        self.active = False

    async def execute_all(
        self, operation: str, attributes: Mapping[str, Any], next_step: Operation
    ) -> Any:
        """Run ``next_step`` once, with every matching hook looking on."""
        for registration in reversed(self._registrations):
            if registration.enabled and registration.matches(operation, attributes):
                next_step = _guarded(registration.hook, operation, attributes, next_step)
        return await next_step()


def _guarded(
    hook: InstrumentationHook, operation: str, attributes: Mapping[str, Any], next_step: Operation
) -> Operation:
    """Return ``next_step`` with ``hook`` around it, whose own mistakes change nothing."""

    async def run() -> Any:
        outcome = _Outcome(next_step)
        try:
            await hook(operation, attributes, outcome.run_once)
        except Exception as error:  # noqa: BLE001 - a hook must not fail what it watches
            if error is not outcome.error:
                _log.exception("An instrumentation hook failed around %s", operation)
        return await outcome.result()

    return run


class _Outcome:
    """What an operation came to, run at most once."""

    def __init__(self, operation: Operation) -> None:
        self._operation, self._value, self._ran = operation, None, False
        self.error: BaseException | None = None

    async def run_once(self) -> Any:
        if not self._ran:
            self._ran = True
            try:
                self._value = await self._operation()
            except BaseException as error:
                self.error = error
                raise
        return await self.result()

    async def result(self) -> Any:
        if not self._ran:
            return await self.run_once()
        if self.error is not None:
            raise self.error
        return self._value


_registry = HookRegistry()


def get_hook_registry() -> HookRegistry:
    """Return the hooks of this process."""
    return _registry


def set_hook_registry(registry: HookRegistry) -> HookRegistry:
    """Replace the hooks of this process and return those that were in force."""
    global _registry
    previous, _registry = _registry, registry
    return previous
