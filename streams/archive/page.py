"""`docs/archive.md`: written from the layout and the columns (`python -m streams.archive.page`); a test compares."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa

from schemas.registry import declarations
from streams.archive.envelope import ENVELOPE, RAW_ONLY, Column
from streams.archive.questions import NAMED
from streams.archive.rows import holds_personal_data
from streams.archive.topic_columns import COLUMNS, DEAD_LETTER
from streams.archive.views import JOINS, view_name

PATH: Final = Path("docs/archive.md")

_HEAD: Final = """\
# The archive

`borderflow archive` writes every record of every topic to Parquet files (zstd), once. They are for questions
(`borderflow query`), for replay and proof (`borderflow replay`), and for any other tool that reads Parquet.
This page is written from the code (`python -m streams.archive.page`); a test compares the two.

## Running it

    borderflow archive                     # until Ctrl-C; --once: what is there now
    borderflow archive status              # records, files, dates; exit code 1 when files or offsets are missing
    borderflow archive status --check      # reads every file to its end, too: by checksums, with the key by MACs
    borderflow archive tidy --keep-days 3650 --keep-personal-days 180
    borderflow archive keep-policy FILE    # so that what this policy decided can be recomputed

One process writes one folder (`BORDERFLOW_ARCHIVE_DIR`, or `--dir`); a second one is refused. It takes all partitions,
so it needs no group to share them; it commits offsets to the group `<group>-archive`, so that lag can be watched.

- **Exactly once.** What is archived is what the files say. At start what a crash left is removed, and each partition is
  read on from the end of its files. A kill at any moment loses nothing and doubles nothing.
- **Redelivery.** Between steps a record may be delivered twice (docs/adr/0003-the-log-is-the-state.md). Both are kept;
  the views show the first: by what it follows from where a worker wrote it, else by `ce_id` and `ce_source`. A
  lodgement or result that was refused and sent again has the id that it had; `latest_results` and `outcomes` take the
  later one.
- **What cannot be read** is archived all the same; `unreadable` says why.
- **It stops, loudly,** with exit code 1, when the disk has less room than `--free`, when a write fails, when
  brokers are away, or when they deleted records before they were archived (`--accept-gaps` goes on; the gap stays on
  record). Nothing that was not written was committed: start it again. Records wait in memory for `--every`
  seconds at most, 128 MiB at most.
- **An archive is of one cluster.** At its start, and before it writes what waits of a partition, it looks whether the
  log has become shorter and whether the record that it archived last still stands there. If not it stops: brokers or
  topics were made anew, or lost what they had acknowledged. Begin a new folder.
- **It is of one key.** Where the last file of a partition was written with another key than the one that is set, or
  with none, it stops.
- **Compaction and retention** run every hour beside it. Small chunks are put together, by topic, partition and date.
  Retention empties a file and leaves it in place, so it stays known that there were records. Nothing is taken out of
  `labelled-examples`, `criteria` and `risk-information`, whatever days are given: they are folded from their first
  record on, and what they say of persons goes with the archive's key. A fold that meets records that an earlier version
  took out is refused.

## Layout

    <root>/topic=decisions/date=2026-03-02/00003-00000000000000001200-00000000000000001899-1of2.parquet
    <root>/policies/default-1+c291aad459.json

A chunk is a run of offsets of one partition (`00003`, first, last); its records lie in one part for each date of event
time (UTC). It counts when all its parts are there. Files are written under a temporary name, synced, and renamed. The
metadata entry `borderflow.chunk` says the same again as JSON, with the missing offsets (compaction on the brokers), the
marks by which redeliveries are told, how it is sealed, and what retention took out. Pages carry checksums. Where the
archive has a key, `borderflow.mac` is a MAC over the whole file (docs/adr/0021-a-mac-over-each-archive-file.md), and
the file has format 2, which versions before it refuse. Owner and group can read files and folders, others cannot.

A compacted chunk covers the small ones within its run; those are removed in the next round, after it was read and
counted. Tools that read the files themselves should read them through `streams.archive.layout.Catalogue`, or stop the
archiver and tidy up twice.

A crash leaves the first parts of the newest chunk, or parts of what whole chunks hold as well; they are removed at the
next start. A chunk that lost a file otherwise is *torn*: `archive status` names the file, what reads that partition is
refused, the archiver does not start, and nothing is removed. Put the file back, from a backup say. Without one, move
the rest of its chunk out of the archive: that makes a gap, or, at the end, lets the archiver read these offsets again.

## Records about persons

Records of topics that hold personal data are sealed whole (AES-256-GCM), and only what is not about a person stands in
columns of its own. The key is the archive's own (`BORDERFLOW_ARCHIVE_KEY_FILE`, 32 bytes or more), not that of the
pseudonyms: `head -c 32 /dev/urandom | base64 > archive.key`. Each file has a key derived from it. DuckDB reads all
columns but `sealed` without any key. Whoever loses the key loses the sealed records; destroying it erases them.
Production refuses to archive without one. In development records then stand **unprotected**, and `borderflow archive`
and `archive status` say so. To change the key begin a new folder.

Sealed is the value. Key, headers and timestamp of a record stand in clear in the raw views' columns, as they came: a
lodger whose record keys or headers name a person writes that into the archive in clear. The topics' contracts ask for
none of that.

## What tells of a change

- The **MAC** of a file is over everything in it: values, columns, and what it says of itself. Who has no key can make
  none. With the key whatever reads records (`replay`, `simulate`, `audit verify`, the archiver itself) refuses a file
  that is not as it was written; `archive status --check` names all of them. `borderflow query` reads columns and looks
  at no MAC, unless it is told to: `query --check` reads the files of the topics in question first, and refuses to
  answer from one that was altered.
- Files of an earlier version, and of an archive without a key, have **no MAC**. `archive status` counts them by topic
  (`without_mac`). The archiver gives none to a file that had none, and puts the two kinds together in no compaction.
  Each file with a MAC says from which offset of its partition on all files have one; from there on a file without is
  refused. Where the MACs of a whole partition were taken off there is no such file: that is what
  `audit verify --from archive` tells with the key ("no MAC"), unless `--macs-since` says that the files are older. Of
  files without a MAC it compares the values with the chains, and the columns with the values.
- `digest` tells of a record whether it is as it was archived, not where: of that the MAC and the chains tell.

## Views

Every view has the columns of its topic and of the envelope, and `date`. `raw_<view>` has all columns and deliveries.
Columns are empty where an event does not have the field.

### Envelope

| column | type | what it is |
|---|---|---|
"""

_QUESTIONS: Final = """\
## Questions by name

`borderflow query --named NAME --since 7d --until 2026-03-09 --format table|csv|parquet|json [--output FILE]`

| name | what it answers |
|---|---|
"""


def archive_page() -> str:
    """The text of the page."""
    lines = [_row(name, kind, f"{meaning}{' (raw views only)' if name in RAW_ONLY else ''}")
             for name, kind, meaning in ENVELOPE]  # fmt: skip
    text = _HEAD + "\n".join(lines) + "\n"
    for topic in declarations():
        sealed = "sealed" if holds_personal_data(topic) else "not sealed: no personal data"
        text += f"\n### {view_name(topic)}\n\n{declarations()[topic].description} Records are {sealed}.\n\n"
        text += _table(COLUMNS[topic])
    text += "\n### <topic>_dlq\n\nDead letters of each topic, e.g. `express_cargo_dlq`. Sealed as their topic is.\n\n"
    text += _table(DEAD_LETTER)
    for name, (_, meaning) in JOINS.items():
        text += f"\n### {name}\n\nA join: {meaning}.\n"
    return text + "\n" + _QUESTIONS + "\n".join(f"| {name} | {one.meaning} |" for name, one in NAMED.items()) + "\n"


def _table(columns: tuple[Column, ...]) -> str:
    rows = "\n".join(_row(one.name, one.type, one.meaning) for one in columns)
    return f"| column | type | what it is |\n|---|---|---|\n{rows}\n"


def _row(name: str, kind: pa.DataType, meaning: str) -> str:
    return f"| {name} | {_named(kind)} | {meaning} |"


def _named(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_named(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "(" + ", ".join(f"{one.name} {_named(one.type)}" for one in kind) + ")"
    names = {"int64": "integer", "int32": "integer", "double": "number", "string": "text", "bool": "true or false"}
    return "time" if pa.types.is_timestamp(kind) else names.get(str(kind), "bytes")


if __name__ == "__main__":
    PATH.write_text(archive_page(), encoding="utf-8")
