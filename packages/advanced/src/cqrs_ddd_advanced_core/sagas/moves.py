"""Loads sagas, saves what has become of them, and repeats what lost a race."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from cqrs_ddd_advanced_core.sagas.definition import SagaDefinition
from cqrs_ddd_advanced_core.sagas.errors import SagaConfigurationError, SagaNotFoundError
from cqrs_ddd_advanced_core.sagas.instance import SagaInstance, SagaKind
from cqrs_ddd_advanced_core.sagas.move import SagaMove
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository
from cqrs_ddd_core.cqrs.concurrency import CriticalSection
from cqrs_ddd_core.cqrs.context import get_tenant_id
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork
from cqrs_ddd_core.ports import ILockStrategy, IMessageCodec, IOutboxStorage
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import ConcurrencyError
from cqrs_ddd_core.primitives.ids import new_id
from cqrs_ddd_core.primitives.locking import ResourceIdentifier
from cqrs_ddd_core.primitives.retry import RetryPolicy

_log = logging.getLogger(__name__)
_RACES = RetryPolicy(max_attempts=30, base_delay=0.005, max_delay=0.5)


class SagaMoves:
    """Moves of stored sagas, each saved together with the messages it sends, or not at all.

    Args:
        definitions: the sagas known here, by name.
        repository: where sagas are kept.
        outbox: where their commands wait for delivery.
        uow_factory: opens units of work on the store of both.
        codec: encodes commands and events.
        lock_strategy: keeps those who move one saga from working in vain; nothing depends on it.
    """

    def __init__(
        self,
        definitions: Mapping[str, SagaDefinition],
        repository: ISagaRepository,
        outbox: IOutboxStorage,
        uow_factory: Callable[[], UnitOfWork],
        *,
        codec: IMessageCodec,
        lock_strategy: ILockStrategy | None = None,
    ) -> None:
        self._definitions, self._repository = definitions, repository
        self._outbox, self._uow_factory = outbox, uow_factory
        self._codec, self._locks = codec, lock_strategy

    async def transact(self, work: Callable[[], Awaitable[None]], resource: str) -> None:
        """Do ``work`` in a unit of work, in new ones again as often as a race was lost.

        Args:
            work: may be called several times.
            resource: what is locked meanwhile, where there is a lock strategy.

        Raises:
            ConcurrencyError: it has lost race after race.
        """
        attempt = 1
        while True:
            try:
                async with AsyncExitStack() as stack:
                    if self._locks is not None:
                        named = [ResourceIdentifier("Saga", resource)]
                        await stack.enter_async_context(CriticalSection(named, self._locks))
                    await stack.enter_async_context(self._uow_factory())
                    await work()
            except ConcurrencyError:
                if attempt == _RACES.max_attempts:
                    raise
                await asyncio.sleep(_RACES.delay(attempt))
                attempt += 1
            else:
                return

    async def begin_or_find(
        self,
        definition: SagaDefinition,
        key: str,
        event_id: str,
        *,
        starts: bool,
        correlation_id: str | None,
    ) -> SagaMove | None:
        """Return the saga with this key, a new one if need be; None where there is nothing to do.

        There is nothing to do when the event has been handled, or finds no saga and starts none.
        """
        tenant_id = get_tenant_id()
        saga = await self._repository.find_by_key(definition.name, key, tenant_id=tenant_id)
        if saga is not None:
            if await self._repository.was_handled(saga.saga_id, event_id):
                return None
        elif starts:
            now = utc_now()
            saga = SagaInstance(
                saga_id=new_id(),
                saga_type=definition.name,
                kind=SagaKind.EVENT_DRIVEN,
                key=key,
                correlation_id=correlation_id,
                tenant_id=tenant_id,
                created_at=now,
                updated_at=now,
            )
        else:
            _log.debug("event %s finds no saga %r with key %r", event_id, definition.name, key)
            return None
        return SagaMove(definition, saga, self._codec)

    async def find(self, saga_id: str) -> SagaMove | None:
        """Return the saga with this id.

        Raises:
            SagaConfigurationError: its definition is not known here.
        """
        saga = await self._repository.find(saga_id)
        return None if saga is None else SagaMove(self.definition_of(saga), saga, self._codec)

    async def require(self, saga_id: str) -> SagaMove:
        """Return the saga with this id.

        Raises:
            SagaNotFoundError: there is none.
            SagaConfigurationError: its definition is not known here.
        """
        move = await self.find(saga_id)
        if move is None:
            raise SagaNotFoundError(saga_id)
        return move

    def definition_of(self, saga: SagaInstance) -> SagaDefinition:
        """Return what a stored saga does.

        Raises:
            SagaConfigurationError: its definition is not known here.
        """
        definition = self._definitions.get(saga.saga_type)
        if definition is None or saga.kind is not SagaKind.EVENT_DRIVEN:
            known = ", ".join(sorted(self._definitions))
            problem = (
                f"Saga {saga.saga_id!r} is of a type that this manager does not run; it runs "
                f"{known}. Give its definition to bootstrap_sagas."
            )
            raise SagaConfigurationError(saga.saga_type, [problem])
        return definition

    async def save(self, move: SagaMove, *, release: bool = False) -> None:
        """Save a move with its messages in the current unit of work.

        Raises:
            ConcurrencyError: now or at commit, when somebody else moved the saga meanwhile.
        """
        saga = move.result()
        if saga.version == 0:
            await self._repository.add(saga, move.journal)
        else:
            await self._repository.save(saga, move.journal, release=release)
        if move.outgoing:
            await self._outbox.save_messages(move.outgoing)
