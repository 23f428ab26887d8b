"""Reads single records back from their topics: an item as it was lodged, a decision as it was made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.codec import ManifestEnvelope, Undecodable, codec_for, decode_consignment, encode
from schemas.personal import personal_fields
from streams.rebuild import LogReader
from streams.wire import decoded

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.wire import Record

_PATIENCE_S = 8.0
HIDDEN = "•••"
"""What stands in place of a personal field for who may not see it."""


class Shelf:
    """One plain consumer, used by one request at a time."""

    def __init__(self, settings: Settings) -> None:
        self._reader = LogReader(settings)
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Connect. Raises the client's `KafkaError`."""
        await self._reader.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._reader.stop()

    async def record(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at an offset; None when it is gone, retention over, or the brokers take too long."""
        try:
            async with asyncio.timeout(_PATIENCE_S), self._lock:
                async for records in self._reader.read(topic, partition, offset, offset + 1):
                    return next((one for one in records if one.offset == offset), None)
        except (TimeoutError, LookupError):
            return None
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
