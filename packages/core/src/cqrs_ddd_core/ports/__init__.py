"""The ports: what the toolkit asks of stores, brokers and lock servers, one protocol a file."""

from cqrs_ddd_core.ports.aggregate_gateway import Change, IAggregateGateway
from cqrs_ddd_core.ports.bus import ICommandBus, IQueryBus
from cqrs_ddd_core.ports.cache import ICacheService
from cqrs_ddd_core.ports.circuit_breaker import (
    CircuitOpenError,
    CircuitPermit,
    CircuitState,
    ICircuitBreaker,
)
from cqrs_ddd_core.ports.cursor import decode_cursor, encode_cursor
from cqrs_ddd_core.ports.event_dispatcher import IEventDispatcher
from cqrs_ddd_core.ports.event_query import (
    AppendCondition,
    AppendConditionError,
    ConditionUnsupportedError,
    EventQuery,
    EventQueryError,
    EventQueryItem,
    UntaggedEventError,
)
from cqrs_ddd_core.ports.event_store import (
    ExpectedVersion,
    FeedPage,
    IEventStore,
    IUpcaster,
    StoredEvent,
    StreamAppend,
    StreamId,
)
from cqrs_ddd_core.ports.feed_signal import FeedSignal
from cqrs_ddd_core.ports.handler_factory import IHandlerFactory, IHandlerScope
from cqrs_ddd_core.ports.idempotency_store import IIdempotencyStore
from cqrs_ddd_core.ports.inbox_storage import DuplicateMessageError, IInboxStorage
from cqrs_ddd_core.ports.lock_strategy import ActiveLock, ILease, ILockStrategy
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.message_consumer import (
    BrokerUnavailableError,
    Delivery,
    IMessageConsumer,
    ISubscription,
    UnreadableMessageError,
)
from cqrs_ddd_core.ports.message_publisher import IMessagePublisher
from cqrs_ddd_core.ports.middleware import IEventSink, IMiddleware, NextHandler
from cqrs_ddd_core.ports.outbox_operations import (
    DeadLetter,
    DeadLetterFilter,
    IOutboxOperations,
    OutboxStatistics,
    RetryingMessage,
)
from cqrs_ddd_core.ports.outbox_relay import (
    BlockedKey,
    DueKey,
    DueKeys,
    FailedKey,
    IOutboxRelayStorage,
    RelayLease,
    RelayLeaseLostError,
    Settlement,
    WaitingBatch,
    WaitingMessage,
    order_key_of,
    slot_of,
)
from cqrs_ddd_core.ports.outbox_storage import IOutboxStorage, OutboxMessage
from cqrs_ddd_core.ports.projection_operations import (
    IProjectionOperations,
    ParkedKey,
    VersionStatus,
)
from cqrs_ddd_core.ports.projection_storage import (
    FailedEvent,
    IProjectionStorage,
    PartitionLease,
    ProjectionLeaseLostError,
    ProjectionVersion,
    VersionState,
    WaitingKey,
    partition_of,
)
from cqrs_ddd_core.ports.query_options import Aggregation, Ordering, QueryOptions
from cqrs_ddd_core.ports.read_model import IReadModel, IReadModelWriter
from cqrs_ddd_core.ports.repository import IRepository
from cqrs_ddd_core.ports.search_result import SearchResult, SearchSource
from cqrs_ddd_core.ports.specification import ISpecification
from cqrs_ddd_core.ports.tagged_event_store import ITaggedEventStore
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.ports.validator import IValidator
from cqrs_ddd_core.ports.worker_part import IWorkerPart, Progress

__all__ = [
    "ActiveLock",
    "Aggregation",
    "AppendCondition",
    "AppendConditionError",
    "BlockedKey",
    "BrokerUnavailableError",
    "Change",
    "CircuitOpenError",
    "CircuitPermit",
    "CircuitState",
    "ConditionUnsupportedError",
    "DeadLetter",
    "DeadLetterFilter",
    "Delivery",
    "DueKey",
    "DueKeys",
    "DuplicateMessageError",
    "EventQuery",
    "EventQueryError",
    "EventQueryItem",
    "ExpectedVersion",
    "FailedEvent",
    "FailedKey",
    "FeedPage",
    "FeedSignal",
    "IAggregateGateway",
    "ICacheService",
    "ICircuitBreaker",
    "ICommandBus",
    "IEventDispatcher",
    "IEventSink",
    "IEventStore",
    "IHandlerFactory",
    "IHandlerScope",
    "IIdempotencyStore",
    "IInboxStorage",
    "ILease",
    "ILockStrategy",
    "IMessageCodec",
    "IMessageConsumer",
    "IMessagePublisher",
    "IMiddleware",
    "IOutboxOperations",
    "IOutboxRelayStorage",
    "IOutboxStorage",
    "IProjectionOperations",
    "IProjectionStorage",
    "IQueryBus",
    "IReadModel",
    "IReadModelWriter",
    "IRepository",
    "ISpecification",
    "ISubscription",
    "ITaggedEventStore",
    "IUnitOfWork",
    "IUpcaster",
    "IValidator",
    "IWorkerPart",
    "NextHandler",
    "Ordering",
    "OutboxMessage",
    "OutboxStatistics",
    "ParkedKey",
    "PartitionLease",
    "Progress",
    "ProjectionLeaseLostError",
    "ProjectionVersion",
    "QueryOptions",
    "RelayLease",
    "RelayLeaseLostError",
    "RetryingMessage",
    "SearchResult",
    "SearchSource",
    "Settlement",
    "StoredEvent",
    "StreamAppend",
    "StreamId",
    "UnreadableMessageError",
    "UntaggedEventError",
    "VersionState",
    "VersionStatus",
    "WaitingBatch",
    "WaitingKey",
    "WaitingMessage",
    "decode_cursor",
    "encode_cursor",
    "order_key_of",
    "partition_of",
    "slot_of",
]
