"""Fields and rules that many aggregates share."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from cqrs_ddd_core.primitives.clock import as_utc, utc_now
from cqrs_ddd_core.primitives.errors import InvariantViolationError

UtcDatetime = Annotated[datetime, AfterValidator(as_utc)]


class AuditableMixin(BaseModel):
    """When the aggregate was made and last changed, in UTC."""

    created_at: UtcDatetime = Field(default_factory=utc_now)
    updated_at: UtcDatetime = Field(default_factory=utc_now)

    def touch(self) -> None:
        """Record that the aggregate changes now."""
        self.updated_at = utc_now()


class ArchivableMixin(BaseModel):
    """An aggregate that can be put away and taken back."""

    archived_at: UtcDatetime | None = None
    archived_by: str | None = None

    @property
    def is_archived(self) -> bool:
        """Whether it is put away now."""
        return self.archived_at is not None

    def archive(self, by: str) -> None:
        """Put it away in the name of ``by``.

        Raises:
            InvariantViolationError: it is archived already.
        """
        if self.archived_at is not None:
            raise InvariantViolationError(
                f"{type(self).__name__} was archived by {self.archived_by} at "
                f"{self.archived_at.isoformat()}; restore it before archiving it again."
            )
        self.archived_at, self.archived_by = utc_now(), by

    def restore(self) -> None:
        """Take it back.

        Raises:
            InvariantViolationError: it is not archived.
        """
        if self.archived_at is None:
            raise InvariantViolationError(
                f"{type(self).__name__} is not archived, so there is nothing to restore."
            )
        self.archived_at = self.archived_by = None
