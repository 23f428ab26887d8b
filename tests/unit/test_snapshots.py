"""Snapshots of models only shorten the way; a history with a broken file says which, and the rest is read."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from load.bench.history import KEY, make_history
from streams.archive.layout import ArchiveError, Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.sealing import ArchiveKey
from streams.archive.tidying import retire
from streams.archive.writing import METADATA
from streams.cli import main
from streams.replay.snapshots import Snapshots
from streams.replay.verify import verify


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short history with lessons, longer than the windows of selection."""
    root = tmp_path_factory.mktemp("snapshots") / "archive"
    make_history(root, items=3000, days=45)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    return Path(shutil.copytree(made, tmp_path / "archive"))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(str(ended.value.code or 0))


def test_verification_from_any_snapshot_finds_the_same(root: Path) -> None:
    end = Catalogue.of(root).end("labelled-examples", 0)
    assert end is not None
    assert end > 20
    for version in (0, 1, end // 2, end):
        assert run("archive", "snapshot", "--model", str(version), "--dir", str(root)) == 0
        assert Snapshots(root).read(version) is not None
        (found,) = verify(ArchiveReader(Catalogue.of(root)), None)
        assert found.checked > 2000
        assert found.differences == []


def test_a_made_history_follows_from_its_lodgements_byte_for_byte(made: Path) -> None:
    found = verify(ArchiveReader(Catalogue.of(made)), KEY)
    assert [one.step for one in found] == ["screening", "filtering", "selection"]
    assert all(one.checked > 2000 for one in found)
    assert [one.differing for one in found] == [0, 0, 0]


def test_another_pseudonym_key_is_named_as_the_likely_cause(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BORDERFLOW_PSEUDONYM_KEY", "another-key-than-the-history-was-made-with")
    assert run("replay", "--dir", str(made), "--verify") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "Is BORDERFLOW_PSEUDONYM_KEY the key that was used then?" in said


def test_a_snapshot_scores_as_the_folded_models_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = Catalogue.of(root).end("labelled-examples", 0)
    run("archive", "snapshot", "--dir", str(root))
    monkeypatch.setattr("streams.replay.shelf._WORTH_A_SNAPSHOT", 0)
    read: list[int] = []
    taken = Snapshots.latest

    def noting(self: Snapshots, upto: int) -> object:
        brain = taken(self, upto)
        read.append(-1 if brain is None else brain.version)
        return brain

    monkeypatch.setattr(Snapshots, "latest", noting)
    run("archive", "snapshot", "--model", str((end or 0) // 2), "--dir", str(root))
    (found,) = verify(ArchiveReader(Catalogue.of(root)), None)
    assert found.differences == []
    assert (end or 0) // 2 in read


def test_a_snapshot_that_fails_its_sha256_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("archive", "snapshot", "--model", "10", "--dir", str(root))
    (file,) = (root / "snapshots").glob("*.model")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"00010\.model: the snapshot of model version 10 fails its sha256"):
        Snapshots(root).latest(20)
    file.write_bytes(b"nothing like it")
    with pytest.raises(ArchiveError, match="does not say what it is"):
        Snapshots(root).latest(20)
    assert Snapshots(root).latest(9) is None
    file.unlink()
    assert verify(ArchiveReader(Catalogue.of(root)), None)[0].differences == []


def test_a_snapshot_of_another_key_is_not_taken(root: Path) -> None:
    run("archive", "snapshot", "--model", "10", "--dir", str(root))
    with pytest.raises(ArchiveError, match="was not sealed with this archive's key"):
        Snapshots(root, ArchiveKey(b"k" * 32)).latest(20)


def test_a_snapshot_without_a_seal_that_others_can_have_written_is_not_unpickled(root: Path) -> None:
    assert run("archive", "snapshot", "--model", "5", "--dir", str(root)) == 0
    (file,) = (root / "snapshots").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Snapshots(root).read(5) is not None
    file.chmod(0o620)
    with pytest.raises(ArchiveError, match="others than you can have written it"):
        Snapshots(root).read(5)


def test_a_truncated_file_is_named_and_the_rest_still_read(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = sorted((root / "topic=express-cargo").rglob("*.parquet"))[3]
    os.truncate(file, file.stat().st_size // 2)
    assert run("replay", "--verify", "--decisions-only", "--dir", str(root)) == 0
    assert "0 differ" in capsys.readouterr().out
    assert run("replay", "--dir", str(root), "--out", str(root / "out")) == 2
    assert f"{file}: cannot be read as Parquet ({file.stat().st_size} bytes)" in capsys.readouterr().err


def test_lessons_that_retention_took_out_are_named_by_all_that_folds_them(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Catalogue.of(root).files("labelled-examples")[0]
    assert retire(root, {"labelled-examples": 0}) > 0  # as earlier versions did
    commands = (
        ("replay", "--verify", "--decisions-only"),
        ("replay", "--out", str(root / "out")),
        ("simulate", "--policy", "default", "--out", str(root / "out")),
        ("simulate", "--policy", "default", "--model", "10", "--out", str(root / "out")),
        ("archive", "snapshot"),
    )
    for command in commands:
        assert run(*command, "--dir", str(root)) == 2
        assert f"{first}: retention took" in capsys.readouterr().err


def test_a_gap_in_offsets_is_named_and_the_rest_still_read(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = ArchiveReader(Catalogue.of(root))
    records = list(reader.records("express-cargo", 1))
    shutil.rmtree(root / "topic=express-cargo")
    from tests.archive_files import write

    write(root, records[:10])
    write(root, records[15:])
    assert run("archive", "status", "--dir", str(root)) == 1
    assert "offsets 10 to 14 of express-cargo[1] are missing before it" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(ArchiveError, match="offsets 10 to 14 of express-cargo"):
        list(ArchiveReader(Catalogue.of(root)).records("express-cargo", 1))
    assert list(ArchiveReader(Catalogue.of(root)).records("decisions", 0))


def test_a_file_of_a_later_format_is_named_and_the_rest_still_read(root: Path) -> None:
    file = sorted((root / "topic=decisions").rglob("00000-*.parquet"))[0]
    table = pq.read_table(file, partitioning=None)
    said = table.schema.metadata[METADATA].replace(b'"topic"', b'"format":99,"topic"', 1)
    pq.write_table(table.replace_schema_metadata({METADATA: said}), file)
    with pytest.raises(ArchiveError, match=rf"{file}: has format 99; this version reads up to 2"):
        list(ArchiveReader(Catalogue.of(root)).records("decisions", 0))
    assert list(ArchiveReader(Catalogue.of(root)).records("decisions", 1))


def test_records_of_an_unknown_schema_version_are_kept_and_counted(root: Path) -> None:
    from dataclasses import replace

    from streams.policies import built_in_policy
    from streams.replay.engine import Engine
    from streams.replay.run import Plan, Replay
    from tests.archive_files import write

    records = list(ArchiveReader(Catalogue.of(root)).records("express-cargo", 0))
    later = [(name, said.replace(b".v1", b".v99") if name == "ce_type" else said) for name, said in records[5].headers]
    assert later != list(records[5].headers)
    records[5] = replace(records[5], headers=later)
    for folder in root.glob("topic=express-cargo/*"):
        for file in folder.glob("00000-*"):
            file.unlink()
    write(root, records)
    policy = built_in_policy()
    plan = Plan(since_ms=0, until_ms=1 << 50, warm_ms=0, policy=policy.policy_version, partitions=4)
    reader = ArchiveReader(Catalogue.of(root))
    done = Replay(reader, root / "out", plan, lambda: Engine(policy, b"history", 4)).run()
    assert sum(done.refused.values()) == 1
    assert done.decided > 2000
