"""Lodges crossings at a steady pace while faults happen, with some that a border must refuse among them."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

import msgspec

from streams.settings import Settings
from tests.integration.harbour import crossing, publisher, record_of
from tests.integration.toy import Crossed

BLANK = msgspec.json.encode(Crossed("", 0))
GARBAGE = b"\xff\x00garbage"
_BATCH = 25


class Lodger:
    """A thread that lodges `batches` batches of 25 in each partition, one every `every_s` seconds."""

    def __init__(self, settings: Settings, partitions: int, batches: int, every_s: float = 0.1) -> None:
        self._settings = settings
        self._partitions = partitions
        self._batches = batches
        self._every_s = every_s
        self._thread = threading.Thread(target=lambda: asyncio.run(self._lodge()), name="lodger")
        self.lodged = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._batches = 0
        self._thread.join()

    def finish(self) -> int:
        """Wait until all is lodged and acknowledged; returns how many. Raises what went wrong."""
        self._thread.join()
        if self.failure is not None:
            raise self.failure
        return self.lodged

    async def _lodge(self) -> None:
        topic = f"{self._settings.group}-crossings"
        try:
            async with publisher(self._settings) as to:
                batch = 0
                while batch < self._batches:
                    began = asyncio.get_running_loop().time()
                    values = [_value(batch * _BATCH + n) for n in range(_BATCH)]
                    await to.publish(topic, [record_of(v, p) for p in range(self._partitions) for v in values])
                    self.lodged += _BATCH * self._partitions
                    batch += 1
                    took = asyncio.get_running_loop().time() - began
                    await asyncio.sleep(max(0.0, self._every_s - took))
        except Exception as error:
            self.failure = error


def _value(number: int) -> Crossed | bytes:
    if number % 97 == 13:
        return BLANK
    if number % 101 == 17:
        return GARBAGE
    return crossing(number)
