"""The ports: what the toolkit asks of stores, brokers and lock servers, one protocol a file."""

from cqrs_ddd_core.ports.aggregate_gateway import Change, IAggregateGateway
from cqrs_ddd_core.ports.bus import ICommandBus, IQueryBus
from cqrs_ddd_core.ports.cache import ICacheService
from cqrs_ddd_core.ports.cursor import decode_cursor, encode_cursor
from cqrs_ddd_core.ports.event_dispatcher import IEventDispatcher
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
from cqrs_ddd_core.ports.lock_strategy import ActiveLock, ILease, ILockStrategy
from cqrs_ddd_core.ports.message_codec import IMessageCodec
from cqrs_ddd_core.ports.middleware import IEventSink, IMiddleware, NextHandler
from cqrs_ddd_core.ports.outbox_storage import IOutboxStorage, OutboxMessage
from cqrs_ddd_core.ports.query_options import Aggregation, Ordering, QueryOptions
from cqrs_ddd_core.ports.repository import IRepository
from cqrs_ddd_core.ports.search_result import SearchResult, SearchSource
from cqrs_ddd_core.ports.specification import ISpecification
from cqrs_ddd_core.ports.unit_of_work import IUnitOfWork
from cqrs_ddd_core.ports.validator import IValidator

__all__ = [
    "ActiveLock",
    "Aggregation",
    "Change",
    "ExpectedVersion",
    "FeedPage",
    "FeedSignal",
    "IAggregateGateway",
    "ICacheService",
    "ICommandBus",
    "IEventDispatcher",
    "IEventSink",
    "IEventStore",
    "IHandlerFactory",
    "IHandlerScope",
    "IIdempotencyStore",
    "ILease",
    "ILockStrategy",
    "IMessageCodec",
    "IMiddleware",
    "IOutboxStorage",
    "IQueryBus",
    "IRepository",
    "ISpecification",
    "IUnitOfWork",
    "IUpcaster",
    "IValidator",
    "NextHandler",
    "Ordering",
    "OutboxMessage",
    "QueryOptions",
    "SearchResult",
    "SearchSource",
    "StoredEvent",
    "StreamAppend",
    "StreamId",
    "decode_cursor",
    "encode_cursor",
]
