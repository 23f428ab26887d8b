"""The audit chains on a real broker: killed and started again, each record is sealed once; tampering is named."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from load.children import Children
from streams.archive.layout import Catalogue
from streams.audit.book import Chain, Writer, only_sealer
from streams.audit.sealing import Pace, Sealer
from streams.cli import main
from streams.doctor import examine
from streams.embedded import EmbeddedBroker
from streams.rebuild import LogReader
from streams.wire import Outgoing
from tests.integration.border import PARTITIONS, Border, border, raw_record
from tests.integration.harbour import PATIENCE_S
from tests.real_kafka.fixtures import asked_for

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Border]:
    with border(tmp_path / "border") as made:
        made.open()
        yield made


def decided(number: int) -> Outgoing:
    made = raw_record(b'{"decided": %d}' % number, f"point-{number % 7}", "SelectionDecided.v1")
    made.partition = number % PARTITIONS
    return made


def audit(at: Border, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run `borderflow audit` here; its exit code."""
    for name, value in at.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    return int(ended.value.code or 0)


def test_a_sealer_killed_again_and_again_seals_each_record_once(
    at: Border, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "audit"
    number = 0
    for _ in range(3):
        process = at.seal(folder, "--every", "0.1")
        sealed = 0
        for _ in range(4):
            at.lodge("decisions", [decided(n) for n in range(number, number + 50)])
            number += 50
        deadline = time.monotonic() + PATIENCE_S
        while sealed < number - 100 and time.monotonic() < deadline:
            time.sleep(0.1)
            sealed = sum(len(Chain(folder, "decisions", p)) for p in range(PARTITIONS))
        assert process.poll() is None, at.log("seal")
        at.kill("seal", process)
    at.lodge("criteria", [raw_record(b"{}", "C1"), raw_record(None, "C1")])
    at.run("audit", "seal", "--dir", str(folder), "--once")
    kept = {p: [one.offset for one in Chain(folder, "decisions", p).entries()] for p in range(PARTITIONS)}
    assert kept == {p: list(range(number // PARTITIONS)) for p in range(PARTITIONS)}
    assert audit(at, monkeypatch, "verify", "--dir", str(folder)) == 0
    assert audit(at, monkeypatch, "heads", "--dir", str(folder)) == 0
    heads = tmp_path / "heads.jsonl"
    heads.write_text("".join(line + "\n" for line in capsys.readouterr().out.splitlines() if line.startswith("{")))
    assert len(heads.read_text().splitlines()) == PARTITIONS + 1
    assert audit(at, monkeypatch, "verify", "--dir", str(folder), "--heads", str(heads)) == 0
    archive = tmp_path / "archive"
    at.run("archive", "--dir", str(archive), "--once")
    assert audit(at, monkeypatch, "verify", "--dir", str(folder), "--from", "archive", "--archive", str(archive)) == 0


def test_topics_that_are_not_those_that_were_sealed_are_told(
    at: Border, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "audit"
    at.lodge("decisions", [decided(n) for n in range(400)])
    at.run("audit", "seal", "--dir", str(folder), "--once")
    with border(tmp_path / "forged") as forged:
        forged.open()
        changed = [decided(n) for n in range(400)]
        changed[101].value = b'{"decided": "otherwise"}'
        del changed[202]
        changed[303 - 1 : 308 - 1 : 4] = reversed(changed[303 - 1 : 308 - 1 : 4])
        forged.lodge("decisions", changed)
        capsys.readouterr()
        assert audit(forged, monkeypatch, "verify", "--dir", str(folder), "--json") == 1
        found = {one["partition"]: one["finding"] for one in json.loads(capsys.readouterr().out)}
        assert found[0] is None
        assert (found[1]["what"], found[1]["offset"]) == ("edited", 25)
        assert (found[2]["what"], found[2]["offset"]) == ("dropped", 50)
        assert (found[3]["what"], found[3]["offset"]) == ("reordered", 75)
        process = forged.seal(folder, "--once")
        assert process.wait(PATIENCE_S) == 1
        assert "audit verify" in forged.log("seal")


def test_a_sealer_tells_that_all_is_sealed_and_what_its_clock_says(at: Border, tmp_path: Path) -> None:
    at.lodge("decisions", [decided(n) for n in range(40)])
    began = time.time()
    at.seal(tmp_path / "audit")
    at.wait_ready("seal")
    sealed = at.counted("seal", "borderflow_audit_sealed_timestamp_seconds")[""]
    at.lodge("decisions", [decided(n) for n in range(40, 60)])
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if at.counted("seal", "borderflow_audit_sealed_records_total")['{topic="decisions"}'] == 60:
            break
    while at.counted("seal", "borderflow_audit_sealed_timestamp_seconds")[""] == sealed:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert began <= sealed <= at.counted("seal", "borderflow_audit_clock_timestamp_seconds")[""] <= time.time()
    assert at.counted("seal", "borderflow_decisions") == {}, "a worker's"


def test_doctor_says_whether_all_is_sealed(at: Border, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    there = {**at.environment, "BORDERFLOW_AUDIT_DIR": str(folder)}
    assert [one for one in examine(there) if one.check == "audit"] == []
    at.lodge("decisions", [decided(n) for n in range(40)])
    at.run("audit", "seal", "--dir", str(folder), "--once")
    assert [one.state for one in examine(there) if one.check == "audit"] == ["ok"]
    for _ in range(3):  # the embedded broker's end is that of its last batch's beginning
        at.lodge("decisions", [decided(0)])
    (found,) = (one for one in examine(there) if one.check == "audit")
    assert (found.state, found.found.endswith(f"records are not sealed in {folder}")) == ("warning", True)


class Growing(LogReader):
    """Shows the first two partitions of a topic until it is told to look again."""

    seen = 2

    async def partitions(self, topic: str) -> int:
        return min(self.seen, await super().partitions(topic))

    async def look_again(self) -> None:
        await super().look_again()
        self.seen = PARTITIONS


def test_partitions_that_are_added_while_the_sealer_runs_are_sealed(at: Border, tmp_path: Path) -> None:
    at.lodge("decisions", [decided(n) for n in range(40)])
    folder = tmp_path / "audit"

    async def seal(pace: Pace) -> int:
        stop = asyncio.Event()
        sealer = Sealer(at.settings, folder, ["decisions"], pace=pace, reader=Growing)
        running = asyncio.create_task(sealer.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while sealer.sealed < 20 or (pace.partitions_s < 1 and sealer.sealed < 40):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.05)
        stop.set()
        return await running

    with only_sealer(folder):
        assert asyncio.run(seal(Pace(look_s=0.05))) == 20
    shutil.rmtree(folder)
    with only_sealer(folder):
        assert asyncio.run(seal(Pace(look_s=0.05, partitions_s=0.1))) == 40
    assert [len(Chain(folder, "decisions", p)) for p in range(PARTITIONS)] == [10] * PARTITIONS


def test_a_partition_without_a_chain_and_one_that_is_not_there_are_told(
    at: Border, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "audit"
    at.lodge("decisions", [decided(n) for n in range(40)])
    at.run("audit", "seal", "--dir", str(folder), "--once")
    for suffix in ("entries", "heads"):
        (folder / f"decisions-00001.{suffix}").unlink()
        shutil.copy(folder / f"decisions-00000.{suffix}", folder / f"decisions-00009.{suffix}")
    Writer(Chain(folder, "decisions", 8)).seal("2026-03-02T12:00:00+00:00")
    capsys.readouterr()
    assert audit(at, monkeypatch, "verify", "--dir", str(folder), "--json") == 1
    found = {one["partition"]: one for one in json.loads(capsys.readouterr().out) if one["topic"] == "decisions"}
    assert [found[p]["finding"] for p in (0, 2, 3)] == [None] * 3
    assert (found[1]["finding"]["what"], found[1]["not_sealed_yet"]) == ("not sealed", 10)
    assert found[8]["finding"]["detail"] == "the topic has no partition 8"
    assert found[9]["finding"]["what"] == "chain altered"


@pytest.mark.skipif(asked_for(), reason="a broker that comes back empty at the same address")
def test_a_topic_that_is_made_anew_while_sealer_and_archiver_run_stops_both(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker, Children(broker.environment(), tmp_path) as children:
        at = Border(children)
        at.open()
        at.lodge("decisions", [decided(n * PARTITIONS) for n in range(10)])
        sealer = at.seal(tmp_path / "audit", "--every", "0.1")
        archiver = at.archive(tmp_path / "archive", "--every", "0.1")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            time.sleep(0.1)
            there = (tmp_path / "archive").is_dir() and Catalogue.of(tmp_path / "archive").end("decisions", 0)
            if there == len(Chain(tmp_path / "audit", "decisions", 0)) == 10:
                break
        broker.stop()
        with EmbeddedBroker(broker.port):
            children.run("topics", "topics", "create", content_with=(0, 1))  # the others' questions made them, too
            for batch in (range(100, 120), range(120, 130)):  # of an end it says where the last batch began
                at.lodge("decisions", [decided(n * PARTITIONS) for n in batch])
            assert (sealer.wait(PATIENCE_S), archiver.wait(PATIENCE_S)) == (1, 1)
            assert "made anew" in at.log("seal")
            assert "made anew" in at.log("archive")
            assert at.archive(tmp_path / "archive", "--once", name="again").wait(PATIENCE_S) == 1
        assert len(Chain(tmp_path / "audit", "decisions", 0)) == 10
        assert Catalogue.of(tmp_path / "archive").end("decisions", 0) == 10


@pytest.mark.skipif(asked_for(), reason="a broker that comes back empty at the same address")
def test_the_archive_of_a_topic_that_was_made_anew_and_is_empty_is_refused(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker, Children(broker.environment(), tmp_path) as children:
        at = Border(children)
        at.open()
        at.lodge("decisions", [decided(n * PARTITIONS) for n in range(10)])
        at.run("archive", "--dir", str(tmp_path / "archive"), "--once")
        broker.stop()
        with EmbeddedBroker(broker.port):
            at.open()
            assert at.archive(tmp_path / "archive", "--once", name="again").wait(PATIENCE_S) == 1
            assert "decisions[0] ends before offset 9, up to which it was archived" in at.log("again")
