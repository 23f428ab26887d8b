"""Where chains lie: one file of entries and one of sealed heads for each partition, both only ever appended to.

    <folder>/decisions-00003.entries    65 bytes for each record, in the order of offsets
    <folder>/decisions-00003.heads      JSON lines: how many entries, the last offset, the head, when it was sealed

The entries are the state: sealing goes on after the last whole one. An entry or a head that a crash or a full disk cut
short was never promised to anybody and is written anew. A sealer begins a chain with a head over nothing: entries
without any head are those of a chain that lost its heads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from errno import ENOSPC
from io import FileIO
from pathlib import Path
from typing import Final, Self

import msgspec
import structlog

from streams.audit.chain import ENTRY_BYTES, AuditError, Entry, beginning, linked
from streams.files import closed_to_others, make_folder, sync_folder

log = structlog.get_logger("borderflow.audit")

_NAME: Final = re.compile(r"^([a-z-]+)-(\d{5,})\.(?:entries|heads)$")
_READ: Final = 4096


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sealed head: `head` (hex) commits to the first `entries` records, the last of them at `offset`."""

    topic: str
    partition: int
    entries: int
    offset: int
    head: str
    at: str


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain of one partition, to read."""

    folder: Path
    topic: str
    partition: int

    @property
    def path(self) -> Path:
        """The file of its entries."""
        return self.folder / f"{self.topic}-{self.partition:05d}.entries"

    @property
    def heads_path(self) -> Path:
        """The file of its sealed heads."""
        return self.path.with_suffix(".heads")

    def __len__(self) -> int:
        return self.path.stat().st_size // ENTRY_BYTES if self.path.exists() else 0

    def packed(self, start: int = 0, upto: int | None = None) -> Iterator[bytes]:
        """Entries as they stand in the file, from the one numbered `start` on."""
        left = (len(self) if upto is None else upto) - start
        if left <= 0:
            return
        with open(self.path, "rb") as file:
            file.seek(start * ENTRY_BYTES)
            while left > 0:
                data = file.read(min(left, _READ) * ENTRY_BYTES)
                if len(data) < ENTRY_BYTES:
                    return
                for place in range(0, len(data) - ENTRY_BYTES + 1, ENTRY_BYTES):
                    yield data[place : place + ENTRY_BYTES]
                left -= _READ

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Entries in the order of offsets."""
        return map(Entry.unpacked, self.packed(start))

    def heads(self) -> list[Head]:
        """The sealed heads, oldest first. Raises `AuditError` that names the line that cannot be read.

        A last line without an end is being written, or was cut short.
        """
        if not self.heads_path.exists():
            return []
        data = self.heads_path.read_bytes()
        return _read_heads(self.heads_path, data[: data.rfind(b"\n") + 1])


class Writer:
    """Appends to the chain of one partition. Use under `only_sealer`."""

    def __init__(self, chain: Chain) -> None:
        """Take up the chain where it ends. Raises `AuditError` when it is shorter than its heads say, or has none."""
        self.chain = chain
        count, heads = len(chain), chain.heads()
        last = heads[-1] if heads else None
        if last is None and count:
            raise AuditError(f"{chain.path}: holds {count} entries, and its heads are gone: put them back")
        if last is not None and last.entries > count:
            raise AuditError(f"{chain.path}: holds {count} entries, and a head was sealed over {last.entries}")
        self.entries = last.entries if last else 0
        self.head = bytes.fromhex(last.head) if last else beginning(chain.topic, chain.partition)
        self.last: Entry | None = None
        for packed in chain.packed(max(0, self.entries - 1), self.entries):
            self.last = Entry.unpacked(packed)
        for packed in chain.packed(self.entries, count):
            entry = Entry.unpacked(packed)
            # What a power cut left may be as long as it should be, and zeros.
            if packed.endswith(bytes(4)) or (self.last is not None and entry.offset <= self.last.offset):
                log.warning("entries that a power cut left are sealed anew", file=str(chain.path),
                            entries=count - self.entries)  # fmt: skip
                break
            self.head, self.last = linked(self.head, packed), entry
            self.entries += 1
        self.sealed = last.entries if last else -1
        if chain.heads_path.exists():
            with open(chain.heads_path, "r+b") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
        self._file = open(chain.path, "ab", buffering=0, opener=closed_to_others)  # noqa: SIM115 - closed by `close`
        self._file.truncate(self.entries * ENTRY_BYTES)
        sync_folder(chain.folder)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries; they are on the disk when this returns. Offsets must rise. Raises `OSError`: none was added."""
        before = -1 if self.last is None else self.last.offset
        packed = [one.packed() for one in entries]
        for one in entries:
            if one.offset <= before:
                raise AuditError(f"{self.chain.path}: offset {one.offset} after {before}")
            before = one.offset
        _append(self._file, b"".join(packed))
        for data in packed:
            self.head = linked(self.head, data)
        self.entries += len(packed)
        self.last = entries[-1] if entries else self.last

    def seal(self, at: str) -> Head | None:
        """Write down the head as it stands, None when nothing came since the last one. Raises `OSError`."""
        if self.entries == self.sealed:
            return None
        offset = -1 if self.last is None else self.last.offset
        head = Head(self.chain.topic, self.chain.partition, self.entries, offset, self.head.hex(), at)
        with open(self.chain.heads_path, "ab", buffering=0, opener=closed_to_others) as file:
            _append(file, msgspec.json.encode(head) + b"\n")
        if self.sealed < 0:
            sync_folder(self.chain.folder)
        self.sealed = self.entries
        return head

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Book:
    """All chains in one folder."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The book in a folder. Raises `AuditError` when there is none."""
        if not folder.is_dir():
            raise AuditError(f"{folder}: there are no audit chains here")
        return cls(folder)

    def chains(self) -> list[Chain]:
        """Its chains, by topic and partition; also one of which only the heads are there."""
        found = (_NAME.match(path.name) for path in self.folder.iterdir())
        places = {(name[1], int(name[2])) for name in found if name is not None}
        return [Chain(self.folder, *place) for place in sorted(places)]


def read_heads(path: Path) -> list[Head]:
    """The heads in a file of JSON lines, as chains keep them and `borderflow audit heads` prints them."""
    return _read_heads(path, path.read_bytes())


def _read_heads(path: Path, data: bytes) -> list[Head]:
    heads = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            head = msgspec.json.decode(line, type=Head)
            bytes.fromhex(head.head)
            if datetime.fromisoformat(head.at).tzinfo is None:
                raise ValueError("`at` has no time zone")
        except (msgspec.DecodeError, ValueError) as error:
            raise AuditError(f"{path}: line {number} is not a head: {error}") from None
        heads.append(head)
    return heads


@contextlib.contextmanager
def only_sealer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises `AuditError` when another process seals here."""
    make_folder(folder)
    with open(folder / ".lock", "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AuditError(f"{folder}: another process seals here") from None
        yield


def _append(file: FileIO, data: bytes) -> None:
    """All of it, on the disk, or nothing of it and an `OSError`: a disk may be full in the middle."""
    place = file.seek(0, os.SEEK_END)
    try:
        written = file.write(data)
        if written != len(data):
            raise OSError(ENOSPC, f"only {written} of {len(data)} bytes could be written", str(file.name))
        os.fsync(file.fileno())
    except OSError:
        file.truncate(place)
        raise
