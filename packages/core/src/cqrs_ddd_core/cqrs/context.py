"""The message being handled, as seen from anywhere below its handler."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from cqrs_ddd_core.primitives.message_context import MessageContext, current_context


def get_correlation_id() -> str | None:
    """Return the correlation id of the conversation going on here, if any."""
    context = current_context.get()
    return context.correlation_id if context is not None else None


def get_causation_id() -> str | None:
    """Return the id of the message being handled here, if any: the cause of what follows."""
    context = current_context.get()
    return context.message_id if context is not None else None


@contextmanager
def with_correlation_context(
    correlation_id: str | None = None, causation_id: str | None = None
) -> Generator[MessageContext]:
    """Let messages sent inside the block continue a conversation that began elsewhere.

    Use it where requests enter: a web middleware, a consumer. What was in force before comes
    back at the end of the block.

    Example:
        >>> with with_correlation_context("request-7"):
        ...     get_correlation_id()
        'request-7'
        >>> get_correlation_id() is None
        True
    """
    context = MessageContext(correlation_id, causation_id)
    token = current_context.set(context)
    try:
        yield context
    finally:
        current_context.reset(token)


_tenant: ContextVar[str | None] = ContextVar("cqrs_ddd_tenant", default=None)


def get_tenant_id() -> str | None:
    """Return the tenant for whom work goes on here, if any."""
    return _tenant.get()


@contextmanager
def with_tenant(tenant_id: str | None) -> Generator[None]:
    """Work for a tenant inside the block; messages that leave carry its id.

    Example:
        >>> with with_tenant("t-1"):
        ...     get_tenant_id()
        't-1'
    """
    token = _tenant.set(tenant_id)
    try:
        yield
    finally:
        _tenant.reset(token)
