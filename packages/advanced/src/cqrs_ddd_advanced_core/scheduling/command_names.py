"""Commands as they are stored: a name that never changes, and bytes."""

from collections.abc import Iterable
from typing import Any

from cqrs_ddd_advanced_core.scheduling.errors import (
    AmbiguousCommandNameError,
    UnknownCommandNameError,
)


def command_type_of(command_class: type[Any]) -> str:
    """Return the name under which commands of this class are stored.

    It is the class's ``command_type``, else its name. It must not change while commands are
    stored.

    Example:
        >>> class CancelOrder:
        ...     command_type = "shop.cancel-order"
        >>> command_type_of(CancelOrder)
        'shop.cancel-order'
    """
    return getattr(command_class, "command_type", command_class.__name__)


def commands_by_name(classes: Iterable[type[Any]]) -> dict[str, type[Any]]:
    """Return classes of commands by their stored names.

    Raises:
        AmbiguousCommandNameError: two classes have one name.
    """
    found: dict[str, type[Any]] = {}
    for command_class in classes:
        name = command_type_of(command_class)
        known = found.setdefault(name, command_class)
        if known is not command_class:
            raise AmbiguousCommandNameError(name, [known, command_class])
    return found


def command_class_of(name: str, classes: Iterable[type[Any]]) -> type[Any]:
    """Return the class of commands stored under ``name``.

    Raises:
        UnknownCommandNameError: none of ``classes`` has that name.
    """
    found = commands_by_name(classes)
    if name not in found:
        raise UnknownCommandNameError(name, found)
    return found[name]
