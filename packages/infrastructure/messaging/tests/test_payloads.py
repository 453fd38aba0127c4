"""Envelopes, codecs, compression and claim checks; nothing hostile gets through."""

import asyncio
import os
import zlib
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from json import dumps
from pathlib import Path
from typing import Any

import pytest
import zstandard
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given
from hypothesis import strategies as st

from cqrs_ddd_core import (
    MessageCodecError,
    MessageDecoder,
    OutboxMessage,
    UnreadableMessageError,
)
from cqrs_ddd_messaging import (
    BlobStoreError,
    ClaimCheck,
    Compression,
    EnvelopeSerializer,
    FilesystemBlobStore,
    IBlobStore,
)
from cqrs_ddd_messaging.envelope import attributes_of, from_headers, from_json, message_of
from cqrs_ddd_messaging.protobuf import ProtobufMessage, ProtobufMessageCodec
from cqrs_ddd_messaging.testing.world import message

LARGE = b"0123456789" * 1000


class TestTheEnvelope:
    def test_it_has_the_attributes_of_cloudevents(self) -> None:
        told = message("m-1", "Order/1", schema_version=2, tenant_id="t", causation_id="c")
        assert attributes_of(told, "/shop") == {
            "specversion": "1.0",
            "id": "m-1",
            "source": "/shop",
            "type": "conformance.Told.v2",
            "time": "2026-03-01T02:03:04.000005+00:00",
            "datacontenttype": "application/json",
            "subject": "Order/1",
            "partitionkey": "Order/1",
            "causationid": "c",
            "tenantid": "t",
        }

    def test_headers_of_any_binding_are_read(self) -> None:
        for prefix in ("ce_", "ce-", "cloudEvents_", "cloudEvents:"):
            assert from_headers([(f"{prefix}id", b"m-1"), ("other", "x")]) == {"id": "m-1"}

    def test_an_event_of_a_foreign_sender_is_read(self) -> None:
        body = dumps({"id": "1", "type": "com.example.someevent", "data": {"a": 1}})
        envelope = from_json(body)
        told = message_of(envelope.attributes, envelope.data)
        assert (told.event_type, told.schema_version) == ("com.example.someevent", 1)
        assert told.payload == b'{"a": 1}'

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"id": "1"},
            {"id": "1", "type": "A.v1", "time": "yesterday"},
            {"id": "1", "type": "A.v1", "headers": "[1]"},
            {"id": "1", "type": "A.v1", "headers": "{"},
        ],
    )
    def test_a_wrong_one_is_unreadable(self, attributes: dict[str, str]) -> None:
        with pytest.raises(UnreadableMessageError):
            message_of(attributes, b"")

    @given(st.binary(max_size=200) | st.text(max_size=200))
    def test_any_bytes_are_an_envelope_or_unreadable(self, data: Any) -> None:
        try:
            envelope = from_json(data)
            message_of(envelope.attributes, envelope.data)
        except UnreadableMessageError:
            pass

    @given(
        st.dictionaries(
            st.sampled_from(["id", "type", "time", "headers", "partitionkey", "tenantid"]),
            st.text(max_size=50),
        )
    )
    def test_any_attributes_are_a_message_or_unreadable(self, attributes: dict[str, str]) -> None:
        try:
            told = message_of(attributes, b"")
        except UnreadableMessageError:
            return
        assert told.message_id == attributes["id"]


class TestCompression:
    @pytest.mark.parametrize("method", ["zlib", "zstd"])
    async def test_large_payloads_travel_smaller_and_arrive_whole(self, method: Any) -> None:
        sender = EnvelopeSerializer(compression=Compression(method))
        told = message("m-1", payload=LARGE)
        envelope = await sender.wrap(told)
        assert len(envelope.data) < len(LARGE) / 10
        assert await EnvelopeSerializer().unwrap(envelope.attributes, envelope.data) == told
        small = await sender.wrap(message("m-2"))
        assert "contentencoding" not in small.attributes

    @pytest.mark.parametrize(
        ("method", "bomb"),
        [
            ("zlib", zlib.compress(b"\0" * 50_000_000)),
            ("zstd", zstandard.ZstdCompressor().compress(b"\0" * 50_000_000)),
            ("zlib", zlib.compress(LARGE)[:-10]),
            ("zstd", zstandard.ZstdCompressor().compress(LARGE)[:-10]),
            ("zlib", b"nonsense"),
            ("zstd", b"nonsense"),
            ("zstd", b""),
            ("lzma", b""),
        ],
    )
    async def test_bombs_and_nonsense_are_unreadable(self, method: str, bomb: bytes) -> None:
        attributes = {**attributes_of(message("m-1"), "/"), "contentencoding": method}
        with pytest.raises(UnreadableMessageError):
            await EnvelopeSerializer(max_payload=1_000_000).unwrap(attributes, bomb)


class TestTheClaimCheck:
    async def test_a_large_payload_stays_in_the_store(self, tmp_path: Path) -> None:
        check = ClaimCheck(FilesystemBlobStore(tmp_path / "blobs"), threshold=100)
        serializer = EnvelopeSerializer(claim_check=check)
        told = message("m-1", payload=LARGE)
        envelope = await serializer.wrap(told)
        assert envelope.data == b""
        assert await serializer.unwrap(envelope.attributes, b"") == told
        with pytest.raises(UnreadableMessageError, match="claim_check"):
            await EnvelopeSerializer().unwrap(envelope.attributes, b"")

    async def test_a_reference_leads_nowhere_else(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        store = FilesystemBlobStore(tmp_path / "blobs")
        assert isinstance(store, IBlobStore)
        missing = f"sha256-{'0' * 64}"
        for reference in ("../secret", "sha256-../secret", "", str(tmp_path / "secret"), missing):
            with pytest.raises(BlobStoreError):
                await store.get(reference, max_size=100)

    async def test_a_damaged_or_too_large_blob_is_noticed(self, tmp_path: Path) -> None:
        store = FilesystemBlobStore(tmp_path)
        reference = await store.put(b"payload")
        with pytest.raises(BlobStoreError, match="longer"):
            await store.get(reference, max_size=3)
        (tmp_path / reference).write_bytes(b"PAYLOAD")
        with pytest.raises(BlobStoreError, match="damaged"):
            await store.get(reference, max_size=100)

    async def test_one_blob_written_by_many_at_once_is_whole(self, tmp_path: Path) -> None:
        store = FilesystemBlobStore(tmp_path)
        references = await asyncio.gather(*(store.put(LARGE) for _ in range(8)))
        assert len(set(references)) == 1
        assert await store.get(references[0], max_size=len(LARGE)) == LARGE
        assert os.listdir(tmp_path) == [references[0]]  # noqa: PTH208 - no partial file is left
        assert await store.purge(timedelta(hours=1)) == 0
        assert await store.purge(timedelta(seconds=-60)) == 1


class Name:
    proto_class = StringValue

    def __init__(self, text: str) -> None:
        self.text = text

    def to_proto(self) -> StringValue:
        return StringValue(value=self.text)

    @classmethod
    def from_proto(cls, message: StringValue) -> "Name":
        return cls(message.value)


class TestCodecs:
    def test_own_classes_travel_as_protobuf(self) -> None:
        codec = ProtobufMessageCodec()
        assert isinstance(Name(""), ProtobufMessage)
        assert codec.decode(Name, codec.encode(Name("é"))).text == "é"
        with pytest.raises(MessageCodecError):
            codec.encode(object())
        with pytest.raises(MessageCodecError):
            codec.decode(Name, b"\xff\xff\xff")
        with pytest.raises(MessageCodecError):
            codec.decode(dict, b"")

    def test_the_content_type_chooses_the_codec(self) -> None:
        codec = ProtobufMessageCodec()
        decoder = MessageDecoder({"shop.name": Name}, [codec])
        told = OutboxMessage(
            message_id="m-1",
            event_type="shop.name",
            payload=codec.encode(Name("x")),
            content_type="application/protobuf",
            occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        assert decoder.decode(told).text == "x"
        for wrong in (
            replace(told, content_type="text/plain"),
            replace(told, payload=b64encode(b"\xff\xff")),
            replace(told, event_type="shop.other"),
        ):
            with pytest.raises(UnreadableMessageError):
                decoder.decode(wrong)
