"""Where archived records lie, told by file names alone, so that what is archived is never a matter of opinion.

    <root>/topic=decisions/date=2026-03-02/00003-00000000000000001200-00000000000000001899-1of2.parquet

A chunk is a run of offsets of one partition, first to last, all of them archived. Its records lie in one part for each
date (event time, UTC). A chunk exists when all of its parts do. A chunk whose run lies within that of another whole
chunk has been compacted into it. So the whole chunks that remain follow each other without gap or overlap, or something
was lost, and `Catalogue.gaps` says where.

A crash leaves parts without the rest of their chunk in two places only: the first parts of one chunk after all others,
and parts whose run whole chunks hold (compaction, or the removal of what it replaced). All other parts without the rest
are those of a chunk that was whole and lost a file: it is torn, and nothing of its partition is read as if it were all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

TEMPORARY = ".writing"
"""Suffix of a file that is being written."""

_NAME = re.compile(r"^(\d{5,})-(\d{20})-(\d{20})-(\d+)of(\d+)\.parquet$")
_FOLDERS = re.compile(r"^topic=([a-z-]+)/date=(\d{4,}-\d{2}-\d{2})$")


class ArchiveError(Exception):
    """The archive cannot be written or read as asked; the message names the file or folder and the place in it."""


class NotReachedError(ArchiveError):
    """A log is not archived as far as is asked."""


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One file: the records of one chunk that bear one date. `number` counts from 1 to `of`."""

    topic: str
    partition: int
    first: int
    last: int
    number: int
    of: int
    date: str

    @property
    def path(self) -> str:
        """Its path below the archive's root."""
        return f"topic={self.topic}/date={self.date}/{self.named(self.number)}"

    def named(self, number: int) -> str:
        """The name of the file that is so numbered in its chunk."""
        return f"{self.partition:05d}-{self.first:020d}-{self.last:020d}-{number}of{self.of}.parquet"

    @classmethod
    def at(cls, path: str) -> Self | None:
        """The part at a path below the root, None when nothing of the archive is named so."""
        folder, _, name = path.rpartition("/")
        where, named = _FOLDERS.match(folder), _NAME.match(name)
        if where is None or named is None:
            return None
        partition, first, last, number, of = map(int, named.groups())
        return cls(where[1], partition, first, last, number, of, where[2])


@dataclass(frozen=True, slots=True, order=True)
class Chunk:
    """A whole chunk, its parts by number."""

    topic: str
    partition: int
    first: int
    last: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets that are in no file, between chunks that are. `before` is the path of the file after the gap."""

    topic: str
    partition: int
    first: int
    last: int
    before: str

    def __str__(self) -> str:
        offsets = f"offsets {self.first} to {self.last} of {self.topic}[{self.partition}]"
        return f"{self.before}: {offsets} are missing before it"


@dataclass(frozen=True, slots=True)
class Torn:
    """A chunk that was whole and is no more, for want of files mostly. `parts` are what is there of it."""

    root: Path
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        one, there = self.parts[0], {part.number for part in self.parts}
        lost = [number for number in range(1, one.of + 1) if number not in there]
        if not lost:
            return f"{self.root / one.path}: a file of its chunk lies in two folders"
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        return (
            f"{self.root}/topic={one.topic}: {one.named(lost[0])}{more} of the {one.of} files of offsets {one.first} "
            f"to {one.last} of {one.topic}[{one.partition}] are missing, so the others do not count: put them back"
        )


class Catalogue:
    """What an archive holds, as its files stand at this moment.

    `incomplete` are parts that a crash left, `superseded` those that were compacted into others.
    """

    def __init__(self, root: Path, parts: Iterable[Part]) -> None:
        self.root = root
        self.incomplete: list[Part] = []
        self.superseded: list[Part] = []
        self.torn: list[Torn] = []
        self._chunks: dict[tuple[str, int], list[Chunk]] = {}
        runs: dict[tuple[str, int], dict[tuple[int, int, int], list[Part]]] = {}
        for part in sorted(parts):
            runs.setdefault((part.topic, part.partition), {}).setdefault((part.first, part.last, part.of), []).append(
                part
            )
        for place, found in runs.items():
            self._chunks[place] = self._sorted(place, found)

    def _sorted(self, place: tuple[str, int], runs: dict[tuple[int, int, int], list[Part]]) -> list[Chunk]:
        """The whole chunks of a partition; the parts that are not of one are noted by what became of theirs."""
        reached = -1
        whole: list[Chunk] = []
        partial: list[list[Part]] = []
        for (first, last, of), parts in sorted(runs.items(), key=lambda run: (run[0][0], -run[0][1], run[0][2])):
            if [part.number for part in parts] != list(range(1, of + 1)):
                partial.append(parts)
            elif last <= reached:
                self.superseded += parts
            elif first <= reached:
                raise ArchiveError(f"{self.root / parts[0].path}: overlaps the files before it")
            else:
                reached = last
                whole.append(Chunk(*place, first, last, tuple(parts)))
        torn = [parts for parts in partial if not _held(parts[0], whole)]
        if len(torn) == 1 and torn[0][0].first > reached and torn[0][-1].number == len(torn[0]):
            torn = []  # it was being written
        self.incomplete += [part for parts in partial if parts not in torn for part in parts]
        self.torn += [Torn(self.root, tuple(parts)) for parts in torn]
        return whole

    @classmethod
    def of(cls, root: Path) -> Self:
        """Look through the folders of `root`. Raises `ArchiveError` when there is no such folder."""
        if not root.is_dir():
            raise ArchiveError(f"{root}: there is no archive here")
        made = cls(root, _parts(root))
        # Folders are read one after another, and the archiver may have written a chunk meanwhile: look again.
        return cls(root, _parts(root)) if made.torn else made

    @property
    def places(self) -> list[tuple[str, int]]:
        """Every topic and partition with a chunk that is whole or was, in order."""
        torn = {(one.parts[0].topic, one.parts[0].partition) for one in self.torn}
        return sorted(torn.union(place for place, chunks in self._chunks.items() if chunks))

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic that something is archived of."""
        return [partition for name, partition in self.places if name == topic]

    def chunks(self, topic: str, partition: int) -> list[Chunk]:
        """The chunks of a partition, in the order of offsets. Raises `ArchiveError` when one is torn."""
        for one in self.torn:
            if (one.parts[0].topic, one.parts[0].partition) == (topic, partition):
                raise ArchiveError(str(one))
        return self.whole(topic, partition)

    def whole(self, topic: str, partition: int) -> list[Chunk]:
        """The chunks of a partition that are whole, whatever became of others."""
        return self._chunks.get((topic, partition), [])

    def files(self, topic: str, since: str = "") -> list[Path]:
        """The files that hold the records of a topic, each record in exactly one: those of a date, and later."""
        return [self.root / part.path for part in self.parts(topic) if part.date >= since]

    def parts(self, topic: str) -> list[Part]:
        """The same for all dates."""
        return [
            part
            for partition in self.partitions(topic)
            for chunk in self.chunks(topic, partition)
            for part in chunk.parts
        ]

    def end(self, topic: str, partition: int) -> int | None:
        """The offset after the last one archived, None when nothing is."""
        chunks = self.chunks(topic, partition)
        return chunks[-1].last + 1 if chunks else None

    def gaps(self) -> list[Gap]:
        """Runs of offsets that are missing between whole chunks."""
        return [
            Gap(topic, partition, earlier.last + 1, later.first - 1, str(self.root / later.parts[0].path))
            for topic, partition in self.places
            for earlier, later in pairwise(self.whole(topic, partition))
            if later.first != earlier.last + 1
        ]


def remove_remains(root: Path) -> list[Path]:
    """Remove what a crash left: files being written, and parts of chunks that never became whole. Says which.

    Only the one writer of an archive may call this.
    """
    remains = [*root.glob(f"topic=*/date=*/*{TEMPORARY}"), *root.glob(f"policies/*{TEMPORARY}")]
    # From the last on, so that what a crash leaves now are the first parts still.
    remains += [root / part.path for part in reversed(Catalogue.of(root).incomplete)]
    for path in remains:
        path.unlink()
    return remains


def _parts(root: Path) -> list[Part]:
    found = (Part.at(path.relative_to(root).as_posix()) for path in root.glob("topic=*/date=*/*.parquet"))
    return [part for part in found if part is not None]


def _held(part: Part, whole: Iterable[Chunk]) -> bool:
    """Whether chunks, given in order, hold all offsets of the chunk of a part."""
    reached = part.first
    for chunk in whole:
        if chunk.first <= reached <= chunk.last:
            reached = chunk.last + 1
    return reached > part.last
