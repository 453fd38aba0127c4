"""What every broker adapter promises of its dead letters: seen, redriven, discarded, never lost."""
# ruff: noqa: D102 - test names are sentences

from collections import Counter
from collections.abc import Sequence

from cqrs_ddd_core import BrokerDeadLetter, IParkingConsumer, OutboxMessage, utc_now
from cqrs_ddd_core.testing import until
from cqrs_ddd_messaging.testing.world import (
    TIMEOUT,
    BrokerUnderTest,
    Handled,
    consuming,
    message,
)

_FOUR = ("a-1", "a-2", "a-3", "m-1")


class DeadLetterConformance:
    """Part of ``BrokerConformance``."""

    async def test_a_dead_letter_tells_what_why_and_since_when(
        self, broker: BrokerUnderTest
    ) -> None:
        assert isinstance(broker.consumer, IParkingConsumer)
        before = utc_now()
        await _parked(broker, [message("a-1", "Order/é 1", schema_version=3)])
        (letter,) = await listed(broker, 1)
        assert (letter.message_id, letter.event_type) == ("a-1", "conformance.Told")
        assert (letter.partition_key, letter.attempts) == ("Order/é 1", 3)
        assert letter.error == "HandlingFailed: a-1"
        assert letter.body == message("").payload
        assert letter.parked_at is not None
        assert before <= letter.parked_at <= utc_now()
        assert letter.topic

    async def test_where_nothing_is_parked_there_is_nothing_to_do(
        self, broker: BrokerUnderTest
    ) -> None:
        letters = broker.consumer.dead_letters()
        assert (await letters.count(), await letters.dead_letters()) == (0, [])
        assert (await letters.redrive(), await letters.discard(["m-1"])) == ([], [])

    async def test_looking_changes_nothing(self, broker: BrokerUnderTest) -> None:
        await _parked(broker, _four())
        letters = broker.consumer.dead_letters()
        for _ in range(3):
            found = await listed(broker, 4)
            assert _by_key(found) == {"a": ["a-1", "a-2", "a-3"], "": ["m-1"]}
        assert len(await letters.dead_letters(limit=2)) == 2  # noqa: PLR2004
        await until(lambda: _counts(broker, 4), TIMEOUT)

    async def test_redriven_letters_come_as_they_came_at_first_and_in_order(
        self, broker: BrokerUnderTest
    ) -> None:
        await _parked(broker, _four())
        assert sorted(await broker.consumer.dead_letters().redrive()) == sorted(_FOUR)
        assert await broker.consumer.dead_letters().count() == 0
        async with broker.consumer.connect() as subscription:
            received = [*await subscription.receive(4)]
            while len(received) < len(_FOUR):
                received += await subscription.receive(4)
        assert {each.attempt for each in received} == {1}
        handled = Handled()
        async with consuming(broker, handled):
            await until(lambda: len(handled.done) == len(_FOUR), TIMEOUT)
        assert handled.by_key == {"a": ["a-1", "a-2", "a-3"], "": ["m-1"]}
        assert sorted(handled.done, key=lambda each: each.message_id) == _four()

    async def test_what_fails_again_has_all_its_attempts_and_is_parked_again(
        self, broker: BrokerUnderTest
    ) -> None:
        await _parked(broker, [message("a-1", "a"), message("m-1")])
        await broker.consumer.dead_letters().redrive()
        handled = await _parked(broker, [], ["a-1", "m-1"])
        assert (handled.calls_of("a-1"), handled.calls_of("m-1")) == (3, 3)
        assert {each.attempts for each in await listed(broker, 2)} == {3}

    async def test_letters_redriven_by_id_leave_the_others_in_their_order(
        self, broker: BrokerUnderTest
    ) -> None:
        await _parked(broker, _four())
        letters = broker.consumer.dead_letters()
        assert await letters.redrive(["a-2", "nobody"]) == ["a-2"]
        assert _by_key(await listed(broker, 3)) == {"a": ["a-1", "a-3"], "": ["m-1"]}
        handled = Handled()
        async with consuming(broker, handled):
            await until(lambda: handled.ids == ["a-2"], TIMEOUT)
            assert sorted(await letters.redrive()) == ["a-1", "a-3", "m-1"]
            await until(lambda: len(handled.done) == len(_FOUR), TIMEOUT)
        assert handled.by_key == {"a": ["a-2", "a-1", "a-3"], "": ["m-1"]}

    async def test_a_discarded_letter_never_comes_again(self, broker: BrokerUnderTest) -> None:
        await _parked(broker, _four())
        letters = broker.consumer.dead_letters()
        assert await letters.discard(["a-1", "m-1", "nobody"]) in (["a-1", "m-1"], ["m-1", "a-1"])
        assert _by_key(await listed(broker, 2)) == {"a": ["a-2", "a-3"]}
        await letters.redrive()
        handled = Handled()
        async with consuming(broker, handled):
            await until(lambda: handled.ids == ["a-2", "a-3"], TIMEOUT)
        assert await letters.count() == 0

    async def test_letters_are_redriven_while_the_consumer_works(
        self, broker: BrokerUnderTest
    ) -> None:
        handled = Handled()
        handled.fails = {"a-1": 3, "m-1": 6}
        letters = broker.consumer.dead_letters()
        async with consuming(broker, handled):
            await broker.publisher.publish([message("a-1", "a"), message("m-1")])
            await until(lambda: _counts(broker, 2), TIMEOUT)
            await until(lambda: letters.redrive(["a-1"]), TIMEOUT)
            await until(lambda: letters.redrive(["m-1"]), TIMEOUT)
            await until(lambda: handled.ids == ["a-1"], TIMEOUT)
            await until(lambda: handled.calls_of("m-1") == 6, TIMEOUT)  # noqa: PLR2004
            await until(letters.redrive, TIMEOUT)
            await until(lambda: handled.ids == ["a-1", "m-1"], TIMEOUT)
        assert await letters.count() == 0

    async def test_who_dies_between_sending_and_removing_loses_nothing(
        self, broker: BrokerUnderTest
    ) -> None:
        await _parked(broker, _four())
        letters = broker.consumer.dead_letters()
        async with letters.shelf.open() as scan:
            shown = [stored async for batch in scan.batches() for stored in batch]
            (second,) = [each for each in shown if each.letter.message_id == "a-2"]
            await scan.send_back(second)
        assert _by_key(await listed(broker, 4)) == {"a": ["a-1", "a-2", "a-3"], "": ["m-1"]}
        await letters.redrive()
        handled = Handled()
        async with consuming(broker, handled):
            await until(lambda: set(handled.ids) == set(_FOUR), TIMEOUT)
        assert Counter(handled.ids) - Counter[str](_FOUR) in (Counter(), Counter(["a-2"]))
        assert await letters.count() == 0

    async def test_what_cannot_be_read_is_chosen_by_the_id_that_it_is_shown_with(
        self, broker: BrokerUnderTest
    ) -> None:
        await broker.publish_raw(b"no envelope \xff\x00", {})
        async with consuming(broker, Handled()):
            (letter,) = await listed(broker, 1)
        assert letter.error.startswith("UnreadableMessageError: ")
        letters = broker.consumer.dead_letters()
        assert await letters.redrive([letter.message_id]) == [letter.message_id]
        async with consuming(broker, Handled()):
            (again,) = await listed(broker, 1)
        assert (again.message_id, again.body) == (letter.message_id, b"no envelope \xff\x00")
        assert await letters.discard([letter.message_id]) == [letter.message_id]


async def listed(broker: BrokerUnderTest, count: int) -> Sequence[BrokerDeadLetter]:
    """Wait until so many letters are there to be seen, and return them."""
    letters = broker.consumer.dead_letters()

    async def found() -> Sequence[BrokerDeadLetter] | None:
        shown = await letters.dead_letters()
        return shown if len(shown) >= count else None

    shown = await until(found, TIMEOUT)
    assert len(shown) == count
    return shown


def _four() -> list[OutboxMessage]:
    return [message(each, "a" if each.startswith("a") else "") for each in _FOUR]


async def _parked(
    broker: BrokerUnderTest, messages: Sequence[OutboxMessage], ids: Sequence[str] = ()
) -> Handled:
    """Publish messages and have a consumer park them, and those of ``ids`` that wait already."""
    handled = Handled()
    handled.fails = dict.fromkeys([*ids, *(each.message_id for each in messages)], 1000)
    await broker.publisher.publish(messages)
    async with consuming(broker, handled):
        await until(lambda: _counts(broker, len(handled.fails)), TIMEOUT)
    return handled


async def _counts(broker: BrokerUnderTest, count: int) -> bool:
    return await broker.consumer.dead_letters().count() == count


def _by_key(letters: Sequence[BrokerDeadLetter]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for letter in letters:
        found.setdefault(letter.partition_key, []).append(letter.message_id)
    return found
