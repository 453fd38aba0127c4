"""Projections: read models that follow the feed of all events, exactly once."""

from cqrs_ddd_projections.context import ProjectionContext
from cqrs_ddd_projections.errors import (
    ProjectionBehindError,
    ProjectionRegistrationError,
    ProjectionStoppedError,
    RebuildAbandonedError,
)
from cqrs_ddd_projections.handler import ProjectionHandler, on
from cqrs_ddd_projections.messages import register_for_messages
from cqrs_ddd_projections.policy import ErrorPolicy
from cqrs_ddd_projections.projection import Projection
from cqrs_ddd_projections.rebuilding import wait_until_live
from cqrs_ddd_projections.registry import ProjectionRegistry
from cqrs_ddd_projections.report import ProjectionReport, report_on
from cqrs_ddd_projections.settings import ProjectionSettings
from cqrs_ddd_projections.worker import ProjectionWorker

__all__ = [
    "ErrorPolicy",
    "Projection",
    "ProjectionBehindError",
    "ProjectionContext",
    "ProjectionHandler",
    "ProjectionRegistrationError",
    "ProjectionRegistry",
    "ProjectionReport",
    "ProjectionSettings",
    "ProjectionStoppedError",
    "ProjectionWorker",
    "RebuildAbandonedError",
    "on",
    "register_for_messages",
    "report_on",
    "wait_until_live",
]
