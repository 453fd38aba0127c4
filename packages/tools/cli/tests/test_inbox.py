"""``cqrs-ddd inbox`` on real rows."""

import json

import pytest

from .conftest import Shop


@pytest.fixture
def remembering(shop: Shop) -> Shop:
    shop.do(lambda opened: opened.inbox.record("billing", ["m-1", "m-2", "m-3"]))
    return shop


def test_purge_forgets_what_was_handled_that_long_ago(remembering: Shop) -> None:
    def is_known(shop: Shop) -> set[str]:
        return shop.do(lambda opened: opened.inbox.handled("billing", ["m-1", "m-2", "m-3"]))

    result = remembering.run("inbox", "purge", "--older-than", "1h", "--json")
    assert json.loads(result.stdout) == {"purged": 0}
    assert is_known(remembering) == {"m-1", "m-2", "m-3"}
    result = remembering.run("inbox", "purge", "--older-than", "0s")
    assert (result.exit_code, result.stdout) == (0, "Purged: 3.\n")
    assert is_known(remembering) == set()


def test_purge_goes_on_batch_after_batch(
    remembering: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cqrs_ddd_cli.purging._AT_ONCE", 2)
    result = remembering.run("inbox", "purge", "--older-than", "0s", "--json")
    assert json.loads(result.stdout) == {"purged": 3}
