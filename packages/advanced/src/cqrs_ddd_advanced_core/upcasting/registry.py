"""All upcasters of an application, as chains from the oldest schema to today's."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from cqrs_ddd_advanced_core.upcasting.errors import UpcasterChainError, UpcastError
from cqrs_ddd_advanced_core.upcasting.upcaster import EventUpcaster
from cqrs_ddd_core import EventTypeRegistry, StoredEvent, schema_version_of


class UpcasterRegistry:
    """Brings stored events to the schema of today, step by step (see ``IUpcaster``).

    Give it to the event store, which upcasts on read. ``validate`` checks the chains against the
    classes of today; repositories and ``EventSourcedMediator`` do so when they are made.

    Args:
        *upcasters: to begin with.

    Example:
        >>> class Renamed(EventUpcaster):
        ...     supported_type, from_version, to_version = "OrderPlaced", 1, 2
        ...     def upcast(self, payload):
        ...         payload["customer_id"] = payload.pop("cust_id")
        ...         return payload
        >>> UpcasterRegistry(Renamed()).upcast("OrderPlaced", {"cust_id": "c-1"}, 1)
        ({'customer_id': 'c-1'}, 2)
    """

    def __init__(self, *upcasters: EventUpcaster) -> None:
        self._steps: dict[str, dict[int, EventUpcaster]] = {}
        for upcaster in upcasters:
            self.register(upcaster)

    def register(self, upcaster: EventUpcaster) -> None:
        """Add a step.

        Raises:
            UpcasterChainError: it names no type or versions, goes backwards, or there is a step
                from its version already.
        """
        kind = type(upcaster).__name__
        for name in ("supported_type", "from_version"):
            if not getattr(upcaster, name, None):
                raise UpcasterChainError([f"{kind} has no {name}; set it in the class's body."])
        if upcaster.to_version <= upcaster.from_version:
            raise UpcasterChainError([f"{kind} leads from {upcaster.from_version} backwards."])
        steps = self._steps.setdefault(upcaster.supported_type, {})
        known = steps.setdefault(upcaster.from_version, upcaster)
        if known is not upcaster:
            problem = (
                f"{kind} and {type(known).__name__} both take version {upcaster.from_version} "
                f"of {upcaster.supported_type!r}."
            )
            raise UpcasterChainError([problem])

    def has_upcasters(self, event_type: str) -> bool:
        """Whether there is a step for events of this name."""
        return event_type in self._steps

    def registered_event_types(self) -> list[str]:
        """Return the names that have steps, sorted."""
        return sorted(self._steps)

    def chain_for(self, event_type: str, from_version: int = 1) -> list[EventUpcaster]:
        """Return the steps that an event of this name and schema version goes through."""
        chain: list[EventUpcaster] = []
        version = from_version
        while (step := self._steps.get(event_type, {}).get(version)) is not None:
            chain.append(step)
            event_type, version = step.new_type or event_type, step.to_version
        return chain

    def upcast(
        self, event_type: str, payload: dict[str, Any], stored_version: int
    ) -> tuple[dict[str, Any], int]:
        """Return the payload in the schema of today, and that schema's version."""
        version = stored_version
        for step in self.chain_for(event_type, stored_version):
            payload, version = step.upcast(payload), step.to_version
        return payload, version

    def upcast_stored(self, event: StoredEvent) -> StoredEvent:
        """Return ``event`` in the schema of today; itself where no step takes it.

        Raises:
            UpcastError: a step failed; names stream, version and type.
        """
        if event.event_type not in self._steps:
            return event
        chain = self.chain_for(event.event_type, event.schema_version)
        if not chain:
            return event
        event_type, version = event.event_type, event.schema_version
        try:
            payload = from_json(event.payload)
            for step in chain:
                payload = step.upcast(payload)
                event_type, version = step.new_type or event_type, step.to_version
            if "version" in payload:  # where an event of ours says it itself
                payload["version"] = version
            encoded = to_json(payload)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise UpcastError(event, event_type, version, reason) from error
        return replace(event, payload=encoded, event_type=event_type, schema_version=version)

    def validate(self, event_types: EventTypeRegistry) -> None:
        """Check that every schema ever written leads to the class of today, without a gap.

        Raises:
            UpcasterChainError: lists all that is wrong.
        """
        problems = [p for name in self._steps for p in self._dangling(name, event_types)]
        for name in event_types.list_registered():
            event_class = event_types.get(name)
            today = schema_version_of(event_class) if event_class is not None else 1
            problems += self._gaps(name, today)
        if problems:
            raise UpcasterChainError(problems)

    def _gaps(self, name: str, today: int) -> Sequence[str]:
        """Return what is missing on the way from each version to ``today``."""
        steps = list(self._steps.get(name, {}).values())
        problems = [
            f"No upcaster takes version {version} of {name!r}, whose class is at version {today}."
            for version in range(1, today)
            if not any(step.from_version <= version < step.to_version for step in steps)
        ]
        problems += [
            f"{type(step).__name__} makes version {step.to_version} of {name!r}, whose class is at "
            f"version {today}."
            for step in steps
            if step.new_type is None and step.to_version > today
        ]
        return problems

    def _dangling(self, name: str, event_types: EventTypeRegistry) -> Sequence[str]:
        """Return what leads to a name that no class has."""
        if event_types.has(name):
            return []
        chain = self.chain_for(name, min(self._steps[name]))
        names = [step.new_type for step in chain if step.new_type]
        if names and event_types.has(names[-1]):
            return []
        return [f"{name!r} has upcasters and no class; register it, or name its new_type."]
