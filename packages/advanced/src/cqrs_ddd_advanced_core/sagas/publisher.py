"""Brings sagas' commands from the outbox to their handlers: a publisher that needs no broker."""

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property

from cqrs_ddd_advanced_core.sagas.manager import SagaManager
from cqrs_ddd_core.cqrs.outbox import EarlierMessageFailedError
from cqrs_ddd_core.ports import OutboxMessage
from cqrs_ddd_core.ports.outbox_relay import order_key_of


class SagaCommandPublisher:
    """Has the commands of sagas carried out, each effectively once.

    A command is handled in a unit of work in which its saga notes that it is done, so one cannot be
    without the other. The commands of one saga run one after another, those of several sagas side
    by side. A command that fails is no failure of the message: its saga has noted it and decides.

    Args:
        manager: runs the sagas; or a function that returns it, where it is made later.
        max_concurrency: how many commands are carried out at once, at most.

    Example:
        ``TopicRoutingPublisher({SAGA_COMMAND: SagaCommandPublisher(lambda: manager)},
        default=DurableHandlerPublisher(lambda: mediator, inbox))`` is all that a relay needs.
    """

    def __init__(
        self, manager: SagaManager | Callable[[], SagaManager], *, max_concurrency: int = 10
    ) -> None:
        self._given, self._max_concurrency = manager, max_concurrency

    @cached_property
    def _manager(self) -> SagaManager:
        return self._given if isinstance(self._given, SagaManager) else self._given()

    async def publish(self, messages: Sequence[OutboxMessage]) -> Sequence[Exception | None]:
        """Have ``messages`` carried out and return what has become of each (see the port)."""
        chains: dict[str, list[OutboxMessage]] = {}
        for message in messages:
            chains.setdefault(order_key_of(message), []).append(message)
        failures: dict[str, Exception] = {}
        waiting = iter(chains.values())

        async def work() -> None:
            for chain in waiting:
                await self._carry_out_in_order(chain, failures)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._max_concurrency, len(chains))):
                group.create_task(work())
        return [failures.get(message.message_id) for message in messages]

    async def _carry_out_in_order(
        self, chain: Sequence[OutboxMessage], failures: dict[str, Exception]
    ) -> None:
        for number, message in enumerate(chain):
            try:
                await self._manager.carry_out(message)
            except Exception as error:  # noqa: BLE001 - it is the outcome
                failures[message.message_id] = error
                for behind in chain[number + 1 :]:
                    failures[behind.message_id] = EarlierMessageFailedError(message.message_id)
                return
