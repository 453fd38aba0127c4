"""For tests of users and of adapters: given/when/then, waiting, clock and ids.

The conformance suites are in ``cqrs_ddd_core.testing.conformance``, which needs pytest.
"""

from cqrs_ddd_core.testing.aggregate_scenario import AggregateOutcome, given
from cqrs_ddd_core.testing.ambient import ManualClock, SequentialIds
from cqrs_ddd_core.testing.comparison import Difference
from cqrs_ddd_core.testing.handler_scenario import HandlerOutcome, HandlerScenario
from cqrs_ddd_core.testing.outcome import Outcome
from cqrs_ddd_core.testing.until import ConditionNotMetError, until

__all__ = [
    "AggregateOutcome",
    "ConditionNotMetError",
    "Difference",
    "HandlerOutcome",
    "HandlerScenario",
    "ManualClock",
    "Outcome",
    "SequentialIds",
    "given",
    "until",
]
