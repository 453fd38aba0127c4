"""The port through which relays share an outbox: leases on slots, reading, settling, parking."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable
from zlib import crc32

from cqrs_ddd_core.ports.outbox_storage import OutboxMessage
from cqrs_ddd_core.primitives.errors import InfrastructureError

SLOTS = 64


def order_key_of(message: OutboxMessage) -> str:
    """Return what the order of delivery holds for: the partition key, else the message alone."""
    return message.partition_key or message.message_id


def slot_of(order_key: str) -> int:
    """Return the slot of an order key: what one relay holds at a time, from 0 to ``SLOTS - 1``."""
    return crc32(order_key.encode()) % SLOTS


class RelayLeaseLostError(InfrastructureError):
    """A relay's lease has run out, and its slots may be another's; nothing was changed.

    Attributes:
        relay_id: the relay.
    """

    def __init__(self, relay_id: int) -> None:
        self.relay_id = relay_id
        super().__init__(
            f"The lease of relay {relay_id} has run out: it was paused, or cut off from its store, "
            "for longer than the lease. Join again; what it had in hand is delivered by whoever "
            "holds the slots now."
        )


class RelayLease(NamedTuple):
    """What a relay holds.

    Attributes:
        relay_id: its fencing token; greater than every earlier one, never used again.
        slots: the slots it may read; nobody else may.
        relays: how many relays there are.
    """

    relay_id: int
    slots: frozenset[int]
    relays: int


class WaitingMessage(NamedTuple):
    """A message in its place.

    Attributes:
        position: where it stands in the outbox; later messages of a key stand higher.
        slot: the slot of its order key.
    """

    position: int
    slot: int
    message: OutboxMessage


class WaitingBatch(NamedTuple):
    """What a read brought, and what it says about positions that were not seen.

    A transaction gets its number before its messages get their positions. So every position up to
    the highest of this read belongs to a transaction below ``next_transaction``, and is visible to
    any later read whose ``oldest_transaction`` is no lower than that.

    Attributes:
        messages: in order of position.
        oldest_transaction: every transaction below it had ended before this read; 0: unknown.
        next_transaction: no transaction had this number yet.
    """

    messages: Sequence[WaitingMessage]
    oldest_transaction: int
    next_transaction: int


class BlockedKey(NamedTuple):
    """An order key whose first message has failed; the later ones are parked behind it.

    Attributes:
        key: the order key.
        slot: its slot.
        position: of the message that failed; None when it is there no longer.
        attempts: how often it has been tried.
    """

    key: str
    slot: int
    position: int | None
    attempts: int


class DueKey(NamedTuple):
    """A blocked key whose time has come.

    Attributes:
        message: what is to be tried; None when somebody has removed it.
    """

    blocked: BlockedKey
    message: WaitingMessage | None


class DueKeys(NamedTuple):
    """The blocked keys to be tried now, and the seconds until the next ones; None: there are none.

    Attributes:
        keys: the longest due first.
        next_in: seconds.
    """

    keys: Sequence[DueKey]
    next_in: float | None


class FailedKey(NamedTuple):
    """A key that is blocked from now on, or still.

    Attributes:
        key: the order key.
        slot: its slot.
        position: of the message that failed.
        attempts: how often it has been tried.
        retry_in: seconds, by the store's time; None makes it a dead letter.
        error: what kept it back.
    """

    key: str
    slot: int
    position: int
    attempts: int
    retry_in: float | None
    error: str


@dataclass(slots=True)
class Settlement:
    """What has become of messages, to be written at once.

    Attributes:
        delivered: positions.
        parked: positions with the blocked key they wait behind.
        failed: keys that are blocked.
        healed: keys that were blocked; what waited behind is waiting again.
    """

    delivered: list[int] = field(default_factory=list[int])
    parked: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    failed: dict[str, FailedKey] = field(default_factory=dict[str, FailedKey])
    healed: list[str] = field(default_factory=list[str])

    def __bool__(self) -> bool:
        return bool(self.delivered or self.parked or self.failed or self.healed)

    @property
    def only_delivered(self) -> bool:
        """Whether there are deliveries and nothing else, as when all goes well."""
        return bool(self.delivered) and not (self.parked or self.failed or self.healed)


@runtime_checkable
class IOutboxRelayStorage(Protocol):
    """What relays need of an outbox. All times are the store's own.

    Messages are spread over ``SLOTS`` slots by their order key. A relay holds slots by a lease and
    alone reads them, so the order of each key holds however many relays there are. Each call is a
    short transaction of its own; none is open while a broker is awaited.
    """

    async def renew(self, relay_id: int | None, name: str, ttl: float) -> RelayLease:
        """Extend the lease by ``ttl`` seconds from now, and take free slots up to a fair share.

        Without a ``relay_id``, or when its lease has run out, the relay joins as a new one: it
        gets another id and starts with what slots are free. Relays whose lease has run out are
        removed, whoever they are.
        """
        ...

    async def release(self, relay_id: int, slots: Collection[int]) -> None:
        """Give slots up, so that another relay takes them. Nothing of them may be in hand."""
        ...

    async def leave(self, relay_id: int) -> None:
        """Give everything up."""
        ...

    async def read(
        self, slots: Collection[int], after: int, limit: int, *, without: Collection[str] = ()
    ) -> WaitingBatch:
        """Return at most ``limit`` messages of ``slots`` above position ``after``.

        Those with a partition key in ``without`` are passed over.

        Parked messages are left out. A message that has failed is one of them until it is due: see
        ``due``.
        """
        ...

    async def blocked(self, slots: Collection[int]) -> Sequence[BlockedKey]:
        """Return all blocked keys of ``slots``, dead letters as well."""
        ...

    async def due(self, slots: Collection[int], limit: int) -> DueKeys:
        """Return at most ``limit`` blocked keys of ``slots`` that are to be tried now."""
        ...

    async def settle(self, relay_id: int, settlement: Settlement) -> None:
        """Write what has become of messages, all or nothing; doing so twice is no harm.

        Raises:
            RelayLeaseLostError: the lease has run out; nothing was changed.
        """
        ...
