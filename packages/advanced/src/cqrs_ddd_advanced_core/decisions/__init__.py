"""Decisions whose boundary of consistency is a query over events."""

from cqrs_ddd_advanced_core.decisions.decision import Decision, DecisionModel
from cqrs_ddd_advanced_core.decisions.repository import DecisionRepository
from cqrs_ddd_advanced_core.decisions.state_view import StateView, combine_views

__all__ = ["Decision", "DecisionModel", "DecisionRepository", "StateView", "combine_views"]
