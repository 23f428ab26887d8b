"""Makes lodgements ahead of time in a thread, so that making them never delays lodging them.

A simulated world makes a slice of a day at once, which may take tens of milliseconds; an open-loop driver that waited
for it would be late and measure itself.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from typing import Generic, Self, TypeVar

T = TypeVar("T")

SWITCH_S = 0.001
"""How long the maker may hold the interpreter while the driver waits (Python's own default is 5 ms)."""


class Ahead(Generic[T], Iterator[T]):
    """The values of `source`, at most `room` of them made in advance; ends early after `close`.

    What `source` raises is raised to the reader, in its place in the sequence.
    """

    def __init__(self, source: Iterator[T], room: int = 4_000) -> None:
        self._made: queue.Queue[T | None] = queue.Queue(room)
        self._closed = threading.Event()
        self._error: BaseException | None = None
        sys.setswitchinterval(SWITCH_S)
        threading.Thread(target=self._make, args=(source,), name="lodgements", daemon=True).start()

    def close(self) -> None:
        """End the sequence for its reader; what was made and not read is dropped."""
        self._closed.set()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        made = None if self._closed.is_set() else self._made.get()
        if made is None:
            self._closed.set()
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            raise StopIteration
        return made

    def _make(self, source: Iterator[T]) -> None:
        try:
            for value in source:
                if not self._put(value):
                    return
        except BaseException as error:
            self._error = error
        self._put(None)

    def _put(self, value: T | None) -> bool:
        while not self._closed.is_set():
            try:
                self._made.put(value, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False
