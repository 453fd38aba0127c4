"""Keeps a condition true from its check to the commit, whatever other transactions do.

Under READ COMMITTED, two transactions that check and then append see nothing of each other. So
whoever checks a query holds locks that every append of a matching event needs too: an event is
appended under shared locks on its tags and its type, a condition is checked under exclusive ones,
on the first tag of each item or on its types. The locks end with the transaction, behind its
commit, and all of an append are taken in one order, before its id and before the check.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from sqlalchemy import ARRAY, BigInteger, Boolean, Connection, bindparam, text

from cqrs_ddd_core.ports import AppendCondition, AppendConditionError, ConditionUnsupportedError
from cqrs_ddd_persistence_sqlalchemy.event_store.matching import TaggedEvent, count_matching
from cqrs_ddd_persistence_sqlalchemy.event_store.tables import EventTables

MOST_LOCKS = 128  # of one append; more take the place of all
_LOCK = text(
    "SELECT current_setting('transaction_isolation'), CASE WHEN is_exclusive"
    " THEN pg_advisory_xact_lock(key)::text ELSE pg_advisory_xact_lock_shared(key)::text END"
    " FROM unnest(:keys, :exclusive) AS wanted (key, is_exclusive)"
).bindparams(
    bindparam("keys", type_=ARRAY(BigInteger())), bindparam("exclusive", type_=ARRAY(Boolean()))
)
_READ_COMMITTED = "read committed"


def check_support(dialect: str) -> None:
    """Refuse a condition on a database that has no locks of this kind.

    Raises:
        ConditionUnsupportedError: it is neither PostgreSQL nor SQLite.
    """
    if dialect not in {"postgresql", "sqlite"}:
        raise ConditionUnsupportedError(
            f"{dialect} has no locks on tags that end with the transaction",
            "Keep events whose rule spans several aggregates on PostgreSQL or SQLite.",
        )


def enter(
    connection: Connection,
    tables: EventTables,
    events: Iterable[TaggedEvent],
    condition: AppendCondition | None,
) -> None:
    """Have an append of ``events`` take turns with those who check conditions, and the reverse.

    SQLite has one writer, and has chosen it before the check.

    Raises:
        ConditionUnsupportedError: the transaction would not see what others have committed.
    """
    if connection.dialect.name != "postgresql":
        return
    locks = _locks(tables.events.name, events, condition)
    keys = sorted(locks)
    given = {"keys": keys, "exclusive": [locks[key] for key in keys]}
    isolation: str = connection.execute(_LOCK, given).all()[0][0]
    if condition is not None and isolation != _READ_COMMITTED:
        raise ConditionUnsupportedError(
            f"the transaction is {isolation.upper()} and checks an old snapshot",
            "Use an engine with isolation_level='READ COMMITTED', which is PostgreSQL's default.",
        )


def check(connection: Connection, tables: EventTables, condition: AppendCondition) -> None:
    """Check ``condition``, behind ``enter``.

    Raises:
        AppendConditionError: the query does not find as many events as it says.
    """
    actual = count_matching(connection, tables, condition.query, condition.version + 1)
    if actual != condition.version:
        raise AppendConditionError(condition, actual)


def _locks(
    store: str,
    events: Iterable[TaggedEvent],
    condition: AppendCondition | None,
) -> Mapping[int, bool]:
    """Return the keys to be locked, and whether exclusively.

    The server's memory for locks is small. An append of many events takes the one lock that all
    appends share, for itself alone.
    """
    locks: dict[int, bool] = {}
    for tenant_id, event_type, tags in events:
        for tag in tags:
            locks[_key(store, tenant_id, "tag", tag)] = False
        locks[_key(store, tenant_id, "type", event_type)] = False
    if condition is not None:
        tenant_id = condition.query.tenant_id
        for item in condition.query.items:
            kind, names = ("tag", item.tags[:1]) if item.tags else ("type", item.types)
            locks |= dict.fromkeys((_key(store, tenant_id, kind, n) for n in names), True)
    everything = _key(store)
    return {everything: True} if len(locks) >= MOST_LOCKS else {**locks, everything: False}


def _key(*names: str) -> int:
    """Return a number of 64 bits for names; two of them with one number only wait in vain."""
    joined = "\0".join(names).encode()
    return int.from_bytes(blake2b(joined, digest_size=8).digest(), signed=True)
