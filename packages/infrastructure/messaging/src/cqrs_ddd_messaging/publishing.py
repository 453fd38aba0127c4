"""Publishes a batch: keys side by side, the messages of each in order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cqrs_ddd_core import BrokerUnavailableError, OutboxMessage
from cqrs_ddd_messaging.errors import HeldBackError

Send = Callable[[OutboxMessage], Awaitable[None]]


async def publish_by_key(
    messages: Sequence[OutboxMessage], send: Send
) -> Sequence[Exception | None]:
    """Have ``send`` publish each message, a key's next one only after the one before is confirmed.

    Args:
        messages: in the order of their keys.
        send: publishes one and returns once it is confirmed.

    Raises:
        BrokerUnavailableError: no message was confirmed, because the broker is away.
    """
    outcomes: list[Exception | None] = [None] * len(messages)
    chains: dict[object, list[int]] = {}
    for index, message in enumerate(messages):
        chains.setdefault(message.partition_key or index, []).append(index)

    async def publish_chain(indexes: list[int]) -> None:
        failed = False
        for index in indexes:
            message = messages[index]
            if failed:
                outcomes[index] = HeldBackError(message.message_id, message.partition_key)
                continue
            try:
                await send(message)
            except Exception as error:  # noqa: BLE001 - the outcome of this one message
                outcomes[index], failed = error, True

    async with asyncio.TaskGroup() as group:
        for indexes in chains.values():
            group.create_task(publish_chain(indexes))
    if all(outcomes) and isinstance(outcomes[0], BrokerUnavailableError):
        raise outcomes[0]
    return outcomes
