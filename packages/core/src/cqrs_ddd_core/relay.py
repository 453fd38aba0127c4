"""Runs a relay as a process of its own: ``python -m cqrs_ddd_core.relay module:factory``."""

import argparse
import asyncio
import inspect
import logging
import signal
import sys
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

from cqrs_ddd_core.cqrs.outbox import BufferedOutbox
from cqrs_ddd_core.primitives.errors import InfrastructureError

_log = logging.getLogger(__name__)


class RelayFactoryError(InfrastructureError):
    """What was named on the command line makes no outbox."""

    def __init__(self, target: str, problem: str) -> None:
        self.target = target
        super().__init__(
            f"{target}: {problem}. Name a function that returns a BufferedOutbox, or an async "
            "context manager of one, as package.module:function."
        )


async def run_relay(target: str, *, drain_timeout: float | None = None) -> None:
    """Deliver the outbox that ``target`` makes until SIGTERM or SIGINT, then drain.

    Args:
        target: ``module:factory``; the factory returns a ``BufferedOutbox``, or an async context
            manager of one that closes what belongs to it.
        drain_timeout: seconds to wait for what is being published; the outbox's own by default.

    Raises:
        RelayFactoryError: there is no such factory, or it makes something else.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        made: Any = _factory_of(target)()
        if inspect.isawaitable(made):
            made = await made
        if not isinstance(made, BufferedOutbox) and hasattr(made, "__aenter__"):
            made = await stack.enter_async_context(made)
        if not isinstance(made, BufferedOutbox):
            raise RelayFactoryError(target, f"it makes a {type(made).__name__}")
        await made.start()
        _log.info("Relay %s is at work", target)
        await stop.wait()
        _log.info("Relay %s drains", target)
        await made.stop(drain_timeout)


def _factory_of(target: str) -> Any:
    module, _, name = target.partition(":")
    if not name:
        raise RelayFactoryError(target, "the name of a function is missing")
    try:
        found: Any = import_module(module)
    except ImportError as error:
        raise RelayFactoryError(target, f"it cannot be imported: {error}") from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise RelayFactoryError(target, f"{module} has no function {name}")
    return found


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m cqrs_ddd_core.relay", description=__doc__)
    parser.add_argument("target", metavar="module:factory", help="makes the outbox")
    parser.add_argument("--drain-timeout", type=float, help="seconds", default=None)
    parser.add_argument("--log-level", default="INFO")
    arguments = parser.parse_args()
    logging.basicConfig(level=arguments.log_level.upper(), format="%(asctime)s %(message)s")
    sys.path.insert(0, "")
    try:
        asyncio.run(run_relay(arguments.target, drain_timeout=arguments.drain_timeout))
    except RelayFactoryError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
