"""What stands between a sender and a handler, and what stores the events on their way out."""

from cqrs_ddd_core.middleware.correlation import CorrelationIdPropagator
from cqrs_ddd_core.middleware.event_store import EventStorePersistenceMiddleware
from cqrs_ddd_core.middleware.idempotency import IdempotencyMiddleware, IdempotentStreamError
from cqrs_ddd_core.middleware.locking import ConcurrencyGuardMiddleware
from cqrs_ddd_core.middleware.logging import LoggingMiddleware
from cqrs_ddd_core.middleware.outbox import OutboxMiddleware
from cqrs_ddd_core.middleware.registry import MiddlewareRegistry
from cqrs_ddd_core.middleware.retry import RetryMiddleware
from cqrs_ddd_core.middleware.validation import ValidatorMiddleware
from cqrs_ddd_core.primitives.retry import RetryPolicy

__all__ = [
    "ConcurrencyGuardMiddleware",
    "CorrelationIdPropagator",
    "EventStorePersistenceMiddleware",
    "IdempotencyMiddleware",
    "IdempotentStreamError",
    "LoggingMiddleware",
    "MiddlewareRegistry",
    "OutboxMiddleware",
    "RetryMiddleware",
    "RetryPolicy",
    "ValidatorMiddleware",
]
