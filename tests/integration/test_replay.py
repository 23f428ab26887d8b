"""Replay and verification of a border that ran: lodgements, criteria, a watchlist, results, models that moved on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.epoch import epoch_ms
from schemas.codec import codec_for
from schemas.inspections import InspectionCompleted
from schemas.knowledge import CriterionPublished, RiskInformationPublished
from streams.archive.layout import Catalogue
from streams.archive.policies import PolicyShelf
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.archive.times import LATEST
from streams.cli import main
from streams.policies import built_in_policy
from streams.replay.beside import Beside
from streams.replay.engine import Engine
from streams.replay.findings import Difference
from streams.replay.run import Plan, Replay
from streams.replay.verify import verify
from tests.archive_files import write
from tests.integration.border import (
    NOON,
    PARTITIONS,
    Border,
    border,
    manifest,
    parcel,
    parcel_record,
    passenger,
    record_of,
)

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

ITEMS = 1800 + 60 + 40


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Border, Path]]:
    """A border that ran, and its archive."""
    logs = tmp_path_factory.mktemp("replayed-border")
    root = logs / "archive"
    with border(logs) as at:
        at.open("worker-a")
        criterion = CriterionPublished(
            criterion_id="CR-REPLAY", version=1, title="Shoes", streams=("express-cargo",), action="boost", weight=1.5,
            condition='hs6 == "640411"', cap=1.0, valid_from=NOON - timedelta(days=1),
        )  # fmt: skip
        entry = RiskInformationPublished(
            entry_id="WL-REPLAY", version=1, kind="watchlist", streams=("passengers",), documents=("M00000007",),
            valid_from=NOON - timedelta(days=1),
        )  # fmt: skip
        at.lodge("risk-information", [record_of(entry, "WL-REPLAY", NOON, 0)])
        for batch in range(6):
            if batch == 2:
                at.lodge("criteria", [record_of(criterion, "CR-REPLAY", NOON, 0)])
            numbers = range(batch * 300, batch * 300 + 300)
            at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in numbers])
            at.decisions((batch + 1) * 300)
            at.lodge("inspection-results", _results(at))
        at.lodge("manifests", [record_of(manifest(7, 60), "MF000007", NOON)])
        travellers = [passenger(n) for n in range(40)]
        at.lodge("passengers", [record_of(one, one.passenger_reference, one.lodged_at) for one in travellers])
        at.decisions(ITEMS)
        at.run("archive", "--dir", str(root), "--once")
        yield at, root


def _results(at: Border) -> list[Any]:
    """A result for every alert so far; those that have one are refused, as they should be."""
    sent = []
    for record in at.read("alerts"):
        decision = codec_for("alerts").decode(record.value).decision
        outcome: Any = "seizure" if int(decision.decision_id[2:6], 16) % 3 == 0 else "clear"
        when = decision.lodged_at + timedelta(hours=1)
        result = InspectionCompleted(
            result_id=f"r-{decision.decision_id}", decision_id=decision.decision_id, inspected_at=when,
            control_point=decision.control_point, method="physical", outcome=outcome,
        )  # fmt: skip
        sent.append(record_of(result, decision.control_point, when, record.partition))
    return sent


def differences(root: Path) -> list[Difference]:
    return [one for step in verify(ArchiveReader(Catalogue.of(root)), None) for one in step.differences]


def test_every_decision_of_an_untouched_history_follows_from_the_record(history: tuple[Border, Path]) -> None:
    _, root = history
    found = {one.step: one for one in verify(ArchiveReader(Catalogue.of(root)), b"")}
    assert [one.differences for one in found.values()] == [[], [], []]
    assert {step: one.checked for step, one in found.items()} == dict.fromkeys(
        ("screening", "filtering", "selection"), ITEMS
    )
    versions = [codec_for("decisions").decode(one.value) for one in decisions_of(root)]
    assert len({one.model_version for one in versions}) > 3, "the models did not move, so this showed little"
    assert {one.criteria_version for one in versions} == {0, 1}
    assert {one.software for one in versions} == {version("borderflow")}
    assert any("CR-REPLAY" in one.criteria for one in versions)
    assert any("mandatory" in one.layers for one in versions)


def decisions_of(root: Path) -> list[Archived]:
    catalogue = Catalogue.of(root)
    reader = ArchiveReader(catalogue)
    return [one for partition in catalogue.partitions("decisions") for one in reader.records("decisions", partition)]


def copied(root: Path, to: Path, change: Any) -> Archived:
    """Archive what selection takes and gives again, one decision changed before it was archived; the changed one."""
    shelf = PolicyShelf(to)
    shelf.keep(built_in_policy())
    reader = ArchiveReader(Catalogue.of(root))
    busiest = max(reader.catalogue.partitions("decisions"), key=lambda p: reader.catalogue.end("decisions", p) or 0)
    altered: Archived | None = None
    for topic, partition in reader.catalogue.places:
        if topic not in ("filtered", "decisions", "labelled-examples"):
            continue
        records = list(reader.records(topic, partition))
        if (topic, partition) == ("decisions", busiest):
            place = len(records) // 2
            altered = records[place] = replace(records[place], value=change(records[place].value))
        write(to, records)
    assert altered is not None
    return altered


def _flip(value: bytes, place: int) -> bytes:
    return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: _flip(value, value.index(b'"lane":"') + 9),
        lambda value: _flip(value, value.index(b'"balance":') + 13),
        # Of a version that there was, lessons held back may have made the very same model.
        lambda value: value.replace(b'"model_version":', b'"model_version":9'),
        lambda value: _flip(value, value.index(b'"policy_version":"') + 20),
        lambda value: value[:-1] + b"]",
    ],
    ids=["lane", "balance", "model-version", "policy-version", "not-json"],
)
def test_a_decision_altered_before_it_was_archived_is_found_and_no_other(
    change: Any, history: tuple[Border, Path], tmp_path: Path
) -> None:
    altered = copied(history[1], tmp_path, change)
    (found,) = differences(tmp_path)
    assert (found.topic, found.partition, found.offset) == ("decisions", altered.partition, altered.offset)


def test_a_decision_altered_in_the_archive_is_found_and_no_other(history: tuple[Border, Path], tmp_path: Path) -> None:
    copied(history[1], tmp_path, lambda value: value)
    assert differences(tmp_path) == []
    file = max((tmp_path / "topic=decisions").rglob("*.parquet"), key=lambda path: path.stat().st_size)
    table = pq.read_table(file, partitioning=None)
    values = table.column("value").to_pylist()
    values[5] = _flip(values[5], values[5].index(b'"score":') + 10)
    place = table.schema.get_field_index("value")
    pq.write_table(table.set_column(place, "value", pa.array(values, pa.binary())), file)
    (found,) = differences(tmp_path)
    assert found.offset == table.column("offset")[5].as_py()
    assert found.fields == ("score",)


@pytest.mark.parametrize(
    ("software", "who"),
    [
        (b"0.0.9", f"This is {version('borderflow')}; decisions above name 0.0.9."),
        (version("borderflow").encode(), None),
    ],
    ids=["another", "this"],
)
def test_what_another_version_decided_otherwise_is_told_to_be_its(
    software: bytes, who: str | None, history: tuple[Border, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    this = version("borderflow").encode()

    def change(value: bytes) -> bytes:
        named = value.replace(b'"software":"%s"' % this, b'"software":"%s"' % software)
        return _flip(named, named.index(b'"balance":') + 13)

    altered = copied(history[1], tmp_path, change)
    with pytest.raises(SystemExit) as ended:
        main(["replay", "--verify", "--decisions-only", "--dir", str(tmp_path)])
    assert ended.value.code == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"offset {altered.offset} differs in balance" in said
    assert ("Another version of borderflow may decide otherwise" in said) == (who is not None)
    assert who is None or who in said


def _plan(until_ms: int = epoch_ms(LATEST)) -> Plan:
    version = built_in_policy().policy_version
    return Plan(since_ms=0, until_ms=until_ms, warm_ms=0, policy=version, partitions=PARTITIONS, part_records=300)


def _replay(root: Path, out: Path, engine: type[Engine | Beside] = Engine) -> Replay:
    reader = ArchiveReader(Catalogue.of(root))
    return Replay(reader, out, _plan(), lambda: engine(built_in_policy(), b"", PARTITIONS))


@pytest.mark.parametrize(
    "engines",
    [(Engine, Engine, Engine), (Beside, Beside, Beside), (Beside, Engine, Beside)],
    ids=["one", "two", "both"],
)
def test_two_replays_write_the_same_bytes_also_when_one_was_stopped(
    history: tuple[Border, Path], tmp_path: Path, engines: tuple[type[Engine | Beside], ...]
) -> None:
    _, root = history
    whole = _replay(root, tmp_path / "whole").run()
    assert whole.complete
    assert whole.decided == ITEMS
    assert len(whole.parts) >= 4

    class PowerCutError(Exception):
        pass

    def cut(count: int) -> None:
        seen.append(count)
        if len(seen) in (700, 1500):
            raise PowerCutError

    seen: list[int] = []
    for engine in engines[:2]:
        with closing(_replay(root, tmp_path / "cut", engine)) as replay, pytest.raises(PowerCutError):
            replay.run(noticed=cut)
    with closing(_replay(root, tmp_path / "cut", engines[2])) as replay:
        replay.run(noticed=cut)
    assert len(seen) < 2 * ITEMS
    one, other = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("whole", "cut"))
    assert one == other


def test_a_replay_ends_when_the_process_beside_it_does(history: tuple[Border, Path], tmp_path: Path) -> None:
    _, root = history

    def cut(count: int) -> None:
        seen.append(count)
        if len(seen) == 700:
            (child,) = active_children()
            child.kill()

    seen: list[int] = []
    with (
        closing(_replay(root, tmp_path / "out", Beside)) as replay,
        pytest.raises(RuntimeError, match="the process that selects ended with exit code -9"),
    ):
        replay.run(noticed=cut)


def test_a_replay_decides_the_items_that_were_decided(history: tuple[Border, Path], tmp_path: Path) -> None:
    _, root = history
    manifest_ = _replay(root, tmp_path / "out").run()
    lines = [json.loads(line) for part in manifest_.parts for line in (tmp_path / "out" / part.name).open()]
    replayed = {line["ce_id"] for line in lines if line["topic"] == "decisions"}
    recorded = {codec_for("decisions").decode(one.value).decision_id for one in decisions_of(root)}
    assert replayed == recorded


def test_the_command_verifies_and_replays_to_topics_of_its_own_only(
    history: tuple[Border, Path], tmp_path: Path
) -> None:
    at, root = history
    before = len(at.read("decisions"))
    at.run("replay", "--dir", str(root), "--verify")
    at.run("replay", "--from", "kafka", "--verify", "--decisions-only")
    at.run("replay", "--dir", str(root), "--out", str(tmp_path / "out"), "--to", "topics", "--prefix", "again-")
    at.run("replay", "--dir", str(root), "--out", str(tmp_path / "two"), "--processes", "2")
    assert len(at.read("again-decisions", ITEMS)) == ITEMS
    assert len(at.read("decisions")) == before
    one, two = (json.loads((tmp_path / name / "replay.json").read_bytes()) for name in ("out", "two"))
    assert (one["plan"].pop("sink"), two["plan"].pop("sink")) == ("again-", "")
    assert one == two
    said = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert (said["whole"]["items"], said["unrecorded"]) == (ITEMS, 0)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "borderflow replay --dir" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
