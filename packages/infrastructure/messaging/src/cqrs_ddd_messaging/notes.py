"""What is noted on a message when it is parked or repeated, and what the notes tell later."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

from cqrs_ddd_core import BrokerDeadLetter, utc_now
from cqrs_ddd_core.primitives.clock import as_utc
from cqrs_ddd_messaging.envelope import type_and_version

ATTEMPT = "cqrs-attempt"
_ERROR_TYPE, _ERROR, _FAILED_AT, _TOPIC = (
    f"cqrs-{name}" for name in ("error-type", "error", "failed-at", "topic")
)
NOTES = frozenset({ATTEMPT, _ERROR_TYPE, _ERROR, _FAILED_AT, _TOPIC})
_LONGEST_ERROR = 2000  # brokers bound their headers


def dead_letter_notes(error: Exception, *, topic: str, attempt: int) -> dict[str, str]:
    """Return the headers that say why a message is among the dead letters."""
    return {
        _ERROR_TYPE: type(error).__name__,
        _ERROR: str(error)[:_LONGEST_ERROR],
        _FAILED_AT: utc_now().isoformat(),
        _TOPIC: topic,
        ATTEMPT: str(attempt),
    }


def attempt_in(text: object) -> int:
    """Return the attempt that a header tells; the first where it tells none."""
    try:
        return max(1, int(str(text)))
    except ValueError:
        return 1


def dead_letter_of(
    attributes: Mapping[str, str],
    body: bytes,
    notes: Mapping[str, str],
    *,
    topic: str,
    key: str = "",
    parked_by_broker: str = "the broker parked it by itself",
) -> BrokerDeadLetter:
    """Return what envelope and notes tell of a parked message.

    Args:
        attributes: of the envelope, as far as they can be read.
        body: the bytes it came with.
        notes: its headers, ours among them unless the broker parked it by itself.
        topic: where it came from.
        key: its key where the envelope has none.
        parked_by_broker: the error where no consumer has noted one.
    """
    error = ": ".join(part for name in (_ERROR_TYPE, _ERROR) if (part := notes.get(name)))
    digest = sha256(body).hexdigest()
    return BrokerDeadLetter(
        message_id=attributes.get("id") or f"sha256:{digest[:16]}",
        event_type=type_and_version(attributes.get("type", ""))[0],
        partition_key=attributes.get("partitionkey") or key,
        topic=topic,
        error=error or parked_by_broker,
        attempts=attempt_in(notes.get(ATTEMPT)),
        parked_at=_moment(notes.get(_FAILED_AT, "")),
        body=body,
    )


def _moment(text: str) -> datetime | None:
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError:
        return None
