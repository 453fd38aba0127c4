"""How SQS's messages carry envelopes and notes, and how many of them are settled at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from cqrs_ddd_core import UnreadableMessageError
from cqrs_ddd_messaging.envelope import MessageEnvelope, from_json
from cqrs_ddd_messaging.sqs.client import chunks

_ATTEMPTS = 3  # at a request whose entries fail
_MOST_FOREIGN = 4  # attributes of others; SQS takes ten, and six are ours


def envelope_in(message: Mapping[str, Any]) -> MessageEnvelope:
    """Return the envelope in a message; where there is none, its bytes in an empty one."""
    try:
        return from_json(message["Body"])
    except UnreadableMessageError:
        return MessageEnvelope({}, message["Body"].encode())


def notes_in(message: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes beside the envelope that are text."""
    return {
        name: each["StringValue"]
        for name, each in message.get("MessageAttributes", {}).items()
        if "StringValue" in each
    }


def attributes_with(message: Mapping[str, Any], notes: Mapping[str, str]) -> dict[str, Any]:
    """Return the attributes of a received message as they can be sent, with ``notes``."""
    received: Mapping[str, Any] = message.get("MessageAttributes", {})
    foreign = {
        name: {field: each[field] for field in each if field in {"DataType", "StringValue"}}
        for name, each in received.items()
        if "StringValue" in each and not name.startswith("cqrs-")
    }
    ours = {
        name: {
            "DataType": "String",
            "StringValue": value.encode("ascii", "backslashreplace").decode() or "-",
        }
        for name, value in notes.items()
    }
    return {**dict([*foreign.items()][:_MOST_FOREIGN]), **ours}


async def settle(request: Any, url: str, handles: Sequence[str], **fields: Any) -> dict[str, str]:
    """Make a batch request for handles, again for entries that fail; return those that are lost."""
    lost: dict[str, str] = {}
    for chunk in chunks(handles):
        waiting = list(chunk)
        for _ in range(_ATTEMPTS):
            entries = [
                {"Id": str(place), "ReceiptHandle": handle, **fields}
                for place, handle in enumerate(waiting)
            ]
            answer = await request(QueueUrl=url, Entries=entries)
            failed = answer.get("Failed", [])
            problems = {waiting[int(each["Id"])]: each for each in failed}
            lost.update((handle, str(each)) for handle, each in problems.items())
            waiting = [handle for handle, each in problems.items() if not each["SenderFault"]]
            if not waiting:
                break
            for handle in waiting:
                lost.pop(handle)
        lost.update((handle, "it failed again and again") for handle in waiting)
    return lost
