"""Which publisher a message goes to."""

from cqrs_ddd_core.cqrs.publishers.routing import (
    PublisherNotFoundError,
    TopicRoutingPublisher,
    route_to,
)

__all__ = ["PublisherNotFoundError", "TopicRoutingPublisher", "route_to"]
