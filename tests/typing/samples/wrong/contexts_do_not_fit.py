"""Each marked line is a mistake that a type checker must find."""

from dataclasses import dataclass

from cqrs_ddd_advanced_core.orchestration import (
    Orchestration,
    OrchestrationRunner,
    Step,
    StepCall,
    StepFunctions,
)


@dataclass
class Shipment:
    order_id: str


@dataclass
class Trip:
    days: int


class Reserve:
    async def act(self, shipment: Shipment, call: StepCall) -> None: ...

    async def compensate(self, shipment: Shipment, call: StepCall) -> None: ...


async def fly(trip: Trip, call: StepCall) -> None: ...


right = Orchestration("right", Shipment, [Step("reserve", Reserve)])
other_class = Orchestration("wrong", Trip, [Step("reserve", Reserve)])  # wrong: of a Shipment
other_functions = Orchestration("wrong", Shipment, [Step("fly", StepFunctions(fly))])  # wrong: Trip


async def a_saga_gets_its_own_context(runner: OrchestrationRunner) -> None:
    await runner.run(right, Shipment("o-1"))
    await runner.run(right, "o-1")  # wrong: no Shipment
