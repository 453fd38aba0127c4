"""What a user sends: commands change something, queries answer something."""

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

from pydantic import Field
from typing_extensions import TypeVar

from cqrs_ddd_core.cqrs.context import get_correlation_id
from cqrs_ddd_core.primitives.frozen_model import FrozenModel
from cqrs_ddd_core.primitives.ids import new_id
from cqrs_ddd_core.primitives.locking import ResourceIdentifier

R = TypeVar("R")
_NO_FIELDS: dict[str, Any] = {}
R_co = TypeVar("R_co", covariant=True, default=None)


class ResultType(Generic[R]):
    """Tells a type checker the result of a message, and no wider type than that."""


class CommandOf(Generic[R_co]):
    """Marks a dataclass or any class of your own as a command whose result is an ``R``.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Rename(CommandOf[str]):
        ...     name: str
    """

    if TYPE_CHECKING:

        @classmethod
        def __message_type__(cls) -> type[Self]: ...

        @classmethod
        def __result_type__(cls) -> ResultType[R_co]: ...


class QueryOf(Generic[R_co]):
    """Marks a dataclass or any class of your own as a query whose answer is an ``R``."""

    if TYPE_CHECKING:

        @classmethod
        def __message_type__(cls) -> type[Self]: ...

        @classmethod
        def __result_type__(cls) -> ResultType[R_co]: ...


class _Message(FrozenModel):
    """What commands and queries share."""

    message_type: ClassVar[str | None] = None
    """The name under which messages of this very class are known where they are kept."""

    correlation_id: str | None = Field(default_factory=get_correlation_id)

    def get_critical_resources(self) -> list[ResourceIdentifier]:
        """Name what must be locked while this message is handled; nothing by default."""
        return []


class Command(_Message, CommandOf[R_co], Generic[R_co]):
    """A request to change something; ``R`` is the type of its result.

    ``correlation_id`` joins all that follows from one request; a command made while another
    message is handled takes that one's.

    Example:
        >>> class PlaceOrder(Command[str]):
        ...     customer_id: str
        >>> PlaceOrder(customer_id="c-1").correlation_id is None
        True
    """

    command_id: str = Field(default_factory=new_id)


class Query(_Message, QueryOf[R_co], Generic[R_co]):
    """A question; ``R`` is the type of its answer. Its handler changes nothing."""

    query_id: str = Field(default_factory=new_id)


def message_type_of(message: object) -> str:
    """Return the name of a message's class: its ``message_type``, else module and class name.

    A class without ``message_type`` gets another name when it is moved or renamed.

    Example:
        >>> class PlaceOrder(Command[str]):
        ...     message_type = "shop.place-order"
        >>> message_type_of(PlaceOrder())
        'shop.place-order'
    """
    message_class = type(message)
    own: str | None = vars(message_class).get("message_type")
    return own or f"{message_class.__module__}.{message_class.__qualname__}"


def message_id_of(message: object) -> str:
    """Return the id a message carries, or a new one for a class that has none."""
    fields = getattr(message, "__dict__", _NO_FIELDS)  # where pydantic has them, found at once
    return (
        fields.get("command_id")
        or fields.get("query_id")
        or getattr(message, "command_id", None)
        or getattr(message, "query_id", None)
        or new_id()
    )
