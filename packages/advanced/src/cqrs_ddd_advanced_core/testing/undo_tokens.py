"""What every store of undo tokens promises."""
# ruff: noqa: D102, PT012, S106 - test names are sentences; a unit of work is one step; no secret

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cqrs_ddd_advanced_core.undo import IUndoTokenRepository, StoredCommand, UndoStatus, UndoToken
from cqrs_ddd_core.primitives.errors import ConcurrencyError, PersistenceError
from cqrs_ddd_core.testing.conformance.samples import Order, UowFactory
from cqrs_ddd_core.testing.conformance.steps import version_of

_AT = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
TOKEN = UndoToken(
    token_id="t-1",
    aggregate_type="Örder",
    aggregate_id="o-1",
    version=7,
    undo=(StoredCommand("Cancel", b'{"a": "\xc3\xa4"}'), StoredCommand("Other", b"\x00\xff")),
    redo=(),
    created_at=_AT,
    expires_at=_AT + timedelta(days=1),
    event_ids=("e-1",),
)
USED = replace(TOKEN, status=UndoStatus.UNDONE, revision=1, event_ids=("e-1", "e-2"))


class UndoTokenRepositoryConformance:
    """Subclass, provide the fixtures ``tokens`` and ``uow_factory``, done.

    ``tokens`` is empty and on the same store as the units of work of ``uow_factory`` (see
    ``UnitOfWorkConformance`` of the core).
    """

    async def test_it_implements_the_port(self, tokens: IUndoTokenRepository) -> None:
        assert isinstance(tokens, IUndoTokenRepository)
        assert await tokens.find("t-1") is None

    async def test_a_token_comes_back_as_it_was_added(self, tokens: IUndoTokenRepository) -> None:
        await tokens.add(TOKEN)
        assert await tokens.find("t-1") == TOKEN
        with pytest.raises(PersistenceError):
            await tokens.add(TOKEN)

    async def test_a_token_is_used_once_a_revision(self, tokens: IUndoTokenRepository) -> None:
        await tokens.add(TOKEN)
        await tokens.update(USED)
        assert await tokens.find("t-1") == USED
        with pytest.raises(ConcurrencyError):
            await tokens.update(USED)
        with pytest.raises(ConcurrencyError):
            await tokens.update(replace(USED, token_id="t-2"))

    async def test_its_use_commits_with_the_effect(
        self, tokens: IUndoTokenRepository, uow_factory: UowFactory
    ) -> None:
        async with uow_factory() as uow:
            await tokens.add(TOKEN, uow)
            assert await tokens.find("t-1", uow) == TOKEN
        async with uow_factory() as uow:
            await uow.orders.add(Order(id="o-1"))
            await tokens.update(USED)
        with pytest.raises(ConcurrencyError):
            async with uow_factory() as uow:
                await uow.orders.add(Order(id="o-2"))
                await tokens.update(USED, uow)
        assert await version_of(uow_factory, "o-1") == 1
        assert await version_of(uow_factory, "o-2") is None

    async def test_expired_tokens_are_forgotten(self, tokens: IUndoTokenRepository) -> None:
        await tokens.add(TOKEN)
        assert await tokens.purge(timedelta(days=36_500)) == 0
        await tokens.add(replace(TOKEN, token_id="t-2", expires_at=datetime(2, 1, 1, tzinfo=UTC)))
        assert await tokens.purge(timedelta(days=36_500)) == 1
        assert await tokens.find("t-1") == TOKEN
