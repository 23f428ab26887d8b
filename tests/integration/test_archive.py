"""The archive on a real broker: killed and started again, it holds every record once, byte for byte."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.recordbatch import encoded
from streams.wire import Record
from tests.integration.border import PARTITIONS, Border, border, parcel, parcel_record, raw_record
from tests.integration.harbour import PATIENCE_S

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    with border(tmp_path_factory.mktemp("archived-border")) as made:
        made.open("worker-a")
        yield made


def plain(records: Iterator[Record] | list[Record]) -> dict[tuple[int, int], tuple[object, ...]]:
    """Records by partition and offset; each must be there once."""
    found: dict[tuple[int, int], tuple[object, ...]] = {}
    for one in records:
        place = (one.partition, one.offset)
        assert place not in found
        found[place] = (one.key, one.value, list(one.headers), one.timestamp)
    return found


def archived(root: Path, topic: str) -> dict[tuple[int, int], tuple[object, ...]]:
    catalogue = Catalogue.of(root)
    assert catalogue.gaps() == []
    reader = ArchiveReader(catalogue)
    return plain([one for partition in catalogue.partitions(topic) for one in reader.records(topic, partition)])


def test_an_archive_killed_again_and_again_loses_and_doubles_nothing(at: Border, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    kills, number = 0, 0
    for _ in range(4):
        process = at.archive(root, "--every", "0.05", "--tidy-every", "1")
        for _ in range(6):
            at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(number, number + 100)])
            number += 100
            time.sleep(0.15)
        assert process.poll() is None, at.log("archive")
        at.kill("archive", process)
        kills += 1
    at.lodge("express-cargo", [raw_record(b"garbage", "garbage"), raw_record(None, "null")])
    at.decisions(number)
    at.read("express-cargo-dlq", 2)
    at.run("archive", "--dir", str(root), "--once")
    for topic in ("express-cargo", "screened", "filtered", "decisions", "alerts"):
        assert archived(root, topic) == plain(at.read(topic)), topic
    assert len(archived(root, "express-cargo-dlq")) == 2
    assert kills == 4

    at.run("archive", "tidy", "--dir", str(root))
    at.run("archive", "tidy", "--dir", str(root))
    assert archived(root, "decisions") == plain(at.read("decisions"))


def test_an_archiver_tells_prometheus_what_it_has_written_and_whether_that_is_all(at: Border, tmp_path: Path) -> None:
    process = at.archive(tmp_path / "archive", "--every", "0.1")
    at.wait_ready("archive")
    at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(90_000, 90_050)])
    until = time.monotonic() + PATIENCE_S
    told = 0.0
    while told < 50.0 or told < len(archived(tmp_path / "archive", "express-cargo")):
        assert time.monotonic() < until, told
        assert process.poll() is None, at.log("archive")
        time.sleep(0.1)
        told = at.counted("archive", "borderflow_archive_records_total").get('{topic="express-cargo"}', 0.0)
    (caught_up,) = at.counted("archive", "borderflow_archive_caught_up_timestamp_seconds").values()
    assert abs(time.time() - caught_up) < 60.0
    (free,) = at.counted("archive", "borderflow_archive_free_bytes").values()
    assert free > 0.0
    at.kill("archive", process)


def test_a_record_that_no_client_can_parse_is_archived_without_its_content(at: Border, tmp_path: Path) -> None:
    unparsed = [parcel_record(parcel(n), 0) for n in range(800_000, 800_003)]
    unparsed[1].headers = encoded([("seal", b"x")]).replace(b"seal", "s\xe4al".encode("latin-1"))
    at.lodge("express-cargo", unparsed)
    root = tmp_path / "archive"
    at.run("archive", "--dir", str(root), "--once")
    at.lodge("express-cargo", [parcel_record(parcel(800_003), 0)])
    at.run("archive", "--dir", str(root), "--once")
    kept = archived(root, "express-cargo")
    last = max(offset for partition, offset in kept if partition == 0)
    assert [kept[0, last - n][1] is None for n in range(4)] == [False, True, True, False]
    assert kept[0, last - 2][0] is None


def test_two_writers_of_one_archive_are_refused(at: Border, tmp_path: Path) -> None:
    first = at.archive(tmp_path / "archive")
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "archive" / "policies").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    second = at.archive(tmp_path / "archive", name="second")
    assert second.wait(PATIENCE_S) == 1
    assert "another process writes this archive" in at.log("second")
    first.terminate()
    assert first.wait(PATIENCE_S) == 0


def test_a_disk_without_room_stops_the_archive_loudly_and_loses_nothing(at: Border, tmp_path: Path) -> None:
    at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(900_000, 900_050)])
    root = tmp_path / "archive"
    process = at.archive(root, "--every", "0.1", "--free", str(10**9))
    assert process.wait(PATIENCE_S) == 1
    said = [json.loads(line) for line in at.log("archive").splitlines() if line.startswith("{")]
    assert any("MiB are free" in str(line.get("error")) for line in said) or "MiB are free" in at.log("archive")
    at.run("archive", "--dir", str(root), "--once")
    assert archived(root, "express-cargo") == plain(at.read("express-cargo"))


def test_a_file_that_was_lost_stops_the_archive_and_nothing_more_is_removed(at: Border, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in (950_000, 950_001)])
    at.run("archive", "--dir", str(root), "--once")
    chunk = Catalogue.of(root).chunks("express-cargo", 0)[-1]
    assert len(chunk.parts) > 1
    (root / chunk.parts[0].path).unlink()
    left = sorted(root.rglob("*.parquet"))
    assert at.archive(root, "--once").wait(PATIENCE_S) == 1
    assert f"of offsets {chunk.first} to {chunk.last} of express-cargo[0] are missing" in at.log("archive")
    assert sorted(root.rglob("*.parquet")) == left


def test_the_archive_of_other_brokers_is_refused_and_nothing_is_added_to_it(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    with border(tmp_path / "first") as first:
        first.run("topics", "create")
        first.lodge("express-cargo", [parcel_record(parcel(n), 0) for n in range(5)])
        first.run("archive", "--dir", str(root), "--once")
        first.run("archive", "--dir", str(root), "--once")
        first.lodge("express-cargo", [parcel_record(parcel(n), 0) for n in range(5, 8)])
        first.run("archive", "--dir", str(root), "--once")
        kept = archived(root, "express-cargo")
        assert kept == plain(first.read("express-cargo"))
    with border(tmp_path / "second") as second:
        second.run("topics", "create")
        second.lodge("express-cargo", [parcel_record(parcel(n), 0) for n in range(100, 112)])
        assert second.archive(root, "--once").wait(PATIENCE_S) == 1
        assert "the record at offset 7 of express-cargo[0] is not the one that was archived" in second.log("archive")
    assert archived(root, "express-cargo") == kept


def test_another_key_does_not_go_on_in_the_folder_of_one_before(tmp_path: Path) -> None:
    key, root = tmp_path / "archive.key", tmp_path / "archive"
    key.write_text("k" * 32)
    with border(tmp_path / "border", BORDERFLOW_ARCHIVE_KEY_FILE=str(key)) as at:
        at.run("topics", "create")
        at.lodge("express-cargo", [parcel_record(parcel(n), 0) for n in range(5)])
        at.run("archive", "--dir", str(root), "--once")
        at.lodge("express-cargo", [parcel_record(parcel(n), 0) for n in range(5, 8)])
        kept = sorted(root.rglob("*.parquet"))
        key.write_text("another key of thirty-two bytes or more")
        assert at.archive(root, "--once").wait(PATIENCE_S) == 1
        assert "set that key, or begin a new folder" in at.log("archive")
        assert sorted(root.rglob("*.parquet")) == kept
        key.write_text("k" * 32)
        at.run("archive", "--dir", str(root), "--once")
    assert sorted(root.rglob("*.parquet")) != kept
