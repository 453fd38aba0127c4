"""A test gets the clock and the id generator back as what they are."""

from typing import assert_type

from cqrs_ddd_core import use_clock, use_ids
from cqrs_ddd_core.testing import ManualClock, SequentialIds


def use_clock_and_use_ids_give_what_they_take() -> None:
    with use_clock(ManualClock()) as clock, use_ids(SequentialIds("order")) as ids:
        assert_type(clock, ManualClock)
        assert_type(ids, SequentialIds)
        clock.advance(1)
