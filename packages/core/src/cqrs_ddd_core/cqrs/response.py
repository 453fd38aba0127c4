"""What comes back from a handler."""

from dataclasses import dataclass, field
from typing import Any, Generic

from typing_extensions import TypeVar

R_co = TypeVar("R_co", covariant=True, default=Any)


@dataclass(slots=True)
class CommandResponse(Generic[R_co]):
    """The result of a command and the events that it raised.

    A handler fills ``result`` and, if it likes, ``events``; the mediator adds the events pending
    on the aggregates of the unit of work and fills the ids.
    """

    result: R_co
    events: list[Any] = field(default_factory=list[Any])
    success: bool = True
    correlation_id: str | None = None
    causation_id: str | None = None


@dataclass(slots=True)
class QueryResponse(Generic[R_co]):
    """The answer to a query."""

    result: R_co
    success: bool = True
    correlation_id: str | None = None
    causation_id: str | None = None


# For isinstance: of the class itself a type checker makes a response with an unknown result.
AnyCommandResponse: Any = CommandResponse
AnyQueryResponse: Any = QueryResponse
