"""Five ways to merge two states of one thing, three-way where the common one is known."""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any, Protocol, cast, runtime_checkable

from cqrs_ddd_advanced_core.conflict.errors import MergeConflictError
from cqrs_ddd_core.primitives.clock import as_utc

State = Mapping[str, Any]
_ABSENT: Any = object()


@runtime_checkable
class IMergeStrategy(Protocol):
    """Makes one state of two. Neither is changed; the result shares nothing with them."""

    def merge(self, existing: State, incoming: State, base: State | None = None) -> dict[str, Any]:
        """Return the merged state.

        Args:
            existing: what is stored by now.
            incoming: what somebody wants to store.
            base: what they had seen; None where that is not known.

        Raises:
            MergeConflictError: the two cannot both be kept.
        """
        ...


class LastWinsStrategy:
    """The incoming state as it is; what others changed meanwhile is gone.

    Example:
        >>> LastWinsStrategy().merge({"a": 1, "b": 2}, {"a": 3})
        {'a': 3}
    """

    def merge(self, existing: State, incoming: State, base: State | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return ``incoming``."""
        return deepcopy(dict(incoming))


class FieldLevelMergeStrategy:
    """Field by field: what one side changed is kept; without a base, what is incoming.

    Args:
        ignore_conflicts: whether the incoming value wins where both sides changed a field; else
            that is a ``MergeConflictError``.
        include_fields: only these are taken from the incoming side.
        exclude_fields: these never are.

    Example:
        >>> strategy = FieldLevelMergeStrategy()
        >>> strategy.merge({"a": 1, "b": 9}, {"a": 5, "b": 2}, base={"a": 1, "b": 2})
        {'a': 5, 'b': 9}
    """

    def __init__(
        self,
        *,
        ignore_conflicts: bool = False,
        include_fields: Collection[str] | None = None,
        exclude_fields: Collection[str] = (),
    ) -> None:
        self._ignore = ignore_conflicts
        self._include = None if include_fields is None else frozenset(include_fields)
        self._exclude = frozenset(exclude_fields)

    def merge(self, existing: State, incoming: State, base: State | None = None) -> dict[str, Any]:
        """Return the merged state."""
        conflicts: list[str] = []
        merged: dict[str, Any] = {}
        for field in _fields(existing, incoming):
            value = existing.get(field, _ABSENT)
            if field not in self._exclude and (self._include is None or field in self._include):
                value, conflicting = _choose(field, existing, incoming, base)
                if conflicting:
                    conflicts.append(field)
            _set(merged, field, value)
        if conflicts and not self._ignore:
            raise MergeConflictError(conflicts)
        return merged


class DeepMergeStrategy:
    """As field by field, but inside nested objects and lists of things with an id as well.

    Args:
        append_lists: whether items of plain lists are kept from both sides, in order; else such a
            list is one value.
        list_identity_key: the field that tells items of a list apart.
        ignore_conflicts: whether the incoming value wins where both sides changed one.

    Example:
        >>> strategy = DeepMergeStrategy()
        >>> strategy.merge({"to": {"city": "Rome", "zip": 1}}, {"to": {"city": "Pisa"}})
        {'to': {'city': 'Pisa', 'zip': 1}}
    """

    def __init__(
        self,
        *,
        append_lists: bool = False,
        list_identity_key: str = "id",
        ignore_conflicts: bool = True,
    ) -> None:
        self._append, self._key, self._ignore = append_lists, list_identity_key, ignore_conflicts

    def merge(self, existing: State, incoming: State, base: State | None = None) -> dict[str, Any]:
        """Return the merged state."""
        conflicts: list[str] = []
        merged = self._objects(existing, incoming, base, "", conflicts)
        if conflicts and not self._ignore:
            raise MergeConflictError(conflicts)
        return merged

    def _objects(
        self,
        existing: State,
        incoming: State,
        base: State | None,
        path: str,
        conflicts: list[str],
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for field in _fields(existing, incoming):
            where = f"{path}{field}"
            ours, theirs = existing.get(field, _ABSENT), incoming.get(field, _ABSENT)
            seen = base.get(field, _ABSENT) if base is not None else _ABSENT
            if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
                below = _object(seen)
                value = self._objects(_state(ours), _state(theirs), below, f"{where}.", conflicts)
            elif _are_lists(ours, theirs) and (
                self._append or _have_ids([*ours, *theirs], self._key)
            ):
                value = self._lists(_items(ours), _items(theirs), seen, where, conflicts)
            else:
                value, conflicting = _choose(field, existing, incoming, base)
                if conflicting:
                    conflicts.append(where)
            _set(merged, field, value)
        return merged

    def _lists(
        self,
        existing: Sequence[Any],
        incoming: Sequence[Any],
        seen: Any,
        path: str,
        conflicts: list[str],
    ) -> list[Any]:
        base = list(cast("Sequence[Any]", seen)) if isinstance(seen, list | tuple) else None
        if not _have_ids([*existing, *incoming, *(base or ())], self._key):
            return _union(existing, incoming, base, None)
        known = {item[self._key]: item for item in base or ()}
        theirs = {item[self._key]: item for item in incoming}
        merged: list[Any] = []
        for item in _union(existing, incoming, base, self._key):
            other = theirs.get(item[self._key])
            if other is None or other is item:
                merged.append(deepcopy(item))
            else:
                name = f"{path}[{item[self._key]}]."
                before = known.get(item[self._key])
                merged.append(self._objects(item, other, before, name, conflicts))
        return merged


class TimestampLastWinsStrategy:
    """The state that was changed later, as a whole.

    Args:
        timestamp_field: where the time of the change stands: a ``datetime`` or ISO text.
        fallback_to_incoming: which one is taken where a time is missing or both are the same.

    Example:
        >>> strategy = TimestampLastWinsStrategy()
        >>> strategy.merge(
        ...     {"n": 1, "modified_at": "2026-01-02"}, {"n": 2, "modified_at": "2026-01-01"})["n"]
        1
    """

    def __init__(
        self, timestamp_field: str = "modified_at", *, fallback_to_incoming: bool = True
    ) -> None:
        self._field, self._fallback = timestamp_field, fallback_to_incoming

    def merge(self, existing: State, incoming: State, base: State | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Return the later of the two."""
        ours, theirs = (_time(state.get(self._field)) for state in (existing, incoming))
        if ours is None or theirs is None or ours == theirs:
            chosen = incoming if self._fallback else existing
        else:
            chosen = incoming if theirs > ours else existing
        return deepcopy(dict(chosen))


class UnionListMergeStrategy:
    """Lists keep what either side has; with a base, what one side removed stays removed.

    Other fields are merged field by field; the incoming value wins where both changed.

    Args:
        identity_key: the field that tells items apart; items without it are compared as they are.

    Example:
        >>> UnionListMergeStrategy().merge({"tags": ["a", "b"]}, {"tags": ["a", "c"]})
        {'tags': ['a', 'b', 'c']}
    """

    def __init__(self, identity_key: str = "id") -> None:
        self._key = identity_key

    def merge(self, existing: State, incoming: State, base: State | None = None) -> dict[str, Any]:
        """Return the merged state."""
        merged: dict[str, Any] = {}
        for field in _fields(existing, incoming):
            ours, theirs = existing.get(field, _ABSENT), incoming.get(field, _ABSENT)
            if not _are_lists(ours, theirs):
                _set(merged, field, _choose(field, existing, incoming, base)[0])
                continue
            seen = base.get(field) if base is not None else None
            known = list(cast("Sequence[Any]", seen)) if isinstance(seen, list | tuple) else None
            key = self._key if _have_ids([*ours, *theirs, *(known or ())], self._key) else None
            newer = {item[key]: item for item in theirs} if key is not None else {}
            merged[field] = [
                deepcopy(newer.get(item[key], item) if key is not None else item)
                for item in _union(ours, theirs, known, key)
            ]
        return merged


def field_level_merge(
    existing: State, incoming: State, base: State | None = None
) -> dict[str, Any]:
    """Merge field by field; the incoming value wins where both sides changed one."""
    return FieldLevelMergeStrategy(ignore_conflicts=True).merge(existing, incoming, base)


def _fields(existing: State, incoming: State) -> list[str]:
    return list(dict.fromkeys([*existing, *incoming]))


def _set(merged: dict[str, Any], field: str, value: Any) -> None:
    if value is not _ABSENT:
        merged[field] = deepcopy(value)


def _choose(field: str, existing: State, incoming: State, base: State | None) -> tuple[Any, bool]:
    """Return the value of a field, and whether both sides changed it, each in its own way."""
    ours, theirs = existing.get(field, _ABSENT), incoming.get(field, _ABSENT)
    if base is None:  # nobody knows who changed it; what is not incoming is left alone
        return (ours if theirs is _ABSENT else theirs), False
    seen = base.get(field, _ABSENT)
    if _same(theirs, seen):
        return ours, False
    return theirs, not (_same(ours, seen) or _same(ours, theirs))


def _same(first: Any, second: Any) -> bool:
    if first is _ABSENT or second is _ABSENT:
        return first is second
    return bool(first == second) and isinstance(first, bool) == isinstance(second, bool)


def _state(value: Any) -> State:
    return value


def _object(value: Any) -> State | None:
    return cast("State", value) if isinstance(value, Mapping) else None


def _items(value: Any) -> list[Any]:
    return list(value)


def _are_lists(first: Any, second: Any) -> bool:
    return isinstance(first, list | tuple) and isinstance(second, list | tuple)


def _have_ids(items: Sequence[Any], key: str) -> bool:
    return bool(items) and all(isinstance(item, Mapping) and key in item for item in items)


def _union(
    existing: Sequence[Any], incoming: Sequence[Any], base: Sequence[Any] | None, key: str | None
) -> list[Any]:
    """Return the items of both sides, those that one side removed from ``base`` left out."""
    if base is not None and list(existing) == list(base):
        return list(incoming)  # in their order, too
    if base is not None and list(incoming) == list(base):
        return list(existing)

    def names(items: Sequence[Any]) -> list[Any]:
        return [item[key] if key is not None else item for item in items]

    ours, theirs, seen = names(existing), names(incoming), names(base or ())
    kept = [
        item
        for item, name in zip(existing, ours, strict=True)
        if name in theirs or name not in seen
    ]
    added = [
        item
        for item, name in zip(incoming, theirs, strict=True)
        if name not in ours and name not in seen
    ]
    return [*kept, *added]


def _time(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return as_utc(value) if isinstance(value, datetime) else None
