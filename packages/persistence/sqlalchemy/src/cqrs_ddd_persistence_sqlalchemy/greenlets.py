"""Where SQLAlchemy's code waits for an async driver: greenlets that are used again."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

R = TypeVar("R")
_MOST_IDLE = 64


async def in_greenlet(work: Callable[..., R], *arguments: Any) -> R:
    """Run ``work``, which waits for the driver by SQLAlchemy's ``await_only``.

    The same as SQLAlchemy's ``greenlet_spawn``, but the greenlet is kept for the next call: a new
    one has to get memory for its stack, which costs nearly as much as the driver's round trip.
    """
    idle = _here.idle
    waiter = idle.pop() if idle else _Waiter()
    handed_over = waiter.begin(work, arguments)
    while handed_over is not waiter:
        try:
            value = await handed_over
        except BaseException as raised:  # noqa: BLE001 - for who waits, in the greenlet
            handed_over = waiter.throw(raised)
        else:
            handed_over = waiter.switch(value)
    value, error = waiter.taken()
    if len(idle) < _MOST_IDLE:
        idle.append(waiter)
    if error is not None:
        raise error
    return value


class _Waiter(greenlet):
    """Runs one piece of work after another; hands over what is to be awaited, itself at the end."""

    __sqlalchemy_greenlet_provider__ = True  # so SQLAlchemy knows a greenlet that it may wait in
    _outcome: tuple[Any, BaseException | None] = (None, None)

    def __init__(self) -> None:
        super().__init__(self._work)
        self.switch()

    def begin(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Return what has to be awaited for ``work`` first, if anything."""
        caller = getcurrent()
        self.parent, self.gr_context = caller, caller.gr_context
        return self.switch(work, arguments)

    def taken(self) -> tuple[Any, BaseException | None]:
        """Return what work has returned and raised, and forget it."""
        outcome, self._outcome = self._outcome, (None, None)
        return outcome

    def _work(self) -> None:
        while True:
            assert self.parent is not None
            work, arguments = self.parent.switch(self)
            try:
                self._outcome = work(*arguments), None
            except BaseException as error:  # noqa: BLE001 - raised again where it was begun
                self._outcome = None, error
            del work, arguments


class _Here(threading.local):
    """What belongs to one thread, as greenlets do."""

    def __init__(self) -> None:
        self.idle: list[_Waiter] = []


_here = _Here()
