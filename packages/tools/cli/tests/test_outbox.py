"""``cqrs-ddd outbox`` on real rows."""

import json
from datetime import timedelta
from typing import Any

import pytest

from .conftest import Shop, message

PLACED, SHIPPED = "OrderPlaced", "OrderShipped"


@pytest.fixture
def troubled(shop: Shop) -> Shop:
    """Two keys with a dead letter, one of them with two messages behind it, and one that is new."""
    old = [
        ("m-1", PLACED, "Order/1"),
        ("m-2", SHIPPED, "Order/1"),
        ("m-3", SHIPPED, "Order/1"),
        ("m-4", PLACED, "Order/2"),
        ("m-5", SHIPPED, "Order/3"),
    ]
    age = timedelta(hours=2, minutes=1)

    async def make_trouble(opened: Any) -> None:
        await opened.outbox.save_messages([message(*each, age) for each in old])
        await shop.deliver(opened.outbox, ["Order/1", "Order/2"])
        await opened.outbox.save_messages([message("m-6", PLACED, "Order/4", timedelta(0))])

    shop.do(make_trouble)
    return shop


def data_of(shop: Shop, *arguments: str) -> dict[str, Any]:
    result = shop.run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def without_ages(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if not key.endswith(("_at", "_seconds"))}


class TestStatus:
    def test_it_counts_what_waits_and_what_stands_still(self, troubled: Shop) -> None:
        status = data_of(troubled, "outbox", "status")
        age = status.pop("oldest_age_seconds")
        troubles = status.pop("troubles")
        assert status == {
            "waiting": 5,
            "parked": 2,
            "retrying": 0,
            "dead_letters": 2,
            "archived": 1,
            "relays": 0,
        }
        assert 0 <= age < 3600
        assert [trouble.split()[0] for trouble in troubles] == ["2", "Messages"]

    def test_it_is_a_table_for_people_that_ends_with_what_is_wrong(self, troubled: Shop) -> None:
        result = troubled.run("outbox", "status")
        assert result.exit_code == 0
        for text in ("waiting", "the oldest for", "dead letters", "2 dead letter(s): `cqrs-ddd"):
            assert text in result.stdout

    def test_check_ends_with_1_when_something_is_wrong(self, troubled: Shop) -> None:
        assert troubled.run("outbox", "status", "--check").exit_code == 1

    def test_check_ends_with_0_when_all_is_well(self, shop: Shop) -> None:
        result = shop.run("outbox", "status", "--check", "--max-age", "1m")
        assert (result.exit_code, result.stderr) == (0, "")
        assert data_of(shop, "outbox", "status")["oldest_age_seconds"] is None

    def test_check_sees_messages_that_nobody_delivers(self, shop: Shop) -> None:
        shop.saves(("m-1", PLACED, "Order/1"))
        result = shop.run("outbox", "status", "--check")
        assert result.exit_code == 1
        assert "no relay is at work" in result.stdout

    def test_check_sees_messages_that_wait_too_long(self, shop: Shop) -> None:
        shop.saves(("m-1", PLACED, "Order/1"))
        troubles = data_of(shop, "outbox", "status", "--max-age", "0s")["troubles"]
        assert any("The oldest message waits for" in trouble for trouble in troubles)
        troubles = data_of(shop, "outbox", "status", "--max-age", "1h")["troubles"]
        assert not any("The oldest message waits for" in trouble for trouble in troubles)


class TestList:
    def test_it_lists_what_is_not_delivered_the_oldest_first(self, troubled: Shop) -> None:
        listed = data_of(troubled, "outbox", "list", "--limit", "3")
        assert listed["total"] == 5
        assert [message["message_id"] for message in listed["messages"]] == ["m-1", "m-2", "m-3"]
        first = listed["messages"][0]
        assert 7260 <= first["age_seconds"] < 10_000
        assert without_ages(first) == {
            "message_id": "m-1",
            "event_type": PLACED,
            "partition_key": "Order/1",
            "tenant_id": None,
            "correlation_id": None,
            "state": "dead letter",
            "attempts": 1,
            "error": "ValueError: the queue [orders] refused it",
        }
        assert first["retry_in_seconds"] is None
        states = [message["state"] for message in data_of(troubled, "outbox", "list")["messages"]]
        assert states == ["dead letter", "parked", "parked", "dead letter", "waiting"]

    def test_it_tells_when_a_failed_message_is_tried_again(self, troubled: Shop) -> None:
        troubled.run("outbox", "redrive", "m-4")
        retried = data_of(troubled, "outbox", "list")["messages"][3]
        assert (retried["message_id"], retried["state"]) == ("m-4", "retrying")
        assert (retried["attempts"], retried["retry_in_seconds"]) == (0, 0)
        assert "in 0 s" in troubled.run("outbox", "list").stdout

    def test_it_is_a_table_that_says_when_there_is_more(self, troubled: Shop) -> None:
        result = troubled.run("outbox", "list", "--limit", "3")
        for text in ("m-1", "OrderPlaced", "Order/1", "2 h 1 min", "ValueError: the queue"):
            assert text in result.stdout
        assert "3 of 5 are shown; --limit 5 shows all." in result.stdout
        assert "are shown" not in troubled.run("outbox", "list").stdout

    def test_it_says_so_when_nothing_waits(self, shop: Shop) -> None:
        assert "every message is delivered" in shop.run("outbox", "list").stdout
        assert data_of(shop, "outbox", "list") == {"messages": [], "total": 0}


class TestDeadLetters:
    def test_it_lists_them_with_error_attempts_and_what_waits_behind(self, troubled: Shop) -> None:
        listed = data_of(troubled, "outbox", "dead-letters")
        assert listed["total"] == 2
        first = next(e for e in listed["dead_letters"] if e["message_id"] == "m-1")
        assert first["failed_at"] > first["occurred_at"]
        assert without_ages(first) == {
            "message_id": "m-1",
            "event_type": PLACED,
            "partition_key": "Order/1",
            "tenant_id": None,
            "correlation_id": None,
            "attempts": 1,
            "parked_behind": 2,
            "error": "ValueError: the queue [orders] refused it",
        }

    def test_it_is_a_table_that_fits_80_columns(self, troubled: Shop) -> None:
        result = troubled.run("outbox", "dead-letters")
        for text in ("m-1", "m-4", "OrderPlaced", "Order/2", "ValueError: the queue"):
            assert text in result.stdout
        assert max(map(len, result.stdout.splitlines())) <= 80

    @pytest.mark.parametrize(
        ("arguments", "ids"),
        [
            (["--key", "Order/2"], ["m-4"]),
            (["--key", "Order/2", "--key", "Order/1"], ["m-1", "m-4"]),
            (["--type", PLACED, "--key", "Order/1"], ["m-1"]),
            (["--type", SHIPPED], []),
            (["--error", "[orders] refused"], ["m-1", "m-4"]),
            (["--error", "Timeout"], []),
            (["--error", "refused", "--key", "Order/2"], ["m-4"]),
            (["--newer-than", "1h"], ["m-1", "m-4"]),
            (["--older-than", "1h"], []),
        ],
    )
    def test_it_narrows_by_key_type_age_and_error(
        self, troubled: Shop, arguments: list[str], ids: list[str]
    ) -> None:
        listed = data_of(troubled, "outbox", "dead-letters", *arguments)
        assert sorted(entry["message_id"] for entry in listed["dead_letters"]) == ids

    def test_it_says_so_when_there_are_none(self, shop: Shop) -> None:
        assert shop.run("outbox", "dead-letters").stdout == "There are no dead letters.\n"
        narrowed = shop.run("outbox", "dead-letters", "--key", "x").stdout
        assert narrowed == "There are no such dead letters.\n"


class TestRedrive:
    @pytest.mark.parametrize(
        ("arguments", "delivered"),
        [
            (["m-1"], ["m-1", "m-2", "m-3"]),
            (["m-1", "m-4"], ["m-1", "m-2", "m-3", "m-4"]),
            (["--key", "Order/2"], ["m-4"]),
            (["--type", PLACED, "--key", "Order/1"], ["m-1", "m-2", "m-3"]),
            (["--error", "refused", "--key", "Order/2", "--newer-than", "1h"], ["m-4"]),
            (["--all", "--yes"], ["m-1", "m-2", "m-3", "m-4"]),
        ],
    )
    def test_what_is_chosen_is_delivered_and_what_waited_behind_follows_in_order(
        self, troubled: Shop, arguments: list[str], delivered: list[str]
    ) -> None:
        troubled.broker.delivered.clear()
        result = troubled.run("outbox", "redrive", *arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        assert f"Redriven: {len({'m-1', 'm-4'} & set(delivered))}." in result.stdout
        troubled.relays()
        of_key_1 = [each for each in troubled.broker.delivered if each in {"m-1", "m-2", "m-3"}]
        assert of_key_1 == [each for each in delivered if each != "m-4"]
        assert sorted(troubled.broker.delivered) == [*delivered, "m-6"]

    def test_it_says_what_waited_behind(self, troubled: Shop) -> None:
        assert "2 message(s) waited behind" in troubled.run("outbox", "redrive", "m-1").stdout

    def test_json_tells_the_count_and_the_missing(self, troubled: Shop) -> None:
        assert data_of(troubled, "outbox", "redrive", "m-4") == {"redriven": 1, "missing": []}

    def test_an_id_that_is_no_dead_letter_is_named_and_the_others_are_redriven(
        self, troubled: Shop
    ) -> None:
        result = troubled.run("outbox", "redrive", "m-5", "m-4", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout) == {"redriven": 1, "missing": ["m-5"]}
        assert "No dead letters have these ids: m-5." in result.stderr

    def test_all_asks_first_and_no_answer_is_no(self, troubled: Shop) -> None:
        result = troubled.run("outbox", "redrive", "--all")
        assert result.exit_code == 2
        assert "Redrive all 2 dead letters? Nobody can answer here; add --yes." in result.stderr
        assert data_of(troubled, "outbox", "status")["dead_letters"] == 2

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "Say which dead letters"),
            (["m-1", "--all"], "Choose in one way"),
            (["--all", "--key", "Order/1"], "Choose in one way"),
            (["m-1", "--type", PLACED], "Choose in one way"),
            (["m-1", "--error", "refused"], "Choose in one way"),
            (["--all", "--older-than", "1h"], "Choose in one way"),
        ],
    )
    def test_it_wants_one_way_to_choose(
        self, memory_shop: Shop, arguments: list[str], said: str
    ) -> None:
        result = memory_shop.run("outbox", "redrive", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr

    def test_nothing_to_redrive_is_fine(self, shop: Shop) -> None:
        result = shop.run("outbox", "redrive", "--all")
        assert (result.exit_code, result.stderr) == (0, "")
        assert "Redriven: 0." in result.stdout


class TestMany:
    def test_more_than_a_page_of_letters_are_listed_redriven_and_discarded(
        self, sqlite_shop: Shop
    ) -> None:
        sqlite_shop.saves(*((f"m-{n}", PLACED, f"Order/{n}") for n in range(1100)))
        sqlite_shop.relays(away_for=[f"Order/{n}" for n in range(1100)])
        listed = data_of(sqlite_shop, "outbox", "dead-letters", "--limit", "2")
        assert [letter["message_id"] for letter in listed["dead_letters"]] == ["m-0", "m-1"]
        assert listed["total"] == 1100
        keys = [part for n in range(550, 1100) for part in ("--key", f"Order/{n}")]
        redriven = data_of(sqlite_shop, "outbox", "redrive", *keys)
        assert redriven == {"redriven": 550, "missing": []}
        discarded = data_of(sqlite_shop, "outbox", "discard", "--all", "--yes")
        assert discarded == {"discarded": 550, "missing": []}


class TestDiscard:
    def test_what_waited_behind_goes_on_without_it(self, troubled: Shop) -> None:
        troubled.broker.delivered.clear()
        assert data_of(troubled, "outbox", "discard", "m-1", "--yes") == {
            "discarded": 1,
            "missing": [],
        }
        troubled.relays(away_for=["Order/2"])
        assert sorted(troubled.broker.delivered) == ["m-2", "m-3", "m-6"]

    def test_it_chooses_as_redrive_does(self, troubled: Shop) -> None:
        discarded = data_of(troubled, "outbox", "discard", "--error", "refused", "--yes")
        assert discarded == {"discarded": 2, "missing": []}
        assert data_of(troubled, "outbox", "status")["dead_letters"] == 0
        nothing = troubled.run("outbox", "discard")
        assert (nothing.exit_code, nothing.stdout) == (2, "")
        assert "Say which dead letters" in nothing.stderr

    def test_it_asks_first(self, troubled: Shop) -> None:
        result = troubled.run("outbox", "discard", "m-1")
        assert result.exit_code == 2
        assert "for good? They are never delivered." in result.stderr
        assert data_of(troubled, "outbox", "status")["dead_letters"] == 2


class TestPurge:
    def test_it_forgets_what_was_delivered_that_long_ago_and_nothing_else(
        self, troubled: Shop
    ) -> None:
        assert data_of(troubled, "outbox", "purge", "--older-than", "1h") == {"purged": 0}
        result = troubled.run("outbox", "purge", "--older-than", "0s")
        assert result.stdout == "Purged: 1 of 1 archived messages.\n"
        status = data_of(troubled, "outbox", "status")
        assert (status["archived"], status["waiting"], status["dead_letters"]) == (0, 5, 2)

    @pytest.mark.parametrize("age", ["7", "a week", "-1d", "99999999999w"])
    def test_an_age_that_is_none_is_refused_with_how_to_write_it(
        self, memory_shop: Shop, age: str
    ) -> None:
        result = memory_shop.run("outbox", "purge", f"--older-than={age}")
        assert result.exit_code == 2
        assert "--older-than" in result.stderr

    def test_an_age_must_be_given(self, memory_shop: Shop) -> None:
        assert memory_shop.run("outbox", "purge").exit_code == 2
