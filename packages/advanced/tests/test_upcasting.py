"""Old events are read in the schema of today, and a history that cannot be read is an error."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cqrs_ddd_advanced_core import (
    EventReader,
    EventUnreadableError,
    EventUpcaster,
    UpcasterChainError,
    UpcasterRegistry,
    UpcastError,
)
from cqrs_ddd_core import EventTypeRegistry, InMemoryEventStore, IUpcaster, StoredEvent, StreamId

from .bank import Deposited, Opened

GOLDEN = json.loads((Path(__file__).parent / "golden" / "bank.json").read_text(encoding="utf-8"))
ACCOUNT = StreamId("Account", "a-1")


class PaidIn(EventUpcaster):
    supported_type, from_version, to_version = "bank.paid-in", 1, 2
    new_type = "bank.deposited"

    def upcast(self, payload: dict[str, Any]) -> dict[str, Any]:
        payload["amount"] = payload.pop("euros") * 100
        return payload


class Cents(EventUpcaster):
    supported_type = "bank.deposited"
    from_version = 1

    def upcast(self, payload: dict[str, Any]) -> dict[str, Any]:
        payload["amount"] = payload.pop("euros") * 100
        return payload


class Currency(EventUpcaster):
    supported_type = "bank.deposited"
    from_version = 2
    to_version = 3

    def upcast(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {**payload, "currency": "EUR"}


@pytest.fixture
def types() -> EventTypeRegistry:
    types = EventTypeRegistry()
    types.add(Opened, Deposited)
    return types


@pytest.fixture
def upcasters() -> UpcasterRegistry:
    return UpcasterRegistry(PaidIn(), Cents(), Currency())


def stored(event_type: str, schema_version: int, payload: dict[str, Any]) -> StoredEvent:
    return StoredEvent(
        event_id=payload.get("event_id", "e"),
        event_type=event_type,
        stream=ACCOUNT,
        payload=json.dumps(payload).encode(),
        occurred_at=datetime.now(UTC),
        schema_version=schema_version,
        version=4,
    )


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda g: f"{g['event_type']} {g['schema_version']}")
async def test_every_payload_ever_written_is_read_today(
    golden: dict[str, Any], types: EventTypeRegistry, upcasters: UpcasterRegistry
) -> None:
    upcasters.validate(types)
    old = stored(golden["event_type"], golden["schema_version"], golden["payload"])
    store = InMemoryEventStore(upcaster_registry=upcasters)
    await store.append(ACCOUNT, [old])
    (read,) = [event async for event in store.read_stream(ACCOUNT)]
    by_store = EventReader(types).read(read)
    by_reader = EventReader(types, upcasters).read(old)
    assert by_store == by_reader == EventReader(types, upcasters).read(read)
    assert isinstance(by_reader, Deposited)
    for name, value in golden["today"].items():
        assert getattr(by_reader, name) == value
    (told,) = (await store.read_feed()).events
    assert told.payload == read.payload


def test_the_registry_is_an_upcaster_for_event_stores(upcasters: UpcasterRegistry) -> None:
    assert isinstance(upcasters, IUpcaster)
    assert upcasters.registered_event_types() == ["bank.deposited", "bank.paid-in"]
    assert upcasters.has_upcasters("bank.deposited")
    assert len(upcasters.chain_for("bank.paid-in")) == 2
    assert upcasters.upcast("bank.deposited", {"euros": 1}, 1) == (
        {"amount": 100, "currency": "EUR"},
        3,
    )
    assert upcasters.upcast("bank.deposited", {"amount": 1}, 3) == ({"amount": 1}, 3)


def test_a_gap_is_found_before_the_first_event_is_read(types: EventTypeRegistry) -> None:
    with pytest.raises(UpcasterChainError) as problems:
        UpcasterRegistry(Cents()).validate(types)
    assert problems.value.problems == [
        "No upcaster takes version 2 of 'bank.deposited', whose class is at version 3."
    ]


def test_all_mistakes_are_told_at_once(types: EventTypeRegistry) -> None:
    class TooFar(EventUpcaster):
        supported_type, from_version, to_version = "bank.opened", 1, 2

        def upcast(self, payload: dict[str, Any]) -> dict[str, Any]:
            return payload

    class Orphan(TooFar):
        supported_type, from_version, to_version = "bank.closed", 1, 2

    with pytest.raises(UpcasterChainError) as problems:
        UpcasterRegistry(TooFar(), Orphan(), Currency()).validate(types)
    text = str(problems.value)
    assert "'bank.closed' has upcasters and no class" in text
    assert "TooFar makes version 2 of 'bank.opened', whose class is at version 1" in text
    assert "No upcaster takes version 1 of 'bank.deposited'" in text


def test_an_upcaster_that_says_nothing_or_contradicts_is_refused() -> None:
    class Nameless(EventUpcaster):
        def upcast(self, payload: dict[str, Any]) -> dict[str, Any]:
            return payload

    class Backwards(Nameless):
        supported_type, from_version, to_version = "x", 3, 2

    class Other(Cents):
        supported_type, from_version = "bank.deposited", 1

    with pytest.raises(UpcasterChainError, match="no supported_type"):
        UpcasterRegistry(Nameless())
    with pytest.raises(UpcasterChainError, match="backwards"):
        UpcasterRegistry(Backwards())
    with pytest.raises(UpcasterChainError, match="Other and Cents both take version 1"):
        UpcasterRegistry(Cents(), Other())


def test_an_upcaster_that_fails_names_stream_version_and_type(upcasters: UpcasterRegistry) -> None:
    with pytest.raises(UpcastError) as failure:
        upcasters.upcast_stored(stored("bank.deposited", 1, {"francs": 1}))
    error = failure.value
    assert (error.stream, error.version, error.event_type) == (ACCOUNT, 4, "bank.deposited")
    assert (error.schema_version, "KeyError: 'euros'" in str(error)) == (1, True)


@pytest.mark.parametrize(
    ("event_type", "payload", "reason"),
    [
        ("bank.closed", {}, "No event class is registered under 'bank.closed'"),
        ("bank.opened", {}, "owner: Field required"),
    ],
)
def test_an_event_that_cannot_be_read_names_stream_version_and_type(
    types: EventTypeRegistry, event_type: str, payload: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EventUnreadableError) as failure:
        EventReader(types).read(stored(event_type, 1, payload))
    error = failure.value
    assert (error.stream, error.version, error.event_type) == (ACCOUNT, 4, event_type)
    assert reason in str(error)
