"""Runs benchmarks: ``python -m benchmarks mediator unit_of_work specifications --json``."""

import asyncio
import gc
import json
from typing import Annotated

import typer

from benchmarks import (
    conditional_append,
    event_sagas,
    event_store,
    harness,
    imports,
    jobs,
    mediator,
    messaging,
    orchestration,
    outbox,
    projections,
    sagas,
    specifications,
    unit_of_work,
    wake_up,
)

_MODULES = (
    imports,
    mediator,
    specifications,
    unit_of_work,
    wake_up,
    outbox,
    messaging,
    event_store,
    conditional_append,
    projections,
    jobs,
    sagas,
    event_sagas,
    orchestration,
)


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Groups, or how names of cases begin; all by default."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a case.")] = False,
) -> None:
    """Measure our code beside its hand-written twin; the ratio is the result."""
    known = harness.groups()
    for name in names or known:
        found = harness.cases(name)
        if not found:
            raise typer.BadParameter(f"{name!r} begins no case of {', '.join(known)}.")
        for case in found:
            gc.collect()
            result = asyncio.run(harness.measured(case))
            if as_json:
                print(json.dumps(result.to_dict()), flush=True)
            else:
                peer = "" if result.peer is None else f"  peer {result.peer:,.2f}"
                ours, twin = result.processor
                print(
                    f"{result.case:<52} ours {result.ours:>12,.2f}  twin {result.twin:>12,.2f} "
                    f"{result.unit:<10} ratio {result.ratio:.2f} ({result.better} is better), "
                    f"processor {ours:,.2f} and {twin:,.2f} µs each{peer}",
                    flush=True,
                )


if __name__ == "__main__":
    typer.run(main)
