"""What a step is told of the attempt that it is."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from cqrs_ddd_advanced_core.sagas.instance import SagaAction
from cqrs_ddd_core.ports import IUnitOfWork

Complete = Callable[[Any, IUnitOfWork | None], Awaitable[None]]

_NAMESPACE = uuid.UUID("6f1c8f6e-5f0b-5d4e-9d61-2f8f4c3b7a10")


@dataclass(frozen=True, slots=True)
class StepCall:
    """One attempt at a step of a saga.

    Attributes:
        saga_id: the saga.
        step: the step's name.
        action: what is to be done.
        attempt: which attempt it is, interrupted ones included; the first is 1.
        idempotency_key: a UUID, the same in every attempt at this action of this step, so that an
            effect can be had once: hand it on as a key, or as the id of a command.
        in_doubt: whether an attempt was interrupted or timed out, so that its effect may be there.
    """

    saga_id: str
    step: str
    action: SagaAction
    attempt: int
    idempotency_key: str
    in_doubt: bool
    _complete: Complete = field(repr=False)

    async def complete(self, context: Any, uow: IUnitOfWork | None = None) -> None:
        """Write down, in the given or current unit of work, that the step is done.

        Where its effect is in the database of the saga, the two commit together then, and the
        effect happens once, whatever is killed when. The step returns after it.

        Args:
            context: the context, as the step leaves it.
            uow: the unit of work to join.

        Raises:
            SagaError: steps run side by side with this one.
            ConcurrencyError: now or at commit, when somebody else goes on with the saga by now.
        """
        await self._complete(context, uow)


def idempotency_key(saga_id: str, step: str, action: SagaAction) -> str:
    """Return the key of what a saga does in one action of one step.

    Example:
        >>> idempotency_key("s-1", "charge", SagaAction.ACT)
        '6d608ac9-f61e-502a-ac4b-4b0c42add236'
    """
    return str(uuid.uuid5(_NAMESPACE, to_json([saga_id, step, action.value]).decode()))
