"""Reads single records back from their topics: an item as it was lodged, a decision as it was made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.personal import personal_fields
from streams.rebuild import LogReader

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


def as_lodged(value: bytes, index: int) -> dict[str, Any]:
    """A lodgement as it was sent; of a manifest the envelope and the one consignment at `index`."""
    document: dict[str, Any] = msgspec.json.decode(value)
    consignments = document.get("consignments")
    if isinstance(consignments, list):
        document["consignments"] = consignments[index : index + 1]
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
