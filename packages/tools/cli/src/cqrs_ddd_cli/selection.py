"""Which dead letters a command is about, and what is done to them page by page."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from cqrs_ddd_cli.application import IOperableOutbox
from cqrs_ddd_cli.errors import UsageError
from cqrs_ddd_cli.output import progress_bar
from cqrs_ddd_core.ports import DeadLetter, DeadLetterFilter

_AT_ONCE = 500


@dataclass(frozen=True)
class Selection:
    """Dead letters by id, or by what they are, or all of them.

    Attributes:
        matching: which.
        everything: whether all were asked for in so many words.
    """

    matching: DeadLetterFilter
    everything: bool = False

    def check(self) -> None:
        """See that exactly one way to choose was taken.

        Raises:
            UsageError: none was, or several.
        """
        by_id = self.matching.message_ids is not None
        by_property = replace(self.matching, message_ids=None).narrows
        ways = by_id + by_property + self.everything
        if ways != 1:
            problem = "Say which dead letters" if not ways else "Choose in one way"
            raise UsageError(
                f"{problem}: by message id, by --key, --type, --older-than, --newer-than and "
                "--error, or --all. `cqrs-ddd outbox dead-letters` lists them."
            )


@dataclass(frozen=True)
class Outcome:
    """What was done to dead letters.

    Attributes:
        done: to how many.
        behind: how many messages waited behind them.
        missing: ids that were asked for and are no dead letters.
    """

    done: int
    behind: int
    missing: Sequence[str]


async def do_to_each(
    doing: str,
    outbox: IOperableOutbox,
    matching: DeadLetterFilter,
    act: Callable[[DeadLetterFilter], Awaitable[int]],
    *,
    hidden: bool,
) -> Outcome:
    """Do it to a page at a time, and show how far it has come; to each letter once.

    Args:
        doing: what is done, in a word.
        outbox: where the letters are.
        matching: which.
        act: does it to those it is given.
        hidden: whether to show no progress.
    """
    total, done, behind = await outbox.count_dead_letters(matching), 0, 0
    missing = dict.fromkeys(matching.message_ids or ())
    with progress_bar(doing, total, hidden=hidden) as advance:
        async for page in _pages_of(outbox, matching):
            ids = [letter.message.message_id for letter in page]
            done += await act(DeadLetterFilter(message_ids=ids))
            behind += sum(letter.parked_behind for letter in page)
            for message_id in ids:
                missing.pop(message_id, None)
            advance(len(page))
    return Outcome(done, behind, list(missing))


async def _pages_of(
    outbox: IOperableOutbox, matching: DeadLetterFilter
) -> AsyncGenerator[Sequence[DeadLetter]]:
    after = 0
    while page := await outbox.dead_letters(_AT_ONCE, matching=matching, after=after):
        yield page
        after = page[-1].position
