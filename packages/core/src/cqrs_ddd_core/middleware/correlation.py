"""Makes sure a conversation has an id before anything else happens in it."""

from typing import Any, ClassVar

from cqrs_ddd_core.cqrs.context import (
    get_causation_id,
    get_correlation_id,
    with_correlation_context,
)
from cqrs_ddd_core.cqrs.message import message_id_of
from cqrs_ddd_core.ports.middleware import NextHandler


class CorrelationIdPropagator:
    """Gives the middleware behind it the correlation id that the handler will see.

    The mediator itself propagates ids to handlers and events. Put this in front of middleware
    that stands outside of the unit of work and wants the id as well, such as logging.
    """

    surrounds_unit_of_work: ClassVar[bool] = True

    async def __call__(self, message: Any, next_handler: NextHandler) -> Any:
        """Handle ``message`` inside a conversation that has an id."""
        if get_correlation_id() is not None:
            return await next_handler(message)
        correlation_id = getattr(message, "correlation_id", None) or message_id_of(message)
        with with_correlation_context(correlation_id, get_causation_id()):
            return await next_handler(message)
