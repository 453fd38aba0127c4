"""When cron text comes true, on days when the clock on the wall jumps too."""
# ruff: noqa: DTZ001 - times without a zone are what is tried

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_advanced_core.background_jobs import CatchUp, InvalidJobError, Recurrence

VIENNA = "Europe/Vienna"
SPRING = datetime(2026, 3, 28, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, tzinfo=UTC)


def occurrences(cron: str, start: datetime, count: int, zone: str = VIENNA) -> list[str]:
    again, found, moment = Recurrence(cron=cron, timezone=zone), list[str](), start
    for _ in range(count):
        moment = again.next_after(moment)
        found.append(f"{moment:%d %H:%M}")
    return found


def test_a_time_is_read_on_the_clock_of_its_zone() -> None:
    assert occurrences("30 8 * * *", datetime(2026, 1, 10, tzinfo=UTC), 2) == [
        "10 07:30",
        "11 07:30",
    ]
    assert occurrences("30 8 * * *", datetime(2026, 7, 10, tzinfo=UTC), 1) == ["10 06:30"]


def test_a_time_that_the_clock_skips_comes_as_much_later() -> None:
    assert occurrences("30 2 * * *", SPRING, 3) == ["28 01:30", "29 01:30", "30 00:30"]


def test_a_time_that_the_clock_shows_twice_comes_the_first_time_alone() -> None:
    assert occurrences("30 2 * * *", AUTUMN, 3) == ["24 00:30", "25 00:30", "26 01:30"]


def test_every_half_hour_is_every_half_hour_in_autumn_and_in_spring() -> None:
    night = AUTUMN.replace(day=24, hour=23)
    assert occurrences("*/30 * * * *", night, 6) == [
        "24 23:30",
        "25 00:00",
        "25 00:30",
        "25 01:00",
        "25 01:30",
        "25 02:00",
    ]
    assert occurrences("@hourly", SPRING.replace(day=29), 3) == ["29 01:00", "29 02:00", "29 03:00"]


def test_a_rare_time_is_found_years_ahead() -> None:
    again = Recurrence(cron="0 */6 29 2 *", timezone=VIENNA)
    assert again.next_after(SPRING) == datetime(2028, 2, 28, 23, tzinfo=UTC)


@given(
    start=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
    zone=st.sampled_from([VIENNA, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Tokyo"]),
    cron=st.sampled_from(["*/15 * * * *", "30 2 * * *", "0 0 * * *", "15 1,2,3 * * sun"]),
)
def test_it_always_moves_forward_and_leaves_out_no_day(
    start: datetime, zone: str, cron: str
) -> None:
    again = Recurrence(cron=cron, timezone=zone)
    moments = [start.replace(tzinfo=UTC)]
    for _ in range(6):
        moments.append(again.next_after(moments[-1]))
    longest = timedelta(days=7, hours=2) if "sun" in cron else timedelta(hours=26)
    assert all(timedelta(0) < later - earlier <= longest for earlier, later in pairwise(moments))
    # Asked from anywhere in between, the answer is the same.
    middle = moments[1] + (moments[2] - moments[1]) / 2
    assert again.next_after(middle) == moments[2]


def test_the_answer_does_not_depend_on_the_zone_of_the_question() -> None:
    again = Recurrence(cron="0 0 * * *", timezone=VIENNA)
    naive = datetime(2026, 5, 1, 12)
    east = datetime(2026, 5, 1, 15, tzinfo=timezone(timedelta(hours=3)))
    assert again.next_after(naive) == again.next_after(east)


@pytest.mark.parametrize(
    ("catch_up", "following"), [(CatchUp.ALL, 2), (CatchUp.LAST, 6), (CatchUp.NONE, 6)]
)
def test_what_follows_a_late_occurrence_is_a_matter_of_policy(
    catch_up: CatchUp, following: int
) -> None:
    again = Recurrence(cron="0 8 * * *", catch_up=catch_up)
    occurrence, now = datetime(2026, 1, 1, 8, tzinfo=UTC), datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert again.after(occurrence, now) == datetime(2026, 1, following, 8, tzinfo=UTC)


@pytest.mark.parametrize("cron", ["", "61 * * * *", "every day", "* * *", "0 0 30 2 *"])
def test_what_is_no_time_is_refused_with_an_example(cron: str) -> None:
    with pytest.raises(InvalidJobError, match="mon-fri"):
        Recurrence(cron=cron)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidJobError, match="IANA"):
        Recurrence(cron="0 8 * * *", timezone=zone)
