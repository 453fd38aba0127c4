"""Merges a command that lost a race with what is there by now, and sends it on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cqrs_ddd_advanced_core.conflict.resolver import ConflictResolutionPolicy, ConflictResolver
from cqrs_ddd_advanced_core.conflict.strategies import LastWinsStrategy, State
from cqrs_ddd_core.cqrs.scope import current_scope
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
from cqrs_ddd_core.ports.middleware import NextHandler
from cqrs_ddd_core.primitives.errors import ConcurrencyError, ConfigurationError
from cqrs_ddd_core.primitives.retry import RetryPolicy

Load = Callable[[Any, Any], Awaitable[State | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRule:
    """How commands of one type are merged.

    Attributes:
        command_type: the class of the commands.
        latest: reads what is stored now: ``await latest(command, uow)``, in a unit of work of its
            own. None means that it is gone; the error stands then.
        incoming: returns the state that a command wants.
        update: returns the command with the merged state, made on what ``latest`` read.
        base: reads what the sender had seen; None where it cannot be known.
        resolver: merges.
        policy: what becomes of a change that lost a race.
    """

    command_type: type
    latest: Load
    incoming: Callable[[Any], State]
    update: Callable[[Any, dict[str, Any], State], Any]
    base: Load | None = None
    resolver: ConflictResolver = field(default_factory=ConflictResolver)
    policy: ConflictResolutionPolicy = ConflictResolutionPolicy.MERGE


class ConflictResolutionMiddleware:
    """On a ``ConcurrencyError``: loads what is there, merges, and sends the merged command on.

    The handler runs again, in a new unit of work, on the newest state: its rules hold for the
    merged change, too. Commands without a rule, and commands inside others, are passed on.

    Args:
        uow_factory: opens units of work to read in.
        rules: one for each type of command.
        retries: how often, and how fast.

    Raises:
        ConfigurationError: a type has two rules.
    """

    surrounds_unit_of_work: ClassVar[bool] = True

    def __init__(
        self,
        uow_factory: Callable[[], UnitOfWork],
        rules: Iterable[MergeRule],
        *,
        retries: RetryPolicy | None = None,
    ) -> None:
        self._uow_factory, self._retries = uow_factory, retries or RetryPolicy()
        self._rules: dict[type, MergeRule] = {}
        for rule in rules:
            if self._rules.setdefault(rule.command_type, rule) is not rule:
                raise ConfigurationError(f"{rule.command_type.__name__} has two merge rules.")

    def _rule_of(self, message: object) -> MergeRule | None:
        return self._rules.get(type(message))

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        """Handle ``message``, merged if need be; the last attempt's error is raised as it is.

        Raises:
            MergeConflictError: both changes cannot be kept; the ``ConcurrencyError`` is its cause.
        """
        rule = self._rule_of(message)
        if rule is None or current_scope() is not None:
            return await next_handler(message)
        original = message
        for attempt in range(1, self._retries.max_attempts):
            try:
                return await next_handler(message)
            except ConcurrencyError as error:
                if rule.policy is ConflictResolutionPolicy.FIRST_WINS:
                    raise
                message = await self._merged(rule, original, error)
            await asyncio.sleep(self._retries.delay(attempt))
        return await next_handler(message)

    async def _merged(self, rule: MergeRule, command: Any, error: ConcurrencyError) -> Any:
        """Return the command that its sender would have sent, had they seen what is there now."""
        uow = self._uow_factory()
        uow.read_only = True
        async with uow:
            existing = await rule.latest(command, uow)
            base = await rule.base(command, uow) if rule.base is not None else None
        if existing is None:
            raise error
        resolver = rule.resolver
        if rule.policy is ConflictResolutionPolicy.LAST_WINS:
            resolver = ConflictResolver(LastWinsStrategy())
        try:
            merged = resolver.merge(existing, rule.incoming(command), base)
        except Exception as refused:
            raise refused from error
        return rule.update(command, merged, existing)
