"""The archive's files: exact bytes, whole chunks, and a clear word on what is wrong with one."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import TopicPartition

from agents.risk.policy import version_of
from schemas.codec import encode
from schemas.documents import examples
from schemas.marks import Upstream
from schemas.personal import personal_fields
from schemas.registry import declarations
from streams.archive import consuming
from streams.archive.columns import columns_of
from streams.archive.consuming import Archiver, Pace, Waiting, archived_topics
from streams.archive.envelope import EARLIEST_MS, LATEST_MS
from streams.archive.layout import ArchiveError, Catalogue, Part, remove_remains
from streams.archive.policies import OtherSoftwareError, PolicyShelf
from streams.archive.reading import ArchiveReader, chunk_facts, last_digest
from streams.archive.redeliveries import LETTERS, Marks
from streams.archive.rows import Archived, RowReader
from streams.archive.sealing import ArchiveKey
from streams.archive.tidying import compact, damaged, keep_days, remove_superseded, retire
from streams.archive.views import connect
from streams.archive.writing import MAC, write_chunk, write_part
from streams.cli import main
from streams.policies import built_in_policy
from streams.settings import Settings
from tests.archive_files import DAY_MS, KEY, example_records, full_disk, parcels, read, write
from tests.integration.border import parcel


@pytest.mark.parametrize("topic", declarations())
@pytest.mark.parametrize("key", [None, KEY], ids=["unprotected", "sealed"])
def test_every_topic_comes_back_byte_for_byte(topic: str, key: ArchiveKey | None, tmp_path: Path) -> None:
    records = example_records(topic)
    write(tmp_path, records, key)
    back = read(tmp_path, topic, key=key)
    assert back == records


AFTERWARDS = "2026-03-09"
"""After every record of these tests."""


def test_empty_values_tombstones_and_broken_records_come_back_as_they_were(tmp_path: Path) -> None:
    values: list[bytes | None] = [None, b"", b"\xff garbage", b'{"event":"CriterionPublished"']
    template = example_records("criteria")[0]
    records = [
        type(template)("criteria", 0, offset, 5, None, value, [("no-value", None)])  # type: ignore[list-item]  # Kafka allows it
        for offset, value in enumerate(values)
    ]
    write(tmp_path, records, KEY)
    assert read(tmp_path, "criteria", key=KEY) == records
    reasons = pq.read_table(tmp_path / "topic=criteria").column("unreadable").to_pylist()
    assert reasons == [None, "empty-value", "not-json", "not-json"]


@pytest.mark.parametrize("stamped", [-(2**62), 2**62, EARLIEST_MS - 1, LATEST_MS + 1])
def test_a_record_stamped_outside_of_all_calendars_comes_back_and_spoils_no_question(
    stamped: int, tmp_path: Path
) -> None:
    records = parcels(6)
    records[2] = replace(records[2], timestamp=stamped)
    write(tmp_path, records, KEY, size=1)
    for _ in range(2):
        assert read(tmp_path, "express-cargo", key=KEY) == records
        times = connect(Catalogue.of(tmp_path)).execute('SELECT "offset", stamped_at FROM express_cargo').fetchall()
        assert [place for place, at in sorted(times) if at is None] == [2]
        compact(tmp_path, KEY, fewest=2)


def test_the_first_and_the_last_time_of_the_calendar_stand_where_times_stand(tmp_path: Path) -> None:
    records = parcels(2)
    records[0], records[1] = replace(records[0], timestamp=EARLIEST_MS), replace(records[1], timestamp=LATEST_MS)
    write(tmp_path, records)
    assert read(tmp_path, "express-cargo") == records
    times = connect(Catalogue.of(tmp_path)).execute("SELECT stamped_at FROM express_cargo").fetchall()
    assert sorted(at.year for (at,) in times) == [1, 9999]


def test_a_time_that_a_zone_carries_out_of_the_calendar_spoils_no_question(tmp_path: Path) -> None:
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    last = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12)))
    records = parcels(3)
    records[1] = replace(records[1], value=encode(parcel(1, lodged_at=first, eta=last)))
    write(tmp_path, records, KEY)
    assert read(tmp_path, "express-cargo", key=KEY) == records
    rows = connect(Catalogue.of(tmp_path)).execute("SELECT lodged_at, eta FROM express_cargo").fetchall()
    assert sorted(row == (None, None) for row in rows) == [False, False, True]


@pytest.mark.parametrize(
    "attempt",
    ["²", "9" * 30, "9" * 19, "-1", "1.5", "", "٣"],
    ids=["power", "long", "too-long", "negative", "part", "none", "arabic"],
)
def test_a_dead_letter_with_an_odd_number_stops_nothing(attempt: str, tmp_path: Path) -> None:
    plain = example_records("criteria")[0]
    headers = [("dlq-attempt", attempt.encode()), ("dlq-offset", b"7")]
    records = [replace(plain, topic="criteria-dlq", offset=n, headers=headers if n == 1 else []) for n in range(3)]
    write(tmp_path, records)
    assert read(tmp_path, "criteria-dlq") == records
    rows = connect(Catalogue.of(tmp_path)).execute("SELECT attempt, source_offset FROM criteria_dlq").fetchall()
    assert sorted(rows, key=str) == [(None, 7), (None, None)]


def test_a_number_that_no_column_holds_stops_nothing(tmp_path: Path) -> None:
    value = examples("casework", 1)["criterion-feedback.json"]
    huge = re.sub(rb'("criterion_version": ?)\d+', rb"\g<1>" + b"9" * 30, value)
    records = [replace(one, topic="casework", value=value, headers=[]) for one in parcels(3)]
    records[1] = replace(records[1], value=huge)
    write(tmp_path, records, KEY)
    assert read(tmp_path, "casework", key=KEY) == records
    rows = connect(Catalogue.of(tmp_path)).execute("SELECT criterion_version > 0, unreadable FROM casework").fetchall()
    assert sorted(rows, key=str) == [(None, "out-of-bounds"), (True, None), (True, None)]


def parts(root: Path) -> list[Part]:
    catalogue = Catalogue.of(root)
    return [part for place in catalogue.places for chunk in catalogue.whole(*place) for part in chunk.parts]


def without_mac(root: Path, change: Callable[[pa.Table], pa.Table], **facts: object) -> None:
    """Write every file anew without the key, as an earlier version wrote them, and anybody can."""
    for part in parts(root):
        table = pq.read_table(root / part.path, partitioning=None)
        said = msgspec.structs.replace(chunk_facts(root / part.path, part), **facts)
        write_part(root, part, change(table.replace_schema_metadata(None)), said)


def test_files_from_before_a_column_was_added_are_read_on(tmp_path: Path) -> None:
    records = parcels(3)
    write(tmp_path, records, KEY)
    without_mac(tmp_path, lambda table: table.drop_columns(["timestamp_ms"]))
    assert read(tmp_path, "express-cargo", key=KEY) == records
    write(tmp_path, parcels(3, first=3), KEY, macs_from=3)
    assert len(connect(Catalogue.of(tmp_path)).execute("SELECT timestamp_ms FROM raw_express_cargo").fetchall()) == 6


def test_what_a_file_says_of_itself_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, parcels(3), KEY)
    reader, (part,) = ArchiveReader(Catalogue.of(tmp_path), KEY), parts(tmp_path)
    said = reader.facts(part)
    (tmp_path / part.path).unlink()
    assert reader.facts(part) is said


def test_nothing_about_a_person_is_legible_in_a_sealed_archive(tmp_path: Path) -> None:
    for topic in declarations():
        write(tmp_path, example_records(topic), KEY)
    files = list(tmp_path.rglob("*.parquet"))
    names = {
        text.encode()
        for topic in ("passengers", "express-cargo", "screened")
        for record in example_records(topic)
        for text in _personal_texts(topic, msgspec.json.decode(record.value or b""))
    }
    assert len(names) > 10
    for file in files:
        table = pq.read_table(file)
        plain = b"\x00".join(repr(column.to_pylist()).encode() for column in table.columns)
        assert not [name for name in names if name in plain], file


def _personal_texts(topic: str, value: dict[str, object]) -> list[str]:
    found: list[str] = []
    for path in personal_fields(topic):
        level: list[object] = [value]
        for step in path.split("."):
            name = step.removesuffix("[]")
            level = [one[name] for one in level if isinstance(one, dict) and name in one]
            if step.endswith("[]"):
                level = [inner for one in level if isinstance(one, list) for inner in one]
        found += [one for one in level if isinstance(one, str) and len(one) > 3]
    return found


def test_columns_name_no_personal_field() -> None:
    for topic in declarations():
        personal = {path.replace("[]", "").rpartition(":")[2] for path in personal_fields(topic)}
        assert not personal & {column.path for column in columns_of(topic) if isinstance(column.path, str)}


def test_a_sealed_archive_opens_with_its_own_key_alone(tmp_path: Path) -> None:
    write(tmp_path, parcels(3), KEY)
    with pytest.raises(ArchiveError, match=r"1of1\.parquet: sealed; set BORDERFLOW_ARCHIVE_KEY_FILE"):
        read(tmp_path, "express-cargo")
    with pytest.raises(ArchiveError, match="sealed with key"):
        read(tmp_path, "express-cargo", key=ArchiveKey(b"another key, also of thirty-two bytes"))


def test_one_altered_byte_is_found_in_the_record_it_is_in(tmp_path: Path) -> None:
    write(tmp_path, example_records("decisions"))
    file = next(tmp_path.rglob("*.parquet"))
    table = pq.read_table(file, partitioning=None)
    values = table.column("value").to_pylist()
    values[0] = values[0].replace(b"SelectionDecided", b"SelectionDecidee")
    place = table.schema.get_field_index("value")
    pq.write_table(table.set_column(place, "value", pa.array(values, pa.binary())), file)
    assert [one.altered for one in read(tmp_path, "decisions")].count(True) == 1


def recoloured(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("lane")
    return table.set_column(place, table.schema.field("lane"), pa.array(["green"] * table.num_rows, pa.string()))


def status(root: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["archive", "status", "--dir", str(root), *options])
    return int(ended.value.code or 0)


def test_a_column_that_was_changed_is_told_by_the_mac_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "archive"
    write(root, example_records("decisions"), KEY)
    (tmp_path / "key").write_bytes(KEY.secret)
    monkeypatch.setenv("BORDERFLOW_ARCHIVE_KEY_FILE", str(tmp_path / "key"))
    assert status(root, "--check") == 0
    file = root / parts(root)[0].path
    table = pq.read_table(file, partitioning=None)
    with pq.ParquetWriter(file, table.schema) as writer:  # its MAC is kept
        writer.write_table(recoloured(table))
        writer.add_key_value_metadata({MAC: b"blake2b:" + b"5" * 64})
    assert status(root, "--check") == 1
    assert "its MAC does not fit" in capsys.readouterr().out
    with pytest.raises(ArchiveError, match="its MAC does not fit"):
        read(root, "decisions", key=KEY)


@pytest.mark.parametrize("stripped", [1, 2, 4])
def test_a_mac_that_was_taken_off_is_told_by_the_other_files(
    stripped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "archive"
    write(root, parcels(10), KEY)
    without_mac(root, lambda table: table)
    write(root, parcels(20, first=10), KEY, size=5, macs_from=10)
    assert [one.offset for one in read(root, "express-cargo", key=KEY)] == list(range(30)), "an older file may lack it"
    (tmp_path / "key").write_bytes(KEY.secret)
    monkeypatch.setenv("BORDERFLOW_ARCHIVE_KEY_FILE", str(tmp_path / "key"))
    assert status(root, "--check") == 1
    assert f"{root / parts(root)[0].path}: no MAC: " in capsys.readouterr().out
    assert status(root, "--check", "--macs-since", AFTERWARDS) == 0, "an older file may lack it"
    assert "1 files have no MAC" in capsys.readouterr().out
    one = parts(root)[stripped]
    write_part(root, one, pq.read_table(root / one.path, partitioning=None), chunk_facts(root / one.path, one))
    with pytest.raises(ArchiveError, match=f"{Path(one.path).name}: has no MAC, and others say that"):
        read(root, "express-cargo", key=KEY)
    assert status(root, "--check", "--macs-since", AFTERWARDS) == 1


@pytest.mark.parametrize(
    ("since", "found"), [(None, 2), ("2026-03-02", 2), ("2026-03-02T00:01Z", 1), ("2026-03-03", 1), (AFTERWARDS, 0)]
)
def test_macs_that_were_taken_off_a_whole_archive_are_told_to_who_asks_for_a_check(
    since: str | None,
    found: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "archive"
    write(root, parcels(2, spread_ms=DAY_MS), KEY)
    without_mac(root, lambda table: table)
    (tmp_path / "key").write_bytes(KEY.secret)
    monkeypatch.setenv("BORDERFLOW_ARCHIVE_KEY_FILE", str(tmp_path / "key"))
    asked = ("--check", *(("--macs-since", since) if since else ()))
    assert status(root, *asked, "--json") == int(found > 0)
    assert json.loads(capsys.readouterr().out)["no_mac"] == [str(root / one.path) for one in parts(root)[2 - found :]]
    with pytest.raises(SystemExit) as ended:
        main(["query", "SELECT count(*) FROM express_cargo", *asked, "--dir", str(root)])
    assert ended.value.code == (2 if found else 0)
    told = capsys.readouterr().err
    assert ("no MAC: " in told, "by checksums alone: 2 of 2 files" in told) == (found > 0, not found)


def test_who_checks_in_production_needs_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, parcels(1))
    assert status(tmp_path, "--check") == 0
    monkeypatch.setenv("BORDERFLOW_ENVIRONMENT", "production")
    monkeypatch.setenv("BORDERFLOW_SECURITY_PROTOCOL", "SSL")
    assert (status(tmp_path), status(tmp_path, "--check")) == (0, 2)
    assert "BORDERFLOW_ARCHIVE_KEY_FILE: production needs a key" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["archive", "status"], ["query", "SELECT 1"]], ids=["status", "query"])
@pytest.mark.parametrize(
    ("options", "said"), [(["--macs-since", "7d"], "without --check"), (["--check", "--macs-since", "x"], "is no time")]
)
def test_from_when_on_there_are_macs_is_a_time_and_for_a_check(
    words: list[str], options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, *options, "--dir", str(tmp_path)])
    told = capsys.readouterr().err
    assert (ended.value.code, "--macs-since: " in told, said in told) == (2, True, True)


@pytest.mark.parametrize("stripped", [0, 1, 2])
def test_a_mac_that_was_taken_off_one_date_of_a_chunk_is_told_by_its_other_dates(stripped: int, tmp_path: Path) -> None:
    write(tmp_path, parcels(3, spread_ms=DAY_MS), KEY)
    one = parts(tmp_path)[stripped]
    write_part(
        tmp_path, one, pq.read_table(tmp_path / one.path, partitioning=None), chunk_facts(tmp_path / one.path, one)
    )
    with pytest.raises(ArchiveError, match=f"{Path(one.path).name}: has no MAC, and others say that"):
        read(tmp_path, "express-cargo", key=KEY)


def test_what_has_a_mac_is_never_put_together_with_what_has_none(tmp_path: Path) -> None:
    write(tmp_path, parcels(10), KEY, size=5)
    without_mac(tmp_path, lambda table: table)
    write(tmp_path, parcels(10, first=10), KEY, size=5, macs_from=10)
    assert compact(tmp_path, KEY, fewest=3) == 0
    assert read(tmp_path, "express-cargo", key=KEY) == parcels(20)
    write(tmp_path, parcels(10, partition=1), KEY, size=5)
    with pytest.raises(ArchiveError, match="BORDERFLOW_ARCHIVE_KEY_FILE"):
        compact(tmp_path, None, fewest=2)
    assert compact(tmp_path, KEY, fewest=2) == 2
    assert status(tmp_path) == 0
    assert all(ArchiveReader(Catalogue.of(tmp_path), KEY).authentic(part) for part in parts(tmp_path) if part.partition)


@pytest.mark.parametrize("stripped", [2, 3])
def test_a_file_whose_mac_was_taken_off_gets_none_by_compaction_whatever_date_of_its_chunk_it_is(
    stripped: int, tmp_path: Path
) -> None:
    of_two_days = [replace(one, timestamp=one.timestamp + one.offset % 2 * DAY_MS) for one in parcels(20)]
    write(tmp_path, of_two_days, KEY, size=5)
    one = parts(tmp_path)[stripped]
    write_part(
        tmp_path, one, pq.read_table(tmp_path / one.path, partitioning=None), chunk_facts(tmp_path / one.path, one)
    )
    assert compact(tmp_path, KEY) == 0
    reader = ArchiveReader(Catalogue.of(tmp_path), KEY)
    assert [part for part in parts(tmp_path) if not reader.authentic(part)] == [one]


def test_what_was_compacted_is_kept_when_the_compacted_file_has_no_mac(tmp_path: Path) -> None:
    write(tmp_path, parcels(20), KEY, size=5)
    compact(tmp_path, KEY)
    without_mac(tmp_path, lambda table: table)
    with pytest.raises(ArchiveError, match="has no MAC, and what it was compacted from has"):
        remove_superseded(tmp_path, KEY)


def test_files_and_folders_are_closed_to_others(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    write(root, parcels(2))
    (file,) = root.rglob("*.parquet")
    assert [path.stat().st_mode & 0o007 for path in (file, file.parent, file.parent.parent, root)] == [0, 0, 0, 0]


def test_a_truncated_file_is_named_and_the_others_can_be_read(tmp_path: Path) -> None:
    write(tmp_path, parcels(10), size=5)
    write(tmp_path, parcels(4, partition=1))
    broken = tmp_path / Catalogue.of(tmp_path).chunks("express-cargo", 0)[1].parts[0].path
    broken.write_bytes(broken.read_bytes()[:-100])
    records = ArchiveReader(Catalogue.of(tmp_path)).records("express-cargo", 0)
    assert [next(records).offset for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ArchiveError, match=rf"{broken.name}: cannot be read as Parquet \(\d+ bytes\)"):
        next(records)
    assert len(read(tmp_path, "express-cargo", 1)) == 4


def test_damage_within_a_file_is_found_by_its_checksum(tmp_path: Path) -> None:
    write(tmp_path, parcels(2000))
    file = next(tmp_path.rglob("*.parquet"))
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match=rf"{file.name}: damaged after offset"):
        read(tmp_path, "express-cargo")


def test_a_missing_file_is_a_gap_that_names_the_offsets(tmp_path: Path) -> None:
    write(tmp_path, parcels(30), size=10)
    (tmp_path / Catalogue.of(tmp_path).chunks("express-cargo", 0)[1].parts[0].path).unlink()
    (gap,) = Catalogue.of(tmp_path).gaps()
    assert (gap.first, gap.last) == (10, 19)
    with pytest.raises(ArchiveError, match=r"offsets 10 to 19 of express-cargo\[0\] are missing before it"):
        read(tmp_path, "express-cargo")


@pytest.mark.parametrize(
    ("start", "upto", "first"), [(10, None, 10), (13, None, 13), (13, 16, 13), (0, 16, 10), (0, 20, 10), (9, 21, 10)]
)
def test_a_gap_where_reading_begins_or_ends_is_named(start: int, upto: int | None, first: int, tmp_path: Path) -> None:
    """A book is folded on from a snapshot, and to a version: nothing between may be passed over."""
    write(tmp_path, parcels(30), size=10)
    (tmp_path / Catalogue.of(tmp_path).chunks("express-cargo", 0)[1].parts[0].path).unlink()
    reader = ArchiveReader(Catalogue.of(tmp_path))
    with pytest.raises(ArchiveError, match=rf"offsets {first} to 19 of express-cargo\[0\] are missing before it"):
        list(reader.records("express-cargo", 0, start, upto))
    for begin, end in ((0, 10), (3, 7), (20, None), (25, 28)):
        read_ = [one.offset for one in reader.records("express-cargo", 0, begin, end)]
        assert read_ == list(range(begin, end or 30))


def test_a_file_that_was_compacted_away_while_others_were_read_is_said_to_be_so(tmp_path: Path) -> None:
    write(tmp_path, parcels(60), size=5)
    records = ArchiveReader(Catalogue.of(tmp_path)).records("express-cargo", 0)
    next(records)
    compact(tmp_path, None)
    remove_superseded(tmp_path)
    with pytest.raises(ArchiveError, match="is gone since the archive was looked through: the archiver may have"):
        list(records)


def test_a_chunk_counts_only_when_all_its_dates_are_there(tmp_path: Path) -> None:
    write(tmp_path, parcels(10))
    write(tmp_path, parcels(6, first=10, spread_ms=DAY_MS // 2))
    chunk = Catalogue.of(tmp_path).chunks("express-cargo", 0)[1]
    assert len(chunk.parts) > 2
    (tmp_path / chunk.parts[-1].path).unlink()
    assert Catalogue.of(tmp_path).end("express-cargo", 0) == 10
    (tmp_path / (chunk.parts[0].path + ".writing")).write_bytes(b"half a file")
    assert len(remove_remains(tmp_path)) == len(chunk.parts)
    assert len(list(tmp_path.rglob("*.parquet*"))) == 1
    write(tmp_path, parcels(6, first=10, spread_ms=DAY_MS // 2))
    assert [one.offset for one in read(tmp_path, "express-cargo")] == list(range(16))


@pytest.mark.parametrize(("chunk", "lost"), [(0, 0), (0, 1), (0, -1), (1, -1), (2, 0), (2, 1)])
def test_a_lost_file_is_named_and_nothing_of_its_chunk_is_removed(
    chunk: int, lost: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, parcels(18, spread_ms=DAY_MS // 2), size=6)
    write(tmp_path, parcels(4, partition=1))
    torn = Catalogue.of(tmp_path).chunks("express-cargo", 0)[chunk]
    file = tmp_path / torn.parts[lost].path
    file.unlink()
    assert remove_remains(tmp_path) == []
    catalogue = Catalogue.of(tmp_path)
    with pytest.raises(ArchiveError, match=rf"{file.name} of the \d files of offsets {torn.first} to .* are missing"):
        list(ArchiveReader(catalogue).records("express-cargo", 0))
    with pytest.raises(ArchiveError, match=file.name):
        connect(catalogue, "SELECT * FROM express_cargo")
    with pytest.raises(ArchiveError, match=file.name):
        compact(tmp_path, None)
    assert connect(catalogue, "decisions")
    assert len(read(tmp_path, "express-cargo", 1)) == 4
    with pytest.raises(SystemExit) as ended:
        main(["archive", "status", "--dir", str(tmp_path)])
    assert ended.value.code == 1
    assert file.name in capsys.readouterr().out


def test_two_chunks_at_the_end_without_their_last_files_are_no_crash(tmp_path: Path) -> None:
    write(tmp_path, parcels(12, spread_ms=DAY_MS // 2), size=6)
    for chunk in Catalogue.of(tmp_path).chunks("express-cargo", 0):
        (tmp_path / chunk.parts[-1].path).unlink()
    assert remove_remains(tmp_path) == []
    assert len(Catalogue.of(tmp_path).torn) == 2
    assert Catalogue.of(tmp_path).partitions("express-cargo") == [0]


def test_a_file_that_lies_in_two_folders_is_named(tmp_path: Path) -> None:
    write(tmp_path, parcels(6, spread_ms=DAY_MS // 2))
    shutil.copytree(tmp_path / "topic=express-cargo/date=2026-03-02", tmp_path / "topic=express-cargo/date=2026-02-01")
    with pytest.raises(ArchiveError, match=r"1of4\.parquet: a file of its chunk lies in two folders"):
        read(tmp_path, "express-cargo")


def test_a_removal_of_compacted_files_that_was_killed_is_finished(tmp_path: Path) -> None:
    records = parcels(12, spread_ms=DAY_MS // 2)
    write(tmp_path, records, size=6)
    small = Catalogue.of(tmp_path).chunks("express-cargo", 0)[0].parts
    compact(tmp_path, None, fewest=2)
    (tmp_path / small[0].path).unlink()
    assert read(tmp_path, "express-cargo") == records
    assert len(remove_remains(tmp_path)) == len(small) - 1
    assert read(tmp_path, "express-cargo") == records


@pytest.mark.parametrize("key", [None, KEY], ids=["unprotected", "sealed"])
def test_compaction_changes_files_and_no_record(key: ArchiveKey | None, tmp_path: Path) -> None:
    records = parcels(60, spread_ms=DAY_MS // 20)
    write(tmp_path, records, key, size=5)
    before = len(Catalogue.of(tmp_path).files("express-cargo"))
    assert compact(tmp_path, key) == 12
    assert read(tmp_path, "express-cargo", key=key) == records
    assert len(Catalogue.of(tmp_path).files("express-cargo")) < before
    assert remove_superseded(tmp_path) == before
    assert read(tmp_path, "express-cargo", key=key) == records
    assert compact(tmp_path, key) == 0


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_what_was_compacted_is_kept_until_the_compacted_file_was_read(damage: str, tmp_path: Path) -> None:
    records = parcels(60)
    write(tmp_path, records, KEY, size=5)
    compact(tmp_path, KEY)
    file = tmp_path / Catalogue.of(tmp_path).chunks("express-cargo", 0)[0].parts[0].path
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data[:-200] if damage == "cut" else data)
    with pytest.raises(ArchiveError, match=rf"{file.name}: .*; what it was compacted from is kept"):
        compact(tmp_path, KEY)
    file.unlink()
    assert read(tmp_path, "express-cargo", key=KEY) == records


def test_what_was_compacted_is_kept_when_the_compacted_file_lacks_records(tmp_path: Path) -> None:
    records = parcels(60)
    write(tmp_path, records, size=5)
    compact(tmp_path, None)
    (part,) = Catalogue.of(tmp_path).chunks("express-cargo", 0)[0].parts
    said = msgspec.structs.replace(chunk_facts(tmp_path / part.path, part), records=59)
    write_part(tmp_path, part, pq.read_table(tmp_path / part.path, partitioning=None).slice(1), said)
    with pytest.raises(ArchiveError, match="59 records are in the files of offsets 0 to 59"):
        remove_superseded(tmp_path)
    assert len(list(tmp_path.rglob("*.parquet"))) == 13


def test_every_damaged_file_is_found_by_reading_all_pages_and_hides_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def status(*options: str) -> tuple[str, object]:
        with pytest.raises(SystemExit) as ended:
            main(["archive", "status", "--dir", str(tmp_path), *options])
        return capsys.readouterr().out, ended.value.code

    write(tmp_path, parcels(2500), KEY, size=500)
    write(tmp_path, example_records("decisions"), KEY)
    assert damaged(ArchiveReader(Catalogue.of(tmp_path))) == {}
    files = Catalogue.of(tmp_path).files("express-cargo")
    flipped = bytearray(files[1].read_bytes())
    flipped[len(flipped) // 3] ^= 1
    files[1].write_bytes(flipped)
    assert status()[1] == 0
    files[2].write_bytes(files[2].read_bytes()[:-200])
    files[3].unlink()
    said, code = status("--check")
    assert code == 1
    assert [file for file in files if f"{file}: damaged after" in said] == [files[1]]
    assert f"{files[2]}: cannot be read" in said
    assert "offsets 1500 to 1999 of express-cargo[0] are missing" in said
    assert "decisions" in said
    said, code = status("--check", "--json")
    told = json.loads(said)
    assert (code, len(told["damaged"]), len(told["gaps"])) == (1, 2, 1)
    assert [row["records"] for row in told["topics"] if row["topic"] == "express-cargo"] == [1000]


def test_a_file_that_was_compacted_while_all_were_read_is_not_damaged(tmp_path: Path) -> None:
    write(tmp_path, parcels(60), size=5)
    before = Catalogue.of(tmp_path)
    compact(tmp_path, None)
    remove_superseded(tmp_path)
    assert damaged(ArchiveReader(before)) == {}


def test_columns_of_a_later_version_are_put_together_by_that_version_alone(tmp_path: Path) -> None:
    """After a version was rolled back: what the later one would say of these records has to stay."""
    write(tmp_path, parcels(60), size=5)
    for file in list(tmp_path.rglob("*.parquet"))[:6]:
        table = pq.read_table(file, partitioning=None)
        pq.write_table(table.append_column("weighed_at", pa.array(["scales"] * len(table))), file)
    compact(tmp_path, None)
    remove_superseded(tmp_path)
    held = [pq.read_table(file, partitioning=None) for file in tmp_path.rglob("*.parquet")]
    assert sum("weighed_at" in table.column_names for table in held) == 6
    assert read(tmp_path, "express-cargo") == parcels(60)


def test_a_compaction_that_was_killed_leaves_the_small_files_in_force(tmp_path: Path) -> None:
    records = parcels(60, spread_ms=DAY_MS // 20)
    write(tmp_path, records, size=5)
    compact(tmp_path, None)
    large = Catalogue.of(tmp_path).chunks("express-cargo", 0)[0]
    (tmp_path / large.parts[-1].path).unlink()  # killed before the last rename
    assert read(tmp_path, "express-cargo") == records
    remove_remains(tmp_path)
    assert compact(tmp_path, None) == 12
    assert read(tmp_path, "express-cargo") == records


def test_retention_takes_records_out_and_remembers_that_they_were_there(tmp_path: Path) -> None:
    write(tmp_path, parcels(10, spread_ms=DAY_MS), KEY)
    days = keep_days(("express-cargo", "decisions"), 0, 5)
    assert days == {"express-cargo": 5}  # decisions hold no personal data
    assert retire(tmp_path, days, datetime(2026, 3, 12, tzinfo=UTC), key=KEY) == 5
    assert retire(tmp_path, days, datetime(2026, 3, 12, tzinfo=UTC), key=KEY) == 0
    assert [one.offset for one in read(tmp_path, "express-cargo", key=KEY)] == [5, 6, 7, 8, 9]
    assert Catalogue.of(tmp_path).gaps() == []
    assert Catalogue.of(tmp_path).end("express-cargo", 0) == 10


def test_retention_leaves_nothing_in_the_files_that_were_put_together(tmp_path: Path) -> None:
    """They stay for a round: so that a question that has just listed them may finish."""
    write(tmp_path, parcels(60, spread_ms=DAY_MS // 20), size=5)
    for days in ((), ("--keep-personal-days", "5")):
        with pytest.raises(SystemExit) as ended:
            main(["archive", "tidy", *days, "--dir", str(tmp_path)])
        assert ended.value.code == 0
        files = list(tmp_path.rglob("*.parquet"))
        held = sum(pq.ParquetFile(file).metadata.num_rows for file in files)
        assert held == (0 if days else 2 * 60)
    write(tmp_path / "at once", parcels(60, spread_ms=DAY_MS // 20), size=5)
    with pytest.raises(SystemExit):
        main(["archive", "tidy", "--keep-personal-days", "5", "--dir", str(tmp_path / "at once")])
    assert {pq.ParquetFile(file).metadata.num_rows for file in (tmp_path / "at once").rglob("*.parquet")} == {0}


def test_offsets_that_brokers_had_no_record_at_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a gap that was accepted as well: it is on record, and no reason to look every night."""
    records = parcels(40)
    write(tmp_path, records[:10], size=5)
    rows = [RowReader("express-cargo", Marks("express-cargo")).read(one) for one in records[17:]]
    write_chunk(tmp_path, "express-cargo", 0, 10, 39, rows, {}, None)
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["archive", "status", "--dir", str(tmp_path), "--json"])
        said = json.loads(capsys.readouterr().out)
        assert (ended.value.code, said["gaps"], said["topics"][0]["missing"]) == (0, [], 7)
        compact(tmp_path, None, fewest=2)


class Border:
    """Stands for kafka-python's consumer of a border that never is quiet: each poll brings a parcel of now."""

    def __init__(self, **options: Any) -> None:
        self._at, self._next = TopicPartition("express-cargo", 0), 0

    def __getattr__(self, name: str) -> Any:
        answers = {"topics": ["express-cargo"], "partitions_for_topic": {0}, "end_offsets": {self._at: 40},
                   "beginning_offsets": {self._at: 0}, "position": self._next}  # fmt: skip
        return lambda *_, **__: answers.get(name)

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Archived]]:
        time.sleep(0.002)
        self._next += 1
        return {self._at: parcels(1, first=self._next - 1)}


def test_what_is_there_now_is_archived_and_no_more_though_a_border_never_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "KafkaConsumer", Border)
    archiver = Archiver(Settings(), tmp_path, None, commits=False)
    began = time.monotonic()
    count = archiver.run(lambda: time.monotonic() - began > 15, once=True)
    assert time.monotonic() - began < 10
    assert 40 <= count == len(read(tmp_path, "express-cargo"))


def test_what_waits_is_counted_with_its_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lodger may write as much into headers and keys as into values: it must not fill the archiver's memory."""
    headers = [("h", b"x" * 40_000)]
    lodged = [replace(one, value=None, key=b"k" * 10_000, headers=headers) for one in parcels(20)]
    archiver = Archiver(Settings(), tmp_path, None, pace=Pace(bytes=600_000))
    archiver._waiting["express-cargo", 0] = Waiting(0, RowReader("express-cargo", Marks("express-cargo")))
    monkeypatch.setattr(archiver, "_poll", lambda *_: {TopicPartition("express-cargo", 0): lodged[:10]})
    written: list[tuple[str, int]] = []
    monkeypatch.setattr(archiver, "_write", lambda consumer, place: written.append(place))
    for count, due in ((10, []), (10, [("express-cargo", 0)])):
        assert archiver._take(None) == count
        archiver._write_due(None, 0.0)
        assert written == due


@pytest.mark.parametrize("topic", ["labelled-examples", "criteria", "risk-information"])
def test_nothing_is_taken_out_of_what_every_worker_folds_from_its_beginning(topic: str, tmp_path: Path) -> None:
    write(tmp_path, example_records(topic), KEY)
    days = keep_days(archived_topics(), 5, 5)
    assert set(archived_topics()) - set(days) == {"labelled-examples", "criteria", "risk-information"}
    assert retire(tmp_path, days, key=KEY) == 0
    assert retire(tmp_path, {topic: 5}, key=KEY) > 0  # as earlier versions did
    for size in (1, 2):
        with pytest.raises(ArchiveError, match=r"\.parquet: retention took \d records out of it"):
            read(tmp_path, topic, key=KEY)
        compact(tmp_path, KEY, fewest=size)


def test_a_file_of_a_later_format_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, parcels(2))
    file = next(tmp_path.rglob("*.parquet"))
    table = pq.read_table(file, partitioning=None)
    said = msgspec.json.decode(table.schema.metadata[b"borderflow.chunk"]) | {"format": 9}
    pq.write_table(table.replace_schema_metadata({b"borderflow.chunk": msgspec.json.encode(said)}), file)
    part = Part.at(file.relative_to(tmp_path).as_posix())
    assert part is not None
    with pytest.raises(ArchiveError, match=rf"{file.name}: has format 9"):
        chunk_facts(file, part)


def test_a_policy_is_kept_under_the_hash_of_its_contents(tmp_path: Path) -> None:
    shelf, policy = PolicyShelf(tmp_path), built_in_policy()
    assert shelf.keep(policy)
    assert not shelf.keep(policy)
    assert shelf.get(policy.policy_version) == policy
    file = tmp_path / "policies" / f"{policy.policy_version}.json"
    file.write_text(file.read_text().replace("0.02", "0.03", 1))
    with pytest.raises(ArchiveError, match="is not policy"):
        shelf.get(policy.policy_version)
    assert len(list(shelf.damaged())) == 1
    assert shelf.keep(policy), "what is damaged is written anew"
    assert shelf.get(policy.policy_version) == policy
    with pytest.raises(ArchiveError, match="keep-policy"):
        shelf.get("another-1+0000000000")


@pytest.mark.parametrize("settings", [{"patrol": 0.075}, {}])
def test_a_policy_of_another_version_of_borderflow_is_not_taken_for_damaged(
    settings: dict[str, float], tmp_path: Path
) -> None:
    """It has a setting that this version lacks, or lacks one that this version has."""
    kept = msgspec.json.decode(built_in_policy().canonical)
    kept["surge"] = {**kept["surge"], **settings}
    kept.pop("reports")
    text = msgspec.json.encode(kept, order="sorted")
    version = version_of(kept["version"], text)
    shelf, file = PolicyShelf(tmp_path), tmp_path / "policies" / f"{version}.json"
    shelf.keep(built_in_policy())
    file.write_bytes(text)
    with pytest.raises(OtherSoftwareError, match="another version of borderflow decided by policy"):
        shelf.get(version)
    assert list(shelf.damaged()) == []
    file.write_bytes(text.replace(b"0.02", b"0.03", 1))
    assert len(list(shelf.damaged())) == 1


def test_the_latest_marks_of_letters_that_were_sent_again_are_written_down() -> None:
    marks = Marks("filtered")
    for topic, partition in (("screened", 2), *(("screened-dlq", number) for number in range(3 * LETTERS))):
        upstream = Upstream(topic=topic, partition=partition, offset=5)
        assert marks.is_first(SimpleNamespace(upstream=upstream))
        assert not marks.is_first(SimpleNamespace(upstream=upstream))
    kept = msgspec.json.decode(msgspec.json.encode(marks.kept()), type=dict[str, list[int]])
    assert list(kept) == ["screened/2", *(f"screened-dlq/{number}" for number in range(2 * LETTERS, 3 * LETTERS))]
    again = Marks("filtered", kept)  # the archiver was started again
    assert not again.is_first(SimpleNamespace(upstream=upstream))
    assert again.kept() == kept


def test_a_disk_that_is_full_names_the_file(tmp_path: Path) -> None:
    with full_disk(1000), pytest.raises(OSError, match=r"File too large: .*1of1\.parquet") as refused:
        write(tmp_path, parcels(2))
    assert refused.value.errno
    assert list(tmp_path.rglob("*.parquet*")) == []


def test_the_last_record_is_known_again_after_retention_took_it(tmp_path: Path) -> None:
    write(tmp_path, parcels(10), KEY, size=5)
    before = last_digest(tmp_path, Catalogue.of(tmp_path).chunks("express-cargo", 0)[-1], KEY)
    retire(tmp_path, {"express-cargo": 5}, datetime(2026, 3, 12, tzinfo=UTC), key=KEY)
    assert read(tmp_path, "express-cargo", key=KEY) == []
    for _ in range(2):
        assert last_digest(tmp_path, Catalogue.of(tmp_path).chunks("express-cargo", 0)[-1], KEY) == before
        compact(tmp_path, KEY, fewest=2)


@pytest.mark.parametrize("days", ["--keep-days", "--keep-personal-days"])
def test_days_beyond_all_calendars_are_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["archive", "tidy", days, "800000"])
    assert (ended.value.code, "Traceback" in capsys.readouterr().err) == (2, False)
