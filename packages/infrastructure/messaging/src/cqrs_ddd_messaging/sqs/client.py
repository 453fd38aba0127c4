"""Clients of SQS, and what its answers mean."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from cqrs_ddd_core import BrokerUnavailableError

_session: Any = import_module("aiobotocore.session")  # aiobotocore and botocore bring no types
_exceptions: Any = import_module("botocore.exceptions")
ClientError: type[Exception] = _exceptions.ClientError
BotoCoreError: type[Exception] = _exceptions.BotoCoreError

BATCH = 10  # entries, at most, in a request of SQS
_NO_SUCH_QUEUE = ("NonExistentQueue", "QueueDoesNotExist")


@dataclass(frozen=True, slots=True, kw_only=True)
class SQSConfig:
    """Where SQS is.

    Attributes:
        region: such as ``eu-central-1``.
        endpoint_url: of another server than Amazon's.
        options: whatever aiobotocore's ``create_client`` takes, such as credentials.
    """

    region: str | None = None
    endpoint_url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def place(self) -> str:
        """Where it is, for errors."""
        return self.endpoint_url or f"SQS in {self.region or 'the default region'}"

    def client(self) -> AbstractAsyncContextManager[Any]:
        """Return a client, to be entered."""
        return _session.get_session().create_client(
            "sqs", region_name=self.region, endpoint_url=self.endpoint_url, **self.options
        )

    def unavailable(self, error: object) -> BrokerUnavailableError:
        """Return the error that says SQS cannot be used now."""
        return BrokerUnavailableError(self.place, error)


def is_missing_queue(error: Exception) -> bool:
    """Whether an error says that there is no such queue."""
    response: Mapping[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", "")).endswith(_NO_SUCH_QUEUE)


def chunks(entries: Sequence[Any], size: int = BATCH) -> list[Sequence[Any]]:
    """Return ``entries`` in parts of at most ``size``."""
    return [entries[start : start + size] for start in range(0, len(entries), size)]
