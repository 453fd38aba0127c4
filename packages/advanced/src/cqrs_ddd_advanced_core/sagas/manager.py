"""Runs event-driven sagas, and lets people look at them and move them."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from cqrs_ddd_advanced_core.sagas.by_hand import resume_by_hand, retry_step, undo_by_hand
from cqrs_ddd_advanced_core.sagas.definition import SagaDefinition
from cqrs_ddd_advanced_core.sagas.errors import SagaNotFoundError
from cqrs_ddd_advanced_core.sagas.instance import SagaInstance, SagaKind, SagaStatus
from cqrs_ddd_advanced_core.sagas.move import COMMAND_TYPE, SAGA_ID, SagaMove
from cqrs_ddd_advanced_core.sagas.moves import SagaMoves
from cqrs_ddd_advanced_core.sagas.outcomes import done, expects, failed, wake
from cqrs_ddd_advanced_core.sagas.reacting import replay, take
from cqrs_ddd_advanced_core.sagas.repository import ISagaRepository, SagaFilter
from cqrs_ddd_advanced_core.sagas.state import SagaState, state_of
from cqrs_ddd_advanced_core.scheduling.command_names import command_class_of
from cqrs_ddd_core.cqrs.codec import JsonMessageCodec
from cqrs_ddd_core.cqrs.context import (
    get_correlation_id,
    with_correlation_context,
    with_tenant,
)
from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.cqrs.scope import unit_of_work_to_join
from cqrs_ddd_core.ports import ILockStrategy, IMessageCodec, IOutboxStorage, OutboxMessage
from cqrs_ddd_core.primitives.clock import utc_now
from cqrs_ddd_core.primitives.errors import DomainError, ValidationError
from cqrs_ddd_core.primitives.ids import new_id

_log = logging.getLogger(__name__)

_ACTIVE = frozenset({SagaStatus.RUNNING, SagaStatus.SUSPENDED, SagaStatus.COMPENSATING})
_ERROR_LENGTH = 2000


class SagaManager:
    """Runs event-driven sagas; ``bootstrap_sagas`` makes one and connects it.

    Args:
        definitions: the sagas.
        repository: where they are kept.
        mediator: carries out their commands, in units of work on the same store.
        outbox: where their commands wait for delivery, on the same store.
        codec: encodes commands and kept events; JSON by default.
        lock_strategy: has those who move one saga wait for each other, instead of trying again.
    """

    def __init__(
        self,
        definitions: Sequence[SagaDefinition],
        repository: ISagaRepository,
        mediator: Mediator,
        outbox: IOutboxStorage,
        *,
        codec: IMessageCodec | None = None,
        lock_strategy: ILockStrategy | None = None,
    ) -> None:
        self.definitions = {each.name: each for each in definitions}
        self._repository, self.mediator = repository, mediator
        self._codec: IMessageCodec = codec or JsonMessageCodec()
        self._moves = SagaMoves(
            self.definitions,
            repository,
            outbox,
            mediator.unit_of_work,
            codec=self._codec,
            lock_strategy=lock_strategy,
        )

    # -- events ---------------------------------------------------------------------------------

    async def handle(self, event: object) -> None:
        """Have every saga that listens to ``event`` handle it, each at most once.

        When one raises, those behind it have not handled it: repeat the call, which does no harm.
        Inside a unit of work it is part of that one. Outside, each saga has one of its own, and a
        race that is lost is repeated.

        Raises:
            SagaCorrelationError: the event does not say which saga it belongs to.
            ConcurrencyError: somebody else moved the saga at the same time, again and again.
            Exception: what a handler of a saga raised; nothing has happened to that saga then.
        """
        for definition in self.definitions.values():
            await self.handle_for(definition, event)

    async def handle_for(
        self, definition: SagaDefinition, event: object, *, message_id: str | None = None
    ) -> None:
        """Have the saga of one type handle ``event`` (see ``handle``).

        Args:
            definition: the type.
            event: what has happened.
            message_id: by which a repetition is known, for events that have no ``event_id``.
        """
        reaction = definition.reaction_to(type(event))
        if reaction is None:
            return
        key = definition.key_of(event, reaction)
        own_id: str | None = getattr(event, "event_id", None)
        event_id = own_id or message_id or new_id()
        correlation_id = getattr(event, "correlation_id", None) or get_correlation_id() or key

        async def work() -> None:
            move = await self._moves.begin_or_find(
                definition, key, event_id, starts=reaction.starts, correlation_id=correlation_id
            )
            if move is not None:
                await take(move, event_id, event, reaction)
                await self._moves.save(move)

        if unit_of_work_to_join() is not None:
            await work()
            return
        with with_correlation_context(correlation_id, event_id):
            await self._moves.transact(work, f"{definition.name}/{key}")

    # -- commands -------------------------------------------------------------------------------

    async def carry_out(self, message: OutboxMessage) -> None:
        """Have a saga's command handled, and what came of it noted in the saga, in one commit.

        When it fails, that is noted in a second unit of work: the saga tries again later, or goes
        back. A command that is done already, or that the saga took back, is passed over.

        Raises:
            UnknownCommandNameError: no handler is registered here for it.
            MessageCodecError: it cannot be read.
            Exception: the store is away, so that nothing at all could be noted.
        """
        saga_id, message_id = message.headers[SAGA_ID], message.message_id
        name = message.headers[COMMAND_TYPE]
        command_class = command_class_of(name, self.mediator.registry.commands)
        command = self._codec.decode(command_class, message.payload)

        async def do() -> None:
            move = await self._moves.find(saga_id)
            if move is None or not expects(move, message_id):
                return
            await self.mediator.send(command)
            move = await self._moves.find(saga_id)  # the command may have taken its time
            if move is None or not expects(move, message_id):
                raise _TakenBackError
            done(move, message_id)
            await self._moves.save(move)

        with (
            with_correlation_context(message.correlation_id, message_id),
            with_tenant(message.tenant_id),
        ):
            try:
                await self._moves.transact(do, saga_id)
            except _TakenBackError:
                return
            except Exception as error:  # noqa: BLE001 - the saga decides what follows from it
                await self._note_failure(saga_id, message_id, error)

    async def _note_failure(self, saga_id: str, message_id: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]
        is_refusal = isinstance(error, DomainError | ValidationError)
        trace = None if is_refusal else error
        _log.warning("command %s of a saga failed: %s", message_id, text, exc_info=trace)

        async def note() -> None:
            move = await self._moves.find(saga_id)
            if move is not None and expects(move, message_id):
                failed(move, message_id, text, is_refusal=is_refusal)
                await self._moves.save(move)

        await self._moves.transact(note, saga_id)

    # -- what is due ----------------------------------------------------------------------------

    @property
    def saga_types(self) -> Collection[str]:
        """The stored names of the sagas it runs."""
        return self.definitions.keys()

    async def resume(self, saga: SagaInstance) -> None:
        """Do what is due in a saga that a ``SagaRecoveryWorker`` has claimed (see the port)."""
        at = max(utc_now(), saga.wake_at or saga.updated_at)  # the store's clock has decided

        async def work() -> None:
            move = await self._moves.find(saga.saga_id)
            if move is not None:
                await wake(move, at)
                await self._moves.save(move, release=True)

        await self._moves.transact(work, saga.saga_id)

    # -- people ---------------------------------------------------------------------------------

    async def get_saga_state(self, saga_id: str) -> SagaState:
        """Return where a saga stands.

        Raises:
            SagaNotFoundError: there is none with this id.
        """
        saga = await self._repository.find(saga_id)
        if saga is None:
            raise SagaNotFoundError(saga_id)
        return state_of(saga, self._moves.definition_of(saga))

    async def find_saga(self, saga_type: str, key: str, tenant_id: str | None = None) -> SagaState:
        """Return where the saga stands that events find by ``key``.

        Raises:
            SagaNotFoundError: there is none of this type with this key.
        """
        saga = await self._repository.find_by_key(saga_type, key, tenant_id=tenant_id)
        if saga is None:
            raise SagaNotFoundError(f"{saga_type}/{key}")
        return state_of(saga, self._moves.definition_of(saga))

    async def list_active(self, limit: int = 100, after: str | None = None) -> list[SagaState]:
        """Return sagas that are under way, forward or back, the latest begun first."""
        return await self.search(SagaFilter(statuses=_ACTIVE), limit=limit, after=after)

    async def search(
        self, wanted: SagaFilter | None = None, *, limit: int = 100, after: str | None = None
    ) -> list[SagaState]:
        """Return sagas, the latest begun first.

        Args:
            wanted: which of those that it runs; all by default.
            limit: how many, at most.
            after: the id of the last saga of the page before.
        """
        wanted = wanted or SagaFilter()
        asked_for = wanted.saga_types if wanted.saga_types is not None else self.saga_types
        mine = [name for name in asked_for if name in self.definitions]
        found = await self._repository.search(
            replace(wanted, saga_types=mine, kinds={SagaKind.EVENT_DRIVEN}),
            limit=limit,
            after=after,
        )
        return [state_of(saga, self.definitions[saga.saga_type]) for saga in found]

    async def retry_step(self, saga_id: str, step_name: str) -> SagaState:
        """Send the commands of a step, or its compensation, that failed once more, now.

        Raises:
            SagaNotFoundError: there is none with this id.
            IllegalSagaTransitionError: nothing of this step has failed, or the saga is going back
                and the step would lead it forward.
        """
        return await self._by_hand(saga_id, lambda move: retry_step(move, step_name))

    async def compensate(
        self, saga_id: str, reason: str = "A person asked for it to be undone."
    ) -> SagaState:
        """Undo what a saga has done, or try again to, where that has failed.

        Raises:
            SagaNotFoundError: there is none with this id.
            IllegalSagaTransitionError: it has come to its end.
        """
        return await self._by_hand(saga_id, lambda move: undo_by_hand(move, reason))

    async def resume_saga(self, saga_id: str) -> SagaState:
        """Let a suspended saga go on.

        Raises:
            SagaNotFoundError: there is none with this id.
            IllegalSagaTransitionError: it is not suspended.
        """
        return await self._by_hand(saga_id, resume_by_hand)

    async def _by_hand(self, saga_id: str, change: Callable[[SagaMove], None]) -> SagaState:
        async def work() -> None:
            move = await self._moves.require(saga_id)
            change(move)
            await replay(move)
            await self._moves.save(move)

        if unit_of_work_to_join() is not None:
            await work()
        else:
            await self._moves.transact(work, saga_id)
        return await self.get_saga_state(saga_id)


class _TakenBackError(Exception):
    """The saga took a command back while it was being carried out: its effect is undone."""
