"""Lets pydantic models have a zone for every instant in them."""

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from cqrs_ddd_core.primitives.aware_schema import give_zones_in


class AwareFields:
    """Has a pydantic model read datetimes as UTC where they are given without a zone.

    It holds for defaults and inside of lists, dicts and the like, too. What is assigned to a field
    later is not validated, and so kept as it is.

    Example:
        >>> from datetime import datetime
        >>> class Appointment(AwareFields, BaseModel):
        ...     at: datetime
        >>> Appointment(at=datetime(2026, 1, 1, 12)).at.isoformat()
        '2026-01-01T12:00:00+00:00'
    """

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Have what pydantic made of the fields give every datetime its zone."""
        schema = handler(source)
        give_zones_in(handler.resolve_ref_schema(schema))
        return schema
