"""Try, confirm, cancel: reservations that all become firm, or none."""

from cqrs_ddd_advanced_core.tcc.definition import TCC
from cqrs_ddd_advanced_core.tcc.phases import TCCPhase, phases_of
from cqrs_ddd_advanced_core.tcc.step import TCCStep

__all__ = ["TCC", "TCCPhase", "TCCStep", "phases_of"]
