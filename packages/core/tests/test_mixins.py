"""What many aggregates share: when they changed, and that they can be put away."""

from datetime import UTC, datetime

import pytest

from cqrs_ddd_core import (
    AggregateRoot,
    ArchivableMixin,
    AuditableMixin,
    InvariantViolationError,
    use_clock,
)
from cqrs_ddd_core.testing import ManualClock


class Document(AggregateRoot[str], AuditableMixin, ArchivableMixin):
    title: str = ""


def test_a_new_aggregate_knows_when_it_was_made() -> None:
    clock = ManualClock()
    with use_clock(clock):
        document = Document(id="d-1")
    assert document.created_at == document.updated_at == clock.now()


def test_touching_moves_the_time_of_the_last_change_only() -> None:
    clock = ManualClock()
    with use_clock(clock):
        document = Document(id="d-1")
        clock.advance(60)
        document.touch()
    assert (document.updated_at - document.created_at).total_seconds() == 60


def test_a_naive_time_is_read_as_utc() -> None:
    naive = datetime(2026, 5, 1)  # noqa: DTZ001
    document = Document(id="d-1", created_at=naive, archived_at=naive)
    assert document.created_at == document.archived_at == datetime(2026, 5, 1, tzinfo=UTC)


def test_an_archived_aggregate_says_when_and_by_whom() -> None:
    clock = ManualClock()
    document = Document(id="d-1")
    assert not document.is_archived
    with use_clock(clock):
        document.archive("Ada")
    assert document.is_archived
    assert (document.archived_at, document.archived_by) == (clock.now(), "Ada")


def test_archiving_twice_is_refused_and_keeps_the_first() -> None:
    document = Document(id="d-1")
    document.archive("Ada")
    with pytest.raises(InvariantViolationError, match=r"archived by Ada at .*restore it before"):
        document.archive("Bob")
    assert document.archived_by == "Ada"


def test_what_was_archived_can_be_restored_and_archived_again() -> None:
    document = Document(id="d-1")
    document.archive("Ada")
    document.restore()
    assert (document.is_archived, document.archived_by) == (False, None)
    document.archive("Bob")
    assert document.archived_by == "Bob"


def test_restoring_what_is_not_archived_is_refused() -> None:
    with pytest.raises(InvariantViolationError, match="not archived"):
        Document(id="d-1").restore()
