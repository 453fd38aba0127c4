"""Messages between processes: envelopes, codecs, and publishers and consumers for brokers.

The adapters are in ``cqrs_ddd_messaging.memory``, ``.rabbitmq``, ``.kafka`` and ``.sqs``, each with
the extra of its name; ``ProtobufMessageCodec`` is in ``.protobuf``.
"""

from cqrs_ddd_messaging.blobs import ClaimCheck, FilesystemBlobStore, IBlobStore
from cqrs_ddd_messaging.compression import Compression
from cqrs_ddd_messaging.dead_letters import (
    BrokerDeadLetters,
    IDeadLetterScan,
    IDeadLetterShelf,
    StoredLetter,
)
from cqrs_ddd_messaging.envelope import MessageEnvelope
from cqrs_ddd_messaging.errors import (
    BlobStoreError,
    HeldBackError,
    MessageNotPublishedError,
    UnroutableMessageError,
)
from cqrs_ddd_messaging.serializer import EnvelopeSerializer

__all__ = [
    "BlobStoreError",
    "BrokerDeadLetters",
    "ClaimCheck",
    "Compression",
    "EnvelopeSerializer",
    "FilesystemBlobStore",
    "HeldBackError",
    "IBlobStore",
    "IDeadLetterScan",
    "IDeadLetterShelf",
    "MessageEnvelope",
    "MessageNotPublishedError",
    "StoredLetter",
    "UnroutableMessageError",
]
