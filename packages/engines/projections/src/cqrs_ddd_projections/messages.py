"""Feeding a projection from messages: of a broker, or of this application's own outbox."""

from functools import partial
from typing import Any

from cqrs_ddd_core import EventPhase, EventTypeRegistry, HandlerRegistry, get_current_uow
from cqrs_ddd_core.ports import IReadModel
from cqrs_ddd_projections.context import ProjectionContext
from cqrs_ddd_projections.handler import Handle, ProjectionHandler
from cqrs_ddd_projections.wiring import FIRST_VERSION


def register_for_messages(
    handler: ProjectionHandler, registry: HandlerRegistry, read_model: IReadModel
) -> None:
    """Have ``handler`` fed by the consumer or relay that dispatches to ``registry``.

    The inbox takes the place of the checkpoint: each event has its effect once, in the transaction
    of its inbox row. Order is that of the messages. Make the tables first, by
    ``await read_model.create(1, live=True)``. There is no rebuild, and no ``at.stored``.

    Raises:
        ProjectionRegistrationError: the handler cannot work; with everything that is wrong.
    """
    types = EventTypeRegistry()
    for name, handle in handler.compiled(types).items():
        event_type: Any = types.get(name)
        registry.register_event_handler(
            event_type,
            partial(_write, handle, read_model),
            phase=EventPhase.DURABLE,
            name=f"{handler.name}.{name}",
        )


async def _write(handle: Handle, read_model: IReadModel, event: Any) -> None:
    uow = get_current_uow()
    at = ProjectionContext(read_model.writer(FIRST_VERSION, uow), uow, None)
    at.effects_on = True
    done = handle(event, at)
    if done is not None:
        await done
    await at.write.flush()
    for effect in at.effects:
        uow.on_commit(effect)
