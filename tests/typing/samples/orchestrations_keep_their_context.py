"""The context that a saga is defined with is the one that its steps, runs and results have."""

from dataclasses import dataclass
from typing import assert_type

from cqrs_ddd_advanced_core.orchestration import (
    Orchestration,
    OrchestrationRunner,
    PivotStep,
    SagaResult,
    Step,
    StepCall,
    StepFunctions,
)


@dataclass
class Shipment:
    order_id: str


class Reserve:
    async def act(self, shipment: Shipment, call: StepCall) -> str:
        return call.idempotency_key

    async def compensate(self, shipment: Shipment, call: StepCall) -> None: ...


async def charge(shipment: Shipment, call: StepCall) -> None: ...


ship_order = Orchestration(
    "ship-order", Shipment, [Step("reserve", Reserve), PivotStep("charge", StepFunctions(charge))]
)


async def runs_and_results(runner: OrchestrationRunner) -> None:
    assert_type(await runner.run(ship_order, Shipment("o-1")), SagaResult[Shipment])
    assert_type((await runner.result(ship_order, "s-1")).require_completed(), Shipment)
