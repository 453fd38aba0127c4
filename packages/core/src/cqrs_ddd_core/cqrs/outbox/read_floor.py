"""How a relay leaves out, when it reads, what can hold nothing new."""

from cqrs_ddd_core.ports.outbox_relay import WaitingBatch


class ReadFloor:
    """The position up to which everything has been read and nothing can appear any more.

    Positions are given before transactions commit, so a message may appear below one that was
    read. It is waited for by transaction numbers (see ``WaitingBatch``). Without the floor, each
    read would step over all messages that were delivered and not yet vacuumed away.
    """

    def __init__(self) -> None:
        self.position = 0
        self._highest = 0
        self._mark: tuple[int, int] | None = None

    def saw(self, batch: WaitingBatch, *, is_full: bool) -> None:
        """Take in a read that began at the floor; ``is_full``: it may have left out later ones."""
        last = batch.messages[-1].position if batch.messages else self.position
        highest = last if is_full else max(self._highest, last)
        if batch.oldest_transaction >= batch.next_transaction:  # nobody is writing
            self.position, self._mark = max(self.position, highest), None
        elif self._mark is None:
            if highest > self.position:
                self._mark = (highest, batch.next_transaction)
        elif batch.oldest_transaction >= self._mark[1] and (highest >= self._mark[0]):
            self.position, self._mark = max(self.position, self._mark[0]), None
        self._highest = max(highest, self.position)

    def rewind(self, position: int = 0) -> None:
        """Begin no later than behind ``position``: something there is to be read again."""
        self.position = self._highest = min(self.position, position)
        self._mark = None
