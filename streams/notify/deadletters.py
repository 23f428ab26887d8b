"""What could not be delivered: a file of JSON lines, one for each failure and one when it was delivered after all.

A line says which alert (by its place on the topic), which receiver and why; the alert itself stays on the topic.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec


class Undelivered(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `what` is `failed`, or `delivered` for one that was delivered later."""

    what: Literal["failed", "delivered"]
    at: datetime
    receiver: str
    alert_id: str
    partition: int
    offset: int
    attempts: int = 0
    why: str = ""

    @property
    def place(self) -> tuple[str, int, int]:
        """Receiver and place of the alert."""
        return self.receiver, self.partition, self.offset


def note(path: Path, line: Undelivered) -> None:
    """Write a line, to the disk before this returns. One that was cut short is left as it is. Raises `OSError`."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(msgspec.json.encode(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def still_undelivered(path: Path) -> list[Undelivered]:
    """The failures that were not delivered since, in order. A line that a crash cut short is passed over."""
    found: dict[tuple[str, int, int], Undelivered] = {}
    if not path.exists():
        return []
    for raw in path.read_bytes().splitlines():
        try:
            line = msgspec.json.decode(raw, type=Undelivered)
        except (msgspec.ValidationError, msgspec.DecodeError):
            continue
        if line.what == "failed":
            found[line.place] = line
        else:
            found.pop(line.place, None)
    return list(found.values())


def now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)
