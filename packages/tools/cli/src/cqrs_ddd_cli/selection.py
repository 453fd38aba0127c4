"""Which dead letters a command is about."""

from collections.abc import Sequence
from dataclasses import dataclass

from cqrs_ddd_cli.application import IOperableOutbox
from cqrs_ddd_cli.errors import UsageError
from cqrs_ddd_core.ports import DeadLetter


@dataclass(frozen=True)
class Selection:
    """Dead letters by id, or by key and type, or all of them.

    Attributes:
        message_ids: these.
        keys: those with one of these partition keys.
        types: those of one of these types; with keys as well, those that have both.
        everything: all.
    """

    message_ids: Sequence[str] = ()
    keys: Sequence[str] = ()
    types: Sequence[str] = ()
    everything: bool = False

    def check(self) -> None:
        """See that exactly one way to choose was taken.

        Raises:
            UsageError: none was, or several.
        """
        by_property = bool(self.keys or self.types)
        ways = bool(self.message_ids) + by_property + self.everything
        if ways != 1:
            problem = "Say which dead letters" if not ways else "Choose in one way"
            raise UsageError(
                f"{problem}: by message id, by --key and --type, or --all. "
                "`cqrs-ddd outbox dead-letters` lists them."
            )

    @property
    def narrows(self) -> bool:
        """Whether some dead letters may be left out."""
        return bool(self.message_ids or self.keys or self.types)

    async def of(self, outbox: IOperableOutbox) -> list[DeadLetter]:
        """Return the dead letters that are chosen, the longest dead first."""
        letters = await outbox.dead_letters((await outbox.statistics()).dead_letters)
        return [letter for letter in letters if self._has(letter)]

    def missing(self, letters: Sequence[DeadLetter]) -> list[str]:
        """Return the ids that were asked for and are no dead letters."""
        found = {letter.message.message_id for letter in letters}
        return [message_id for message_id in self.message_ids if message_id not in found]

    def _has(self, letter: DeadLetter) -> bool:
        message = letter.message
        if self.message_ids:
            return message.message_id in self.message_ids
        return (not self.keys or message.partition_key in self.keys) and (
            not self.types or message.event_type in self.types
        )
