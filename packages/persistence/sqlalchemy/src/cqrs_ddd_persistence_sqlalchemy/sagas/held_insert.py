"""An INSERT whose row is leased, by the database's clock."""

from typing import NamedTuple

from sqlalchemy import (
    CTE,
    Double,
    Insert,
    ScalarSelect,
    Table,
    bindparam,
)
from sqlalchemy import insert as insert_into

from cqrs_ddd_persistence_sqlalchemy.counting import counted_part
from cqrs_ddd_persistence_sqlalchemy.outbox.statements import epoch_now


class HeldInsert(NamedTuple):
    """A template whose parameter ``lease_until`` is how many seconds the lease is to hold.

    Attributes:
        table: where.
        columns: the columns to be set.
    """

    table: Table
    columns: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What it does."""
        return "held insert"

    def statement(self, prefix: str = "") -> Insert:
        """Return the statement; ``prefix`` begins the names of its parameters."""
        columns = self.table.c
        values = {
            name: bindparam(f"{prefix}{name}", type_=columns[name].type) for name in self.columns
        }
        seconds = bindparam(f"{prefix}lease_until", type_=Double[float]())
        return insert_into(self.table).values({**values, "lease_until": epoch_now() + seconds})

    def counted(self, name: str) -> tuple[list[CTE], ScalarSelect[int]]:
        """Return the statement as a part of another, and how many rows it wrote."""
        return counted_part(self.statement(f"{name}_"), name)
