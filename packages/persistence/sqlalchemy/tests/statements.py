"""Watches what goes to the database."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass
class Watched:
    """What an engine did.

    Attributes:
        statements: the SQL of each statement, in order.
        commits: how many COMMITs there were beside them.
    """

    statements: list[str] = field(default_factory=list[str])
    commits: int = 0

    @property
    def kinds(self) -> list[str]:
        """The first word of each statement."""
        return [statement.split(maxsplit=1)[0] for statement in self.statements]


@contextmanager
def watched(engine: AsyncEngine) -> Generator[Watched]:
    """Yield what ``engine`` does inside the block."""
    seen = Watched()

    def note_statement(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.statements.append(statement)

    def note_commit(_: Any) -> None:
        seen.commits += 1

    event.listen(engine.sync_engine, "before_cursor_execute", note_statement)
    event.listen(engine.sync_engine, "commit", note_commit)
    try:
        yield seen
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note_statement)
        event.remove(engine.sync_engine, "commit", note_commit)
