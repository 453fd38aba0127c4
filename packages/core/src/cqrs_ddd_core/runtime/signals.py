"""The signals that end a process, for as long as a worker runs in it."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ending_signals(
    on_first: Callable[[int], object], on_second: Callable[[int], object]
) -> Generator[None]:
    """Call ``on_first`` and ``on_second`` for the first two of SIGTERM and SIGINT.

    A third one has the effect it has by default, so a process that hangs can be ended. Plain
    signal handlers, unlike the event loop's, are called also while the loop is blocked. Outside
    the main thread, where Python allows no handlers, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    callbacks = [on_first, on_second]

    def received(number: int, _: FrameType | None) -> None:
        callback = callbacks.pop(0)
        if not callbacks:
            for ending in _ENDING:
                signal.signal(ending, signal.SIG_DFL)
        callback(number)

    previous: dict[signal.Signals, Any] = {
        ending: signal.signal(ending, received) for ending in _ENDING
    }
    try:
        yield
    finally:
        for ending, handler in previous.items():
            signal.signal(ending, handler if handler is not None else signal.SIG_DFL)
