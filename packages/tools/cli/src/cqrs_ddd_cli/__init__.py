"""The ``cqrs-ddd`` command; an application that it is pointed at offers what it looks after."""

from cqrs_ddd_cli.application import HasInbox, HasOutbox

__all__ = ["HasInbox", "HasOutbox"]
