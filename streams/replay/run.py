"""Runs a replay into files: parts of JSON lines that are the same every time, and a checkpoint after each.

A part is written under a temporary name, synced and renamed, then the checkpoint, then the manifest that names both by
their sha256. A replay that was stopped goes on after the last part in the manifest, with the very states it had.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import msgspec

from agents.identity import subject_key
from agents.step import Arrival, Output
from schemas.codec import Undecodable, codec_for
from streams.archive.layout import ArchiveError
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.collector import look_rarely
from streams.files import is_ours
from streams.replay.engine import KNOWLEDGE, Decider, Written
from streams.replay.history import Place, ends_of, happened, happened_ms, lasts
from streams.wire import Decode, header, sent_ms

BATCH: Final = 500
MANIFEST: Final = "replay.json"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is replayed; two replays of one plan over one archive write the same bytes. Times in ms of event time.

    Lodgements whose records bear a time from `warm_ms` on are decided so that states are as they would be; what follows
    from those from `since_ms` to before `until_ms` is written. `pseudonyms` is the `key_id` of the pseudonym key,
    `sink` the prefix of the topics that outputs are sent to, empty for files alone.
    """

    since_ms: int
    until_ms: int
    warm_ms: int
    policy: str
    partitions: int
    pseudonyms: str = ""
    sink: str = ""
    part_records: int = 100_000
    """Lodgements to a part; after each the states are written, which takes some seconds where there is much of them."""


class Part(msgspec.Struct, frozen=True):
    """A file of the replay."""

    name: str
    sha256: str
    lines: int


class Manifest(msgspec.Struct, kw_only=True):
    """What a replay has written, and what it is a replay of. `checkpoint` is the sha256 of that file.

    `ends` are the archive's ends (by topic/partition) when the replay began, to which it goes on however the archive
    grows; `archive` tells it from others (`streams.replay.history.lasts`). `items` are the lodgements that what is
    written follows from.
    """

    plan: Plan
    made_with: str
    archive: dict[str, str] = msgspec.field(default_factory=dict)
    ends: dict[str, int] = msgspec.field(default_factory=dict)
    parts: list[Part] = msgspec.field(default_factory=list)
    checkpoint: str = ""
    complete: bool = False
    items: int = 0
    decided: int = 0
    refused: dict[str, int] = {}


class Sink(Protocol):
    """Where outputs go besides the files."""

    def send(self, outputs: list[Output]) -> None:
        """Deliver outputs; they are there when this returns."""


def key_id(pseudonym_key: bytes) -> str:
    """Tells pseudonym keys apart without telling anything of them."""
    return subject_key("key", "borderflow replay", pseudonym_key)


@contextmanager
def only_replay(folder: Path) -> Iterator[None]:
    """Hold a replay's folder. Raises `ArchiveError` when another process does."""
    _make(folder)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(f"{folder}: another replay is writing here") from None
        yield


def software() -> str:
    """What a checkpoint is bound to: it is never read by another version."""
    return f"borderflow {version('borderflow')}, Python {platform.python_version()}"


class Replay:
    """One replay into one folder."""

    def __init__(self, reader: ArchiveReader, folder: Path, plan: Plan, new_engine: Callable[[], Decider]) -> None:
        self._reader = reader
        self._folder = folder
        self._plan = plan
        _make(folder)
        self.manifest = self._resumed()
        self.was_complete = self.manifest.complete
        self._positions: dict[Place, int] = {}
        self._part: BinaryIO | None = None
        self._digest, self._count, self._lodged = hashlib.sha256(), 0, 0
        self._engine = new_engine()
        if self.manifest.parts and not self.manifest.complete:
            self._restore()

    def run(
        self,
        *,
        noticed: Callable[[int], None] = lambda count: None,
        speed: float | None = None,
        sink: Sink | None = None,
    ) -> Manifest:
        """Go on to the end. `speed` is event seconds a second, None for as fast as it goes. Raises `ArchiveError`."""
        plan, batch, kept = self._plan, list[Arrival[Any]](), False
        if self.was_complete:
            return self.manifest
        look_rarely()
        began: tuple[float, int] | None = None
        for one in happened(self._reader, self._positions, plan.warm_ms, plan.until_ms, ends=self.manifest.ends):
            record = one.record
            other = record.topic in KNOWLEDGE or kept != (record.timestamp >= plan.since_ms)
            if batch and (other or len(batch) >= BATCH):
                self._decide(batch, kept, sink)
                batch = []
                if self._lodged >= plan.part_records:
                    self._write_part(sink)
            self._positions[record.topic, record.partition] = record.offset + 1
            if record.topic in KNOWLEDGE:
                if one.refused is None:
                    self._engine.learn(
                        record.topic, record.offset, (record.key or b"").decode(errors="replace"), one.event
                    )
                continue
            kept = record.timestamp >= plan.since_ms
            if speed is not None and kept:
                began = began or (time.monotonic(), record.timestamp)
                ahead = (record.timestamp - began[1]) / 1000 / speed - (time.monotonic() - began[0])
                if ahead > 0:
                    time.sleep(ahead)
            noticed(1)
            if one.refused is not None:
                if kept:
                    self._engine.refuse(one.refused)
                continue
            batch.append(
                Arrival(one.event, record.topic, record.partition, record.offset, record.timestamp, sent_ms(record))
            )
        self._decide(batch, kept, sink)
        self.manifest.complete, self.manifest.checkpoint = True, ""
        self._write_part(sink)
        return self.manifest

    def close(self) -> None:
        """Let go of the engine and of a part that was not finished."""
        self._engine.close()
        if self._part is not None:
            self._part.close()

    def _decide(self, batch: list[Arrival[Any]], kept: bool, sink: Sink | None) -> None:
        self._lodged += len(batch)
        self.manifest.items += len(batch) * kept
        self._take(self._engine.decide(batch, kept), sink)

    def _take(self, made: list[Written], sink: Sink | None) -> None:
        for one in made:
            self.manifest.decided += one.decided
            if not one.records:
                continue
            if self._part is None:
                self._part = self._opened(self._next + ".writing")
            self._part.write(one.lines)
            self._digest.update(one.lines)
            self._count += one.records
            if sink is not None:
                sink.send(list(one.outputs))

    # -- files

    @property
    def _next(self) -> str:
        return f"part-{len(self.manifest.parts):06d}.jsonl"

    def _write_part(self, sink: Sink | None) -> None:
        self._take(self._engine.finish(), sink)
        manifest = self.manifest
        if self._part is not None:
            self._part.flush()
            os.fsync(self._part.fileno())
            self._part.close()
            os.replace(self._part.name, self._folder / self._next)
            manifest.parts.append(Part(self._next, self._digest.hexdigest(), self._count))
            self._part = None
        self._digest, self._count, self._lodged = hashlib.sha256(), 0, 0
        if not manifest.complete:
            states = pickle.dumps((self._engine.states, self._positions))
            manifest.checkpoint = hashlib.sha256(states).hexdigest()
            self._write(self._checkpoint.name, states)
        manifest.refused = dict(sorted(self._engine.refused.items()))
        self._write(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        for file in self._folder.glob("checkpoint-*"):  # those that no manifest names any more
            if manifest.complete or file != self._checkpoint:
                file.unlink()

    @property
    def _checkpoint(self) -> Path:
        """The file of the checkpoint that the manifest names: one that was written after it is beside it."""
        return self._folder / f"checkpoint-{self.manifest.checkpoint[:16]}"

    def _write(self, name: str, data: bytes) -> None:
        with self._opened(name + ".writing") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, self._folder / name)

    def _opened(self, name: str) -> BinaryIO:
        return open(self._folder / name, "wb", opener=_for_the_owner)

    def _resumed(self) -> Manifest:
        file = self._folder / MANIFEST
        if not file.exists():
            ends = ends_of(self._reader.catalogue)
            return Manifest(plan=self._plan, made_with=software(), archive=lasts(self._reader, ends), ends=ends)
        try:
            manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
        except msgspec.DecodeError as error:
            raise ArchiveError(f"{file}: is no manifest of a replay: {error}") from None
        if manifest.made_with != software():
            raise ArchiveError(f"{file}: begun with {manifest.made_with}, this is {software()}; name a new folder")
        if manifest.plan != self._plan:
            raise ArchiveError(
                f"{file}: another replay is in this folder (of other times, another policy, pseudonym key or prefix); "
                "name a new one"
            )
        ends = ends_of(self._reader.catalogue)
        held = lasts(self._reader, manifest.ends)
        others = any(held.get(place, said) != said for place, said in manifest.archive.items())
        if others or any(ends.get(place, 0) < end for place, end in manifest.ends.items()):
            raise ArchiveError(f"{file}: is a replay of another archive (its records are others); name a new folder")
        for part in manifest.parts:
            path = self._folder / part.name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != part.sha256:
                raise ArchiveError(f"{path}: is not what the manifest says (sha256); name a new folder")
        return manifest

    @property
    def grown(self) -> bool:
        """Whether more was archived after this replay began."""
        return ends_of(self._reader.catalogue) != self.manifest.ends

    def _restore(self) -> None:
        """Take on the states of the checkpoint, and fold the knowledge that came before it."""
        path = self._checkpoint
        ours, data = True, b""
        if path.is_file():
            with open(path, "rb") as file:
                ours, data = is_ours(file), file.read()
        if not ours:  # unpickled, a file may do whatever its writer likes, who can have written its hash, too
            raise ArchiveError(f"{path}: others than you can have written it; name a new folder")
        if hashlib.sha256(data).hexdigest() != self.manifest.checkpoint:
            raise ArchiveError(f"{path}: is not what the manifest says (sha256); name a new folder")
        states, self._positions = pickle.loads(data)  # noqa: S301 - our own file, checked, bound to this version
        self._engine.restore(states)
        for topic in KNOWLEDGE:
            decode = codec_for(topic).decode
            for record in self._reader.records(topic, 0, 0, self._positions.get((topic, 0), 0)):
                if happened_ms(record) < self._plan.until_ms:
                    self._learn(record, decode)

    def _learn(self, record: Archived, decode: Decode) -> None:
        try:
            event = decode(record.value, header(record.headers, "ce_type"))
        except Undecodable:
            return  # every worker skipped it alike
        self._engine.learn(record.topic, record.offset, (record.key or b"").decode(errors="replace"), event)


def _make(folder: Path) -> None:
    """Make a replay's folder, for its owner alone: alerts have names."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
