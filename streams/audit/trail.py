"""A small audit trail of one process: JSON lines, each bound to all before it by its hash.

For what is not a record on a topic: who looked at what in the console, who signed in, who was refused. One process
writes one file. Whoever keeps a head elsewhere (`Trail.head`) can tell that nothing up to it was changed, dropped or
moved; without one, only that the lines fit each other.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from streams.audit.chain import AuditError
from streams.files import closed_to_others, make_folder, sync_folder

_BEGIN: Final = sha256(b"\x02borderflow trail 1\n").hexdigest()


@dataclass(frozen=True, slots=True)
class TrailHead:
    """How many lines a trail has, and the hash of the last one, which commits to all of them."""

    lines: int
    hash: str

    def __str__(self) -> str:
        return f"{self.lines}:{self.hash}"


@dataclass(frozen=True, slots=True)
class TrailBroken:
    """The first line (from 1) that does not follow from those before it, and why."""

    line: int
    why: str


class Trail:
    """Appends entries to a trail. Safe to share between threads."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Open a trail, or begin one. Raises `AuditError` when it is broken, or another process writes it.

        A last line that a crash cut short was never confirmed to anybody; it is removed.
        """
        make_folder(path.parent)
        self.path = path
        self._now = now
        self._lock = threading.Lock()
        self._file = open(path, "a+b", opener=closed_to_others)  # noqa: SIM115 - closed by `close`
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AuditError(f"{path}: another process writes this trail") from None
        sync_folder(path.parent)
        whole = _whole_bytes(path)
        if whole < path.stat().st_size:
            self._file.truncate(whole)
        found = check_trail(path)
        if isinstance(found, TrailBroken):
            self._file.close()
            raise AuditError(f"{path}: line {found.line}: {found.why}")
        self._head = found

    @property
    def head(self) -> TrailHead:
        """The head as it stands: print it, send it away, keep it elsewhere."""
        return self._head

    def append(self, entry: Mapping[str, Any]) -> TrailHead:
        """Write an entry (what JSON can hold); it is on the disk when this returns. Raises `OSError`, `TypeError`."""
        with self._lock:
            head = self._head
            line = {"line": head.lines + 1, "at": self._now().isoformat(timespec="milliseconds"), "entry": dict(entry)}
            text = _canonical(line)
            made = _hash(head.hash, text)
            self._write(_canonical({**line, "hash": made}).encode() + b"\n")
            self._head = TrailHead(head.lines + 1, made)
            return self._head

    def _write(self, data: bytes) -> None:
        place = os.fstat(self._file.fileno()).st_size
        try:
            os.write(self._file.fileno(), data)
            os.fsync(self._file.fileno())
            written = os.fstat(self._file.fileno()).st_size - place
        except OSError:
            os.ftruncate(self._file.fileno(), place)
            raise
        if written != len(data):
            os.ftruncate(self._file.fileno(), place)
            raise OSError(f"{self.path}: only {written} of {len(data)} bytes of a line could be written")

    def close(self) -> None:
        """Close the file and let others write it."""
        self._file.close()


def check_trail(path: Path, held: TrailHead | None = None) -> TrailHead | TrailBroken:
    """Check every line of a trail, and that it passes through a head that was `held` elsewhere.

    Returns its head, or the first line that does not fit.
    """
    head, at_held = TrailHead(0, _BEGIN), held is None or (held.lines, held.hash) == (0, _BEGIN)
    for data in _lines(path):
        number = head.lines + 1
        try:
            line = json.loads(data)
            written = _canonical(line).encode() + b"\n"
            said = line.pop("hash")
            text = _canonical(line)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            return TrailBroken(number, "is not a line of a trail")
        if line.get("line") != number:
            return TrailBroken(number, f"says that it is line {line.get('line')}: lines were dropped, added or moved")
        if written != data:  # a field that stands in it twice, of which the last counts, or other spaces
            return TrailBroken(number, "is not as a trail writes it: it was changed")
        if _hash(head.hash, text) != said:
            return TrailBroken(number, "does not fit its hash: it, or the line before it, was changed")
        head = TrailHead(number, said)
        if held is not None and held.lines == number:
            if held.hash != said:
                return TrailBroken(number, "is not the line that the held head was taken from")
            at_held = True
    if not at_held and held is not None:
        return TrailBroken(head.lines + 1, f"is missing: the trail had {held.lines} lines when the held head was taken")
    return head


def _lines(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # a line without an end is being written, or was cut by a crash
                yield line


def _whole_bytes(path: Path) -> int:
    whole = 0
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                whole += len(line)
    return whole


def _canonical(line: Mapping[str, Any]) -> str:
    return json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _hash(before: str, text: str) -> str:
    return sha256(b"\x01" + before.encode() + b"\n" + text.encode()).hexdigest()
