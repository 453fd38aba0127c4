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
        for indexes in _by_key(messages):
            group.create_task(publish_chain(indexes))
    if outcomes and all(outcomes) and isinstance(outcomes[0], BrokerUnavailableError):
        raise outcomes[0]
    return outcomes


PublishWave = Callable[[Sequence[OutboxMessage]], Awaitable[Sequence[Exception | None]]]


async def publish_in_waves(
    messages: Sequence[OutboxMessage], publish_wave: PublishWave
) -> Sequence[Exception | None]:
    """Have ``publish_wave`` publish messages of different keys together, wave after wave.

    For clients that batch: first goes the first message of every key, then every second one whose
    key has not failed, and so on.

    Args:
        messages: in the order of their keys.
        publish_wave: publishes messages of which no two have a key in common.

    Raises:
        BrokerUnavailableError: no message was confirmed, because the broker is away.
    """
    outcomes: list[Exception | None] = [None] * len(messages)
    waiting, place = _by_key(messages), 0
    while waiting:
        wave = [chain[place] for chain in waiting]
        results = await publish_wave([messages[index] for index in wave])
        for index, result in zip(wave, results, strict=True):
            outcomes[index] = result
        place += 1
        longer = [chain for chain in waiting if len(chain) > place]
        waiting = [chain for chain in longer if outcomes[chain[place - 1]] is None]
        for chain in longer:
            if outcomes[chain[place - 1]] is not None:
                for index in chain[place:]:
                    held = messages[index]
                    outcomes[index] = HeldBackError(held.message_id, held.partition_key)
    if outcomes and all(outcomes) and isinstance(outcomes[0], BrokerUnavailableError):
        raise outcomes[0]
    return outcomes


def _by_key(messages: Sequence[OutboxMessage]) -> list[list[int]]:
    """Return the places of the messages of each key; one without a key stands alone."""
    chains: dict[object, list[int]] = {}
    for index, message in enumerate(messages):
        chains.setdefault(message.partition_key or index, []).append(index)
    return list(chains.values())
