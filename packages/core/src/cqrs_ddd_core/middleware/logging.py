"""Says in the log what was handled, how long it took and how it ended."""

import logging
from typing import Any, ClassVar

from cqrs_ddd_core.cqrs.context import get_causation_id, get_correlation_id
from cqrs_ddd_core.ports.middleware import NextHandler
from cqrs_ddd_core.primitives.clock import current_clock


class LoggingMiddleware:
    """Logs one line for each message: type, ids, seconds, outcome; never the payload.

    It stands outside of the transaction, so a failed commit is logged as a failure.

    Args:
        logger: where to; ``cqrs_ddd`` by default.
        level: of a success; a failure is a warning, for whoever sent the message gets the error.
    """

    surrounds_unit_of_work: ClassVar[bool] = True

    def __init__(self, logger: logging.Logger | None = None, *, level: int = logging.INFO) -> None:
        self._log = logger or logging.getLogger("cqrs_ddd")
        self._level = level

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        """Handle ``message`` and log how it went."""
        clock = current_clock()
        start = clock.monotonic()
        try:
            response = await next_handler(message)
        except BaseException as error:
            self._write(logging.WARNING, message, clock.monotonic() - start, type(error).__name__)
            raise
        if self._log.isEnabledFor(self._level):
            self._write(self._level, message, clock.monotonic() - start, "succeeded")
        return response

    def _write(self, level: int, message: Any, seconds: float, outcome: str) -> None:
        details = {
            "message_type": type(message).__name__,
            "message_id": getattr(message, "command_id", getattr(message, "query_id", None)),
            "correlation_id": getattr(message, "correlation_id", None) or get_correlation_id(),
            "causation_id": get_causation_id(),
            "seconds": seconds,
            "outcome": outcome,
        }
        self._log.log(
            level, "%s %s in %.6f s", type(message).__name__, outcome, seconds, extra=details
        )
