"""Commands, queries, events and the mediator that takes them to their handlers."""

from cqrs_ddd_core.cqrs.chain import HandlerChain, handler_chain
from cqrs_ddd_core.cqrs.circuit import guarded
from cqrs_ddd_core.cqrs.codec import JsonMessageCodec, MessageCodecError
from cqrs_ddd_core.cqrs.concurrency import CriticalSection
from cqrs_ddd_core.cqrs.context import (
    get_causation_id,
    get_correlation_id,
    get_tenant_id,
    with_correlation_context,
    with_tenant,
)
from cqrs_ddd_core.cqrs.errors import (
    EventCascadeError,
    EventHandlerFailure,
    HandlerError,
    HandlerNotFoundError,
    HandlerRegistrationError,
)
from cqrs_ddd_core.cqrs.event_dispatcher import EventDispatcher
from cqrs_ddd_core.cqrs.feed_subscription import FeedSubscription
from cqrs_ddd_core.cqrs.handler import (
    CommandHandler,
    EventHandler,
    EventPhase,
    QueryHandler,
    StreamHandler,
)
from cqrs_ddd_core.cqrs.instrumentation import (
    HookRegistration,
    HookRegistry,
    InstrumentationHook,
    get_hook_registry,
    set_hook_registry,
)
from cqrs_ddd_core.cqrs.invocation import ConstructingHandlerFactory
from cqrs_ddd_core.cqrs.mediator import Mediator
from cqrs_ddd_core.cqrs.message import Command, CommandOf, Query, QueryOf
from cqrs_ddd_core.cqrs.registry import HandlerRegistry
from cqrs_ddd_core.cqrs.repository import Repository, repository
from cqrs_ddd_core.cqrs.response import CommandResponse, QueryResponse
from cqrs_ddd_core.cqrs.scope import get_current_uow
from cqrs_ddd_core.cqrs.scope_errors import (
    ForeignTaskError,
    NoUnitOfWorkError,
    ReadOnlyUnitOfWorkError,
    UnitOfWorkClosedError,
    UnitOfWorkDoomedError,
    UnitOfWorkError,
)
from cqrs_ddd_core.cqrs.standalone_repository import StandaloneRepository
from cqrs_ddd_core.cqrs.unit_of_work import UnitOfWork

__all__ = [
    "Command",
    "CommandHandler",
    "CommandOf",
    "CommandResponse",
    "ConstructingHandlerFactory",
    "CriticalSection",
    "EventCascadeError",
    "EventDispatcher",
    "EventHandler",
    "EventHandlerFailure",
    "EventPhase",
    "FeedSubscription",
    "ForeignTaskError",
    "HandlerChain",
    "HandlerError",
    "HandlerNotFoundError",
    "HandlerRegistrationError",
    "HandlerRegistry",
    "HookRegistration",
    "HookRegistry",
    "InstrumentationHook",
    "JsonMessageCodec",
    "Mediator",
    "MessageCodecError",
    "NoUnitOfWorkError",
    "Query",
    "QueryHandler",
    "QueryOf",
    "QueryResponse",
    "ReadOnlyUnitOfWorkError",
    "Repository",
    "StandaloneRepository",
    "StreamHandler",
    "UnitOfWork",
    "UnitOfWorkClosedError",
    "UnitOfWorkDoomedError",
    "UnitOfWorkError",
    "get_causation_id",
    "get_correlation_id",
    "get_current_uow",
    "get_hook_registry",
    "get_tenant_id",
    "guarded",
    "handler_chain",
    "repository",
    "set_hook_registry",
    "with_correlation_context",
    "with_tenant",
]
