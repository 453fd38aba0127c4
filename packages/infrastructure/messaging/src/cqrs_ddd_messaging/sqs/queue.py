"""A queue of SQS and that of its dead letters."""

import re
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from typing import Any

_ALLOWED = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SQSQueue:
    """A queue and what happens to what cannot be handled.

    A name that ends in ``.fifo`` makes it a FIFO queue, which keeps the order of each partition
    key; a standard queue keeps none.

    Attributes:
        name: of the queue.
        visibility: seconds that a received message is hidden from others; a live consumer keeps
            extending them, a dead one's messages come back after them.
        max_receives: how often SQS hands a message over before it moves it to the dead letters by
            itself: the last resort against one that kills its consumers.
    """

    name: str
    visibility: int = 30
    max_receives: int = 1000

    @property
    def is_fifo(self) -> bool:
        """Whether it keeps the order of a key."""
        return self.name.endswith(".fifo")

    @property
    def dead(self) -> str:
        """The queue of the dead letters."""
        return f"{self.name.removesuffix('.fifo')}-dead{'.fifo' if self.is_fifo else ''}"

    async def declare(self, client: Any) -> tuple[str, str]:
        """Create both queues where they are missing; return their URLs, the dead letters' last."""
        fifo = {"FifoQueue": "true"} if self.is_fifo else {}
        retention = {"MessageRetentionPeriod": str(14 * 24 * 3600)}  # the longest there is
        dead = await client.create_queue(QueueName=self.dead, Attributes={**fifo, **retention})
        answer = await client.get_queue_attributes(
            QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"]
        )
        redrive = {
            "deadLetterTargetArn": answer["Attributes"]["QueueArn"],
            "maxReceiveCount": self.max_receives,
        }
        attributes = {**fifo, **retention, "RedrivePolicy": dumps(redrive)}
        queue = await client.create_queue(QueueName=self.name, Attributes=attributes)
        return queue["QueueUrl"], dead["QueueUrl"]


def fifo_fields(message_id: str, key: str = "") -> dict[str, str]:
    """Return the fields of a message in a FIFO queue: its group, and what repetitions share."""
    return {
        "MessageGroupId": _allowed(key or message_id),
        "MessageDeduplicationId": _allowed(message_id),
    }


def _allowed(text: str) -> str:
    """Return ``text`` where SQS takes it as an id, else something as unique."""
    return text if _ALLOWED.fullmatch(text) else sha256(text.encode()).hexdigest()
