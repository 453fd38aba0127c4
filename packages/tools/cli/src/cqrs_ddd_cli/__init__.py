"""The ``cqrs-ddd`` command; an application that it is pointed at offers what it looks after."""

from cqrs_ddd_cli.application import HasEventStore, HasInbox, HasOutbox, HasProjections

__all__ = ["HasEventStore", "HasInbox", "HasOutbox", "HasProjections"]
