"""Reads single records back from their topics: an item as it was lodged, a decision as it was made."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka.errors import KafkaError

from schemas.codec import ManifestEnvelope, Undecodable, codec_for, decode_consignment, encode
from schemas.personal import personal_fields
from streams.rebuild import LogReader
from streams.wire import decoded

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.wire import Record

_PATIENCE_S = 8.0
_READERS = 8
HIDDEN = "•••"
"""What stands in place of a personal field for who may not see it."""


class UnreadError(Exception):
    """The brokers did not give a record back in time: it may well be there."""


class Shelf:
    """Reads each record with a consumer of its own, so that a read that hangs or fails has no part in the next one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._readers = asyncio.Semaphore(_READERS)

    async def record(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at an offset; None when it never was, or retention is over. Raises `UnreadError`."""
        reader = LogReader(self._settings)
        try:
            async with asyncio.timeout(_PATIENCE_S), self._readers:
                await reader.start()
                return await _record_at(reader, topic, partition, offset)
        except LookupError:
            return None
        except (TimeoutError, KafkaError):
            raise UnreadError from None
        finally:
            await reader.stop()


async def _record_at(reader: LogReader, topic: str, partition: int, offset: int) -> Record | None:
    if partition >= await reader.partitions(topic):
        return None
    begin, end = await reader.begin(topic, partition), await reader.end(topic, partition)
    if offset < begin:
        return None
    # A consumer that is sent past the end reads all from the beginning, so it never is. The end may be further than
    # brokers say (see LogReader), never before it.
    start = min(offset, max(begin, end - 1))
    async with contextlib.aclosing(reader.read(topic, partition, start)) as chunks:
        async for records in chunks:
            if records[-1].offset >= offset:
                return next((one for one in records if one.offset == offset), None)
    return None


def as_read(record: Record, index: int = 0) -> dict[str, Any] | None:
    """The event of a record; of a manifest the envelope and the consignment at `index`. None when it is unreadable."""
    try:
        event = decoded(codec_for(record.topic).decode, record)
        if isinstance(event, ManifestEnvelope):
            mine = event.consignments[index : index + 1]
            known = tuple(msgspec.Raw(encode(decode_consignment(one))) for one in mine)
            event = msgspec.structs.replace(event, consignments=known)
    except Undecodable:  # it was readable once: the type has changed since
        return None
    return None if event is None else shown(event)


def shown(event: msgspec.Struct) -> dict[str, Any]:
    """An event with the fields that its type knows. Of others nobody has said whether they are about a person."""
    document: dict[str, Any] = msgspec.json.decode(encode(event))
    return document


def without_personal_fields(document: Any, topic: str) -> Any:
    """The document with the personal fields of its topic's events covered up."""
    for path in personal_fields(topic):
        _cover(document, path.rpartition(":")[2].replace("{}", "").split("."))
    return document


def _cover(value: Any, path: list[str]) -> None:
    if isinstance(value, list):
        for one in value:
            _cover(one, path)
        return
    if not isinstance(value, dict):
        return
    name = path[0].removesuffix("[]")
    if name not in value:
        return
    if len(path) == 1:
        value[name] = [HIDDEN] if isinstance(value[name], list) else HIDDEN
    else:
        _cover(value[name], path[1:])
