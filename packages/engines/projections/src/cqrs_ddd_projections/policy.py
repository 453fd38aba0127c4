"""What becomes of an event that cannot be applied."""

from dataclasses import dataclass
from typing import Literal, Self

from cqrs_ddd_core.primitives.retry import RetryPolicy

_SOME = RetryPolicy(max_attempts=5, base_delay=0.1, max_delay=10.0)


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """Retry, and then stop the projection or park the event's key. Nothing is ever skipped.

    Attributes:
        then: "stop" holds every later event back until a person resumes the projection; "park"
            holds back those of the same key alone.
        retry: attempts before that, and the delays between them. To stop, everything waits while
            an event is tried again; to park, only its key does.

    Example:
        >>> ErrorPolicy.park(RetryPolicy(max_attempts=3)).then
        'park'
    """

    then: Literal["stop", "park"] = "stop"
    retry: RetryPolicy = _SOME

    @classmethod
    def stop(cls, retry: RetryPolicy = _SOME) -> Self:
        """Return the policy that stops the projection."""
        return cls("stop", retry)

    @classmethod
    def park(cls, retry: RetryPolicy = _SOME) -> Self:
        """Return the policy that parks the key."""
        return cls("park", retry)
