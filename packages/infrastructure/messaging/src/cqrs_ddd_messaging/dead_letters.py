"""What is noted on a message when it is parked or repeated."""

from cqrs_ddd_core import utc_now

ATTEMPT = "cqrs-attempt"
_LONGEST_ERROR = 2000  # brokers bound their headers


def dead_letter_notes(error: Exception, *, topic: str, attempt: int) -> dict[str, str]:
    """Return the headers that say why a message is among the dead letters."""
    return {
        "cqrs-error-type": type(error).__name__,
        "cqrs-error": str(error)[:_LONGEST_ERROR],
        "cqrs-failed-at": utc_now().isoformat(),
        "cqrs-topic": topic,
        ATTEMPT: str(attempt),
    }


def attempt_in(text: object) -> int:
    """Return the attempt that a header tells; the first where it tells none."""
    try:
        return max(1, int(str(text)))
    except ValueError:
        return 1
