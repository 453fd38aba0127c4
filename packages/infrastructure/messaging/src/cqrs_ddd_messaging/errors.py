"""What keeps a message from being published, or its payload from being read."""

from cqrs_ddd_core import InfrastructureError


class MessageNotPublishedError(InfrastructureError):
    """The broker has not confirmed a message.

    Attributes:
        message_id: which one.
        problem: why, as far as it is known.
    """

    def __init__(self, message_id: str, problem: object) -> None:
        self.message_id, self.problem = message_id, problem
        super().__init__(
            f"Message {message_id} was not confirmed: {problem}. Publish it again; whoever got it "
            "already recognises it by its id."
        )


class UnroutableMessageError(MessageNotPublishedError):
    """The broker has no place for a message."""

    def __init__(self, message_id: str, destination: str, problem: object = "") -> None:
        self.destination = destination
        said = f" ({problem})" if str(problem) else ""
        super().__init__(
            message_id, f"{destination} leads nowhere{said}; declare or bind its queue or topic"
        )


class HeldBackError(MessageNotPublishedError):
    """A message was not sent because an earlier one with its key failed.

    Attributes:
        partition_key: the key.
    """

    def __init__(self, message_id: str, partition_key: str) -> None:
        self.partition_key = partition_key
        super().__init__(message_id, f"an earlier message of {partition_key!r} failed")


class BlobStoreError(InfrastructureError):
    """A payload that is kept outside of its message cannot be stored or fetched now.

    Attributes:
        reference: which one.
    """

    def __init__(self, reference: str, problem: object) -> None:
        self.reference = reference
        super().__init__(
            f"The payload {reference!r} is out of reach: {problem}. Sender and receiver need the "
            "same blob store, and blobs have to be kept longer than messages."
        )
