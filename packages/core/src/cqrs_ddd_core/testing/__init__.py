"""For tests of users and of adapters: given/when/then, conformance suites, clock and ids."""

from cqrs_ddd_core.testing.ambient import ManualClock, SequentialIds

__all__ = ["ManualClock", "SequentialIds"]
