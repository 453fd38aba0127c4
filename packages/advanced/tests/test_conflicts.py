"""Merging, and the middleware that does it when a race was lost."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_advanced_core.conflict import (
    ConflictResolutionMiddleware,
    ConflictResolutionPolicy,
    ConflictResolver,
    DeepMergeStrategy,
    FieldLevelMergeStrategy,
    IMergeStrategy,
    MergeConflictError,
    MergeRule,
    MergeStrategyRegistry,
    TimestampLastWinsStrategy,
    UnionListMergeStrategy,
    field_level_merge,
)
from cqrs_ddd_core import (
    AggregateRoot,
    Command,
    ConcurrencyError,
    ConfigurationError,
    HandlerRegistry,
    InMemoryDatabase,
    InMemoryUnitOfWork,
    Mediator,
    MiddlewareRegistry,
    repository,
)
from cqrs_ddd_core.middleware import RetryPolicy

STATES = st.dictionaries(
    st.sampled_from("abcd"),
    st.integers(0, 3) | st.lists(st.integers(0, 3), unique=True) | st.booleans(),
)
NAMES = MergeStrategyRegistry.get_stock_registry().names()


@pytest.mark.parametrize("name", NAMES)
@given(existing=STATES, incoming=STATES, base=STATES)
def test_a_merge_changes_nothing_it_was_given(
    name: str, existing: dict[str, Any], incoming: dict[str, Any], base: dict[str, Any]
) -> None:
    given_states = deepcopy((existing, incoming, base))
    options = {"ignore_conflicts": True} if name == "field" else {}
    strategy = MergeStrategyRegistry.get_stock_registry().create(name, **options)
    strategy.merge(existing, incoming, base)
    strategy.merge(existing, incoming)
    assert (existing, incoming, base) == given_states
    assert isinstance(strategy, IMergeStrategy)


@pytest.mark.parametrize("strategy", [DeepMergeStrategy(), UnionListMergeStrategy()])
@given(base=STATES, changed=STATES)
def test_what_one_side_alone_changed_is_the_result(
    strategy: IMergeStrategy, base: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert strategy.merge(base, changed, base) == changed
    assert strategy.merge(changed, base, base) == changed


class TestFieldByField:
    def test_fields_that_both_changed_are_a_conflict(self) -> None:
        strategy = FieldLevelMergeStrategy()
        with pytest.raises(MergeConflictError) as caught:
            strategy.merge({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 0, "b": 1})
        assert caught.value.fields == ["a"]

    def test_the_same_change_on_both_sides_is_none(self) -> None:
        assert FieldLevelMergeStrategy().merge({"a": 1}, {"a": 1}, {"a": 0}) == {"a": 1}

    def test_a_removed_field_stays_removed(self) -> None:
        assert FieldLevelMergeStrategy().merge({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2}) == {
            "a": 1
        }

    def test_fields_can_be_left_out(self) -> None:
        existing, incoming = {"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 2}
        only = FieldLevelMergeStrategy(include_fields=["a"])
        without = FieldLevelMergeStrategy(exclude_fields=["a"])
        assert only.merge(existing, incoming) == {"a": 2, "b": 1, "c": 1}
        assert without.merge(existing, incoming) == {"a": 1, "b": 2, "c": 2}

    def test_the_function_lets_the_incoming_value_win(self) -> None:
        assert field_level_merge({"a": 1}, {"a": 2}, {"a": 0}) == {"a": 2}


class TestDeep:
    def test_items_with_an_id_are_merged_one_by_one(self) -> None:
        base = {"lines": [{"id": 1, "n": 1, "t": "x"}, {"id": 2, "n": 1}]}
        existing = {"lines": [{"id": 1, "n": 5, "t": "x"}, {"id": 2, "n": 1}, {"id": 3, "n": 3}]}
        incoming = {"lines": [{"id": 1, "n": 1, "t": "y"}]}
        assert DeepMergeStrategy().merge(existing, incoming, base) == {
            "lines": [{"id": 1, "n": 5, "t": "y"}, {"id": 3, "n": 3}]
        }

    def test_a_conflict_names_the_place(self) -> None:
        strategy = DeepMergeStrategy(ignore_conflicts=False)
        with pytest.raises(MergeConflictError) as caught:
            strategy.merge({"to": {"city": "a"}}, {"to": {"city": "b"}}, {"to": {"city": "c"}})
        assert caught.value.fields == ["to.city"]

    def test_plain_lists_are_one_value_unless_they_are_to_be_joined(self) -> None:
        existing, incoming = {"tags": ["a", "b"]}, {"tags": ["c"]}
        assert DeepMergeStrategy().merge(existing, incoming) == {"tags": ["c"]}
        joined = DeepMergeStrategy(append_lists=True).merge(existing, incoming)
        assert joined == {"tags": ["a", "b", "c"]}


class TestByTime:
    @pytest.mark.parametrize("times", [("2026-01-02T00:00:00+02:00", "2026-01-01T23:00:00Z")])
    def test_instants_are_compared_not_texts(self, times: tuple[str, str]) -> None:
        existing, incoming = ({"n": n, "modified_at": time} for n, time in enumerate(times))
        assert TimestampLastWinsStrategy().merge(existing, incoming)["n"] == 1
        assert TimestampLastWinsStrategy().merge(incoming, existing)["n"] == 1

    @pytest.mark.parametrize(("fallback", "expected"), [(True, 2), (False, 1)])
    def test_without_times_the_fallback_decides(self, fallback: bool, expected: int) -> None:
        strategy = TimestampLastWinsStrategy("at", fallback_to_incoming=fallback)
        assert strategy.merge({"n": 1, "at": "?"}, {"n": 2})["n"] == expected


class TestUnion:
    def test_what_one_side_removed_stays_removed(self) -> None:
        merged = UnionListMergeStrategy().merge(
            {"tags": ["a", "b", "x"]}, {"tags": ["b", "c", "y"]}, {"tags": ["a", "b", "c"]}
        )
        assert merged == {"tags": ["b", "x", "y"]}

    def test_an_item_with_an_id_is_the_incoming_one(self) -> None:
        merged = UnionListMergeStrategy("sku").merge(
            {"l": [{"sku": 1, "n": 1}]}, {"l": [{"sku": 1, "n": 2}, {"sku": 2, "n": 1}]}
        )
        assert merged == {"l": [{"sku": 1, "n": 2}, {"sku": 2, "n": 1}]}


def test_a_strategy_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="last_wins"):
        MergeStrategyRegistry.get_stock_registry().create("first")


# -- the middleware ---------------------------------------------------------------------------


class Page(AggregateRoot[str]):
    title: str
    text: str


class Edit(Command[int]):
    title: str
    text: str
    made_on: int


class Pages(InMemoryUnitOfWork):
    pages = repository(Page)


HISTORY = {1: {"title": "A", "text": "a"}, 2: {"title": "A", "text": "b"}}


def wiki(policy: ConflictResolutionPolicy = ConflictResolutionPolicy.MERGE) -> Mediator:
    database, registry = InMemoryDatabase(), HandlerRegistry()

    def uow_factory() -> Pages:
        return Pages(database)

    async def edit(command: Edit, uow: Pages) -> int:
        page = await uow.pages.get("p-1")
        if page is None:
            await uow.pages.add(Page(id="p-1", title=command.title, text=command.text))
            return 1
        if page.version != command.made_on:
            raise ConcurrencyError("Page 'p-1'", expected=command.made_on, actual=page.version)
        page.title, page.text = command.title, command.text
        return page.version + 1

    async def latest(command: Edit, uow: Pages) -> dict[str, Any] | None:
        page = await uow.pages.get("p-1")
        return page and {"title": page.title, "text": page.text, "version": page.version}

    async def base(command: Edit, uow: Pages) -> dict[str, Any] | None:
        return HISTORY.get(command.made_on)

    rule = MergeRule(
        command_type=Edit,
        latest=latest,
        base=base,
        incoming=lambda command: {"title": command.title, "text": command.text},
        update=lambda command, merged, existing: command.model_copy(
            update={
                "title": merged["title"],
                "text": merged["text"],
                "made_on": existing["version"],
            }
        ),
        resolver=ConflictResolver(FieldLevelMergeStrategy(exclude_fields=["version"])),
        policy=policy,
    )
    middleware = ConflictResolutionMiddleware(
        uow_factory, [rule], retries=RetryPolicy(base_delay=0)
    )
    with pytest.raises(ConfigurationError):
        ConflictResolutionMiddleware(uow_factory, [rule, MergeRule(**_values(rule))])
    registry.register_command_handler(Edit, edit)
    return Mediator(registry, uow_factory, middleware_registry=MiddlewareRegistry([middleware]))


def _values(rule: MergeRule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in MergeRule.__dataclass_fields__}


async def edited(mediator: Mediator) -> None:
    """Somebody has changed the text since version 1."""
    await mediator.send(Edit(title="A", text="a", made_on=0))
    await mediator.send(Edit(title="A", text="b", made_on=1))


async def test_a_change_of_another_field_is_kept_beside() -> None:
    mediator = wiki()
    await edited(mediator)
    assert (await mediator.send(Edit(title="Z", text="a", made_on=1))).result == 3
    # Made on the merged state, nothing is in conflict: it has the new title and the new text.
    with pytest.raises(MergeConflictError) as caught:
        await mediator.send(Edit(title="Z", text="c", made_on=1))
    assert caught.value.fields == ["text"]
    assert isinstance(caught.value.__cause__, ConcurrencyError)


async def test_the_first_change_wins_where_the_policy_says_so() -> None:
    mediator = wiki(ConflictResolutionPolicy.FIRST_WINS)
    await edited(mediator)
    with pytest.raises(ConcurrencyError):
        await mediator.send(Edit(title="Z", text="a", made_on=1))


async def test_the_last_change_wins_where_the_policy_says_so() -> None:
    mediator = wiki(ConflictResolutionPolicy.LAST_WINS)
    await edited(mediator)
    assert (await mediator.send(Edit(title="Z", text="c", made_on=1))).result == 3
