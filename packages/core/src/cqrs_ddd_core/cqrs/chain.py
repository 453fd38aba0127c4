"""Chains of responsibility: the first handler that has an answer gives it."""

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, Literal

from cqrs_ddd_core.cqrs.event_queue import event_id_of
from cqrs_ddd_core.cqrs.registration_checks import callable_of, name_of
from cqrs_ddd_core.cqrs.response import AnyCommandResponse, CommandResponse
from cqrs_ddd_core.diagrams import ClassDiagram, SequenceDiagram

Next = Callable[[Any], Awaitable[Any]]
Link = Callable[[Any, Next], Awaitable[Any]]


class HandlerChain:
    """Links that answer a command or pass it on; made by ``handler_chain``."""

    def __init__(self, links: tuple[Link, ...], names: tuple[str, ...]) -> None:
        self._links, self.names = links, names

    async def handle(self, command: Any, /) -> CommandResponse[Any]:
        """Return the first answer, with the events of every link that took part."""
        events: list[Any] = []
        result = await self._pass_on(0, command, events)
        answer = result.result if isinstance(result, AnyCommandResponse) else result
        return CommandResponse(answer, events=events)

    def to_mermaid(self, kind: Literal["sequence", "class"] = "sequence") -> str:
        """Return the chain as a Mermaid diagram: who asks whom, or who knows whom.

        Example:
            >>> async def clerk(amount, pass_on): ...
            >>> async def director(amount, pass_on): ...
            >>> print(handler_chain(clerk, director).to_mermaid())
            sequenceDiagram
                participant p1 as Caller
                participant p2 as clerk
                participant p3 as director
                p1->>p2: command
                opt clerk has no answer
                p2->>p3: command
                p3-->>p2: answer
                end
                p2-->>p1: answer
        """
        names = [  # one class may be several links
            name if name not in self.names[:number] else f"{name} ({number + 1})"
            for number, name in enumerate(self.names)
        ]
        return _classes(names) if kind == "class" else _sequence(names)

    async def _pass_on(self, position: int, command: Any, events: list[Any]) -> Any:
        if position == len(self._links):
            return None

        async def following(passed: Any) -> Any:
            return await self._pass_on(position + 1, passed, events)

        result = await self._links[position](command, following)
        if isinstance(result, AnyCommandResponse):
            known = {event_id_of(event) for event in events}
            events += [event for event in result.events if event_id_of(event) not in known]
        return result


def handler_chain(*links: Any) -> HandlerChain:
    """Return a handler that asks ``links`` in order.

    A link is a function or an object with ``handle``; it takes the command and ``pass_on``, and
    either answers or returns ``await pass_on(command)``. The events of every link are delivered.
    When nobody answers the result is None.

    Raises:
        TypeError: there is no link, or one cannot be called.

    Example:
        >>> import asyncio
        >>> async def small(amount, pass_on):
        ...     return "clerk" if amount < 100 else await pass_on(amount)
        >>> async def large(amount, pass_on):
        ...     return "director"
        >>> chain = handler_chain(small, large)
        >>> asyncio.run(chain.handle(500)).result
        'director'
    """
    functions = tuple(callable_of(link) for link in links)
    if not functions or None in functions:
        raise TypeError(
            "A chain needs at least one link, and each must be an async function or an instance "
            "with async def handle(self, command, pass_on)."
        )
    return HandlerChain(functions, tuple(name_of(link) for link in links))


def _sequence(names: list[str]) -> str:
    diagram = SequenceDiagram()
    callers = ["Caller", *names]
    for caller, link in zip(callers, names, strict=False):
        if caller != "Caller":
            diagram.block("opt", f"{caller} has no answer")
        diagram.message(caller, link, "command")
    for caller, link in reversed(list(zip(callers, names, strict=False))):
        diagram.message(link, caller, "answer", reply=True)
        if caller != "Caller":
            diagram.end()
    return str(diagram)


def _classes(names: list[str]) -> str:
    diagram = ClassDiagram()
    for name in names:
        diagram.has(name, "handle(command, pass_on)")
    for name, following in pairwise(names):
        diagram.knows(name, following, "passes on to")
    return str(diagram)
