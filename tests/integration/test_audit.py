"""The audit chains on a real broker: killed and started again, each record is sealed once; tampering is named."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.audit.book import Chain
from streams.cli import main
from streams.wire import Outgoing
from tests.integration.border import PARTITIONS, Border, border, raw_record

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
        deadline = time.monotonic() + 60
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
        assert process.wait(30) == 1
        assert "audit verify" in forged.log("seal")
