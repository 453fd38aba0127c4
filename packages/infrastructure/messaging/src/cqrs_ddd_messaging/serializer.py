"""Puts messages into envelopes and takes them out again."""

from collections.abc import Mapping

from cqrs_ddd_core import OutboxMessage, UnreadableMessageError
from cqrs_ddd_messaging.blobs import ClaimCheck
from cqrs_ddd_messaging.compression import Compression, DecompressionError, decompress
from cqrs_ddd_messaging.envelope import MessageEnvelope, attributes_of, message_of

_DEFAULT_MAX = 64 * 1024 * 1024


class EnvelopeSerializer:
    """Puts messages into envelopes of CloudEvents 1.0 and takes them out again.

    Args:
        source: who sends, as a URI reference such as ``/shop``.
        compression: how payloads are made smaller; not at all by default.
        claim_check: where large payloads stay; a receiver needs the same store.
        max_payload: bytes that a payload may have once it is decompressed.

    Example:
        >>> import asyncio
        >>> from cqrs_ddd_core import utc_now
        >>> message = OutboxMessage(
        ...     message_id="m-1", event_type="Paid", payload=b"{}", occurred_at=utc_now()
        ... )
        >>> async def main():
        ...     serializer = EnvelopeSerializer("/shop")
        ...     envelope = await serializer.wrap(message)
        ...     print(envelope.attributes["type"])
        ...     return await serializer.unwrap(envelope.attributes, envelope.data) == message
        >>> asyncio.run(main())
        Paid.v1
        True
    """

    def __init__(
        self,
        source: str = "/",
        *,
        compression: Compression | None = None,
        claim_check: ClaimCheck | None = None,
        max_payload: int = _DEFAULT_MAX,
    ) -> None:
        self._source, self._compression, self._claim_check = source, compression, claim_check
        self._max_payload = max_payload

    async def wrap(self, message: OutboxMessage) -> MessageEnvelope:
        """Return ``message`` in its envelope.

        Raises:
            BlobStoreError: its payload is to be kept elsewhere and cannot be, for now.
        """
        attributes, data = attributes_of(message, self._source), message.payload
        if self._compression is not None:
            smaller = self._compression.compress(data)
            if smaller is not None:
                attributes["contentencoding"], data = self._compression.method, smaller
        if self._claim_check is not None and len(data) > self._claim_check.threshold:
            attributes["dataref"], data = await self._claim_check.store.put(data), b""
        return MessageEnvelope(attributes, data)

    async def unwrap(self, attributes: Mapping[str, str], data: bytes) -> OutboxMessage:
        """Return the message that an envelope carries.

        Raises:
            UnreadableMessageError: it can never be read as it is.
            BlobStoreError: its payload is kept elsewhere and out of reach for now.
        """
        reference = attributes.get("dataref")
        if reference is not None:
            if self._claim_check is None:
                raise UnreadableMessageError(
                    attributes.get("id", ""),
                    "its payload is kept elsewhere; give the EnvelopeSerializer its claim_check.",
                )
            data = await self._claim_check.store.get(reference, max_size=self._max_payload)
        method = attributes.get("contentencoding")
        if method is not None:
            try:
                data = decompress(data, method, self._max_payload)
            except DecompressionError as error:
                raise UnreadableMessageError(attributes.get("id", ""), f"{error}.") from error
        return message_of(attributes, data)
