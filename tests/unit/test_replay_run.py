"""A replay into files: one folder is one replay, of one archive, by one process, with whatever times lodgers wrote."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import resource
import signal
import stat
import subprocess
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from errno import ENOSPC
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from agents.epoch import epoch_ms
from load.bench.history import KEY, make_history
from load.children import COMMAND
from streams.archive.layout import ArchiveError, Catalogue
from streams.archive.policies import PolicyShelf
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.archive.times import LATEST
from streams.cli import main
from streams.commands.replay import refusing
from streams.policies import built_in_policy
from streams.replay.beside import Beside
from streams.replay.engine import Engine
from streams.replay.history import happened
from streams.replay.run import Part, Plan, Replay, key_id, only_replay
from streams.wire import cloud_event
from tests.archive_files import DAY_MS, NOON_MS, example_records, parcels, write

POLICY = built_in_policy()
SECOND = 1000


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of 100 items."""
    root = tmp_path_factory.mktemp("replayed") / "archive"
    make_history(root, items=300, days=3)
    return root


def lodged(root: Path, records: Iterable[Archived]) -> Path:
    """An archive of lodgements alone."""
    PolicyShelf(root).keep(POLICY)
    write(root, list(records))
    return root


def plan(**changes: Any) -> Plan:
    settings = {"since_ms": 0, "until_ms": epoch_ms(LATEST), "warm_ms": 0, "policy": POLICY.policy_version,
                "partitions": 1, "pseudonyms": key_id(KEY), **changes}  # fmt: skip
    return Plan(**settings)


def replayed(root: Path, out: Path, engine: type[Engine | Beside] = Engine, **changes: Any) -> Replay:
    reader = ArchiveReader(Catalogue.of(root))
    return Replay(reader, out, plan(**changes), lambda: engine(POLICY, KEY, 1))


def decided(out: Path) -> list[str]:
    lines = [json.loads(line) for part in sorted(out.glob("part-*")) for line in part.open()]
    return [line["ce_id"] for line in lines if line["topic"] == "decisions"]


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["replay", *arguments])
    return int(ended.value.code or 0)


def test_two_processes_write_the_bytes_of_one_whatever_offset_a_time_has(tmp_path: Path) -> None:
    def elsewhere(one: Archived) -> Archived:
        told = json.loads(one.value or b"")
        told["lodged_at"] = told["lodged_at"].replace("12:00", "21:00").replace("Z", "+09:00")
        told["eta"] = "9999-12-31T23:59:59-14:00" if one.offset == 3 else told["eta"].replace("Z", "+00:00")
        return replace(one, value=json.dumps(told).encode())

    root = lodged(tmp_path / "archive", map(elsewhere, parcels(20)))
    for name, engine in (("one", Engine), ("two", Beside)):
        with closing(replayed(root, tmp_path / name, engine)) as run:
            assert run.run().decided == 20
    assert b"+09:00" in (tmp_path / "one" / "part-000000.jsonl").read_bytes()
    one, two = ((tmp_path / name / "part-000000.jsonl").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_folder_is_the_replay_of_one_archive_one_key_and_one_destination(tmp_path: Path) -> None:
    root = lodged(tmp_path / "archive", parcels(20))
    other = lodged(tmp_path / "other", (replace(one, offset=one.offset - 1) for one in parcels(20, first=1)))
    shorter = lodged(tmp_path / "shorter", parcels(10))
    replayed(root, tmp_path / "out").run()
    for archive, changes, said in (
        (root, {"pseudonyms": key_id(b"another")}, "another replay is in this folder"),
        (root, {"sink": "replay-"}, "another replay is in this folder"),
        (other, {}, "is a replay of another archive"),
        (shorter, {}, "is a replay of another archive"),
    ):
        with pytest.raises(ArchiveError, match=said):
            replayed(archive, tmp_path / "out", **changes)
    again = replayed(root, tmp_path / "out")
    assert (again.was_complete, again.grown) == (True, False)


def test_an_archive_is_the_same_after_retention_took_its_beginning(tmp_path: Path) -> None:
    root = lodged(tmp_path / "archive", parcels(10))
    write(root, parcels(10, first=10))
    replayed(root, tmp_path / "out").run()
    later = lodged(tmp_path / "later", parcels(10, first=10))
    assert replayed(later, tmp_path / "out").was_complete


def test_a_replay_that_was_stopped_goes_on_to_where_the_archive_ended_then(tmp_path: Path) -> None:
    root = lodged(tmp_path / "archive", parcels(600))
    whole = replayed(root, tmp_path / "whole").run()

    class PowerCutError(Exception):
        pass

    def cut(count: int) -> None:
        seen.append(count)
        if len(seen) == 550:
            raise PowerCutError

    seen: list[int] = []
    with pytest.raises(PowerCutError):
        replayed(root, tmp_path / "cut", part_records=100).run(noticed=cut)
    write(root, parcels(200, first=600))
    rest = replayed(root, tmp_path / "cut", part_records=100)
    assert rest.run().complete
    assert decided(tmp_path / "cut") == decided(tmp_path / "whole")
    assert rest.grown
    assert replayed(root, tmp_path / "whole").run().ends == whole.ends == {"express-cargo/0": 600}


@pytest.mark.parametrize("engine", [Engine, Beside])
def test_a_replay_whose_disk_was_full_behind_a_checkpoint_goes_on_from_the_one_before(
    engine: type[Engine | Beside], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = lodged(tmp_path / "archive", parcels(1700))
    with closing(replayed(root, tmp_path / "whole", engine, part_records=500)) as whole:
        assert len(whole.run().parts) == 4
    written: list[str] = []
    write_file = Replay._write

    def without_room(replay: Replay, name: str, data: bytes) -> None:
        written.append(name)
        if written.count("replay.json") == 3:
            raise OSError(ENOSPC, "No space left on device")
        write_file(replay, name, data)

    with monkeypatch.context() as full, closing(replayed(root, tmp_path / "cut", engine, part_records=500)) as cut:
        full.setattr(Replay, "_write", without_room)
        with pytest.raises(OSError, match="No space"):
            cut.run()
    assert len(list((tmp_path / "cut").glob("checkpoint-*"))) == 2
    with closing(replayed(root, tmp_path / "cut", engine, part_records=500)) as cut:
        assert len(cut.manifest.parts) == 2
        cut.run()
    one, other = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("whole", "cut"))
    assert one == other


def test_every_item_is_in_one_of_two_replays_that_adjoin(tmp_path: Path) -> None:
    """Lodged at noon by their own clocks, and sent ten minutes later: around the border between two replays."""
    late = [replace(one, timestamp=one.timestamp + 600 * SECOND) for one in parcels(40, spread_ms=60 * SECOND)]
    root = lodged(tmp_path / "archive", late)
    border = NOON_MS + 20 * 60 * SECOND
    first = replayed(root, tmp_path / "first", until_ms=border).run()
    second = replayed(root, tmp_path / "second", since_ms=border).run()
    together = decided(tmp_path / "first") + decided(tmp_path / "second")
    assert len(together) == len(set(together)) == 40
    assert (first.items, second.items) == (10, 30), "what only fills the states is not counted"


@pytest.mark.parametrize("engine", [Engine, Beside])
def test_what_was_refused_before_the_time_in_question_is_not_counted(
    tmp_path: Path, engine: type[Engine | Beside]
) -> None:
    """Nobody inspects at the place of the first three parcels and the last; the fourth and the last but one are cut."""

    def lodged_as(one: Archived) -> Archived:
        if one.offset in (3, 38):
            return replace(one, value=b"{")
        nowhere = one.offset in (0, 1, 2, 39)
        return replace(one, value=(one.value or b"").replace(b"KRICN-EXP", b"XXABC-EXP")) if nowhere else one

    root = lodged(tmp_path / "archive", map(lodged_as, parcels(40, spread_ms=60 * SECOND)))
    with closing(replayed(root, tmp_path / "out", engine, since_ms=NOON_MS + 20 * 60 * SECOND)) as run:
        told = run.run()
    assert (told.items, told.decided) == (19, 18)
    assert told.refused == {"unknown-control-point": 1, "not-json": 1}


@pytest.mark.parametrize("to_a_chunk", [3, 1])
def test_a_lesson_of_a_clock_that_is_ahead_is_left_out_nowhere_and_holds_back_no_other(
    to_a_chunk: int, tmp_path: Path
) -> None:
    (example, *_) = example_records("labelled-examples")

    def lesson(offset: int, at_ms: int, sent: str) -> Archived:
        headers = cloud_event(f"l-{offset}", "OutcomeLearned.v1", b"/test", f"2026-03-02T{sent}:00Z".encode())
        return replace(example, offset=offset, timestamp=at_ms, headers=headers)

    lessons = [
        lesson(0, NOON_MS, "12:00"),
        lesson(1, NOON_MS + 30 * DAY_MS, "12:05"),
        lesson(2, NOON_MS + 600 * SECOND, "12:10"),
    ]
    root = lodged(tmp_path / "archive", parcels(20, spread_ms=60 * SECOND))
    write(root, lessons, size=to_a_chunk)
    taken = [one.record for one in happened(ArchiveReader(Catalogue.of(root)), {}, 0, NOON_MS + DAY_MS)]
    before = {one.offset: taken[place - 1].offset for place, one in enumerate(taken) if one.topic != "express-cargo"}
    assert before == {0: before[0], 1: 4, 2: 9}, "each lesson comes when it was sent"


def test_two_replays_do_not_write_into_one_folder(tmp_path: Path) -> None:
    refused = pytest.raises(ArchiveError, match="another replay is writing here")
    with only_replay(tmp_path / "out"), refused, only_replay(tmp_path / "out"):
        pass
    with only_replay(tmp_path / "out"):
        pass


def test_what_a_replay_writes_is_for_its_owner_alone(history: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command("--dir", str(history), "--out", str(out), "--processes", "1") == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in out.iterdir()}
    written = {"part-000000.jsonl", "replay.json", "report.html", "report.json"}
    assert {modes[name] for name in written} == {0o600}


class Trap:
    """What a stranger would put into a checkpoint: unpickled, it does what they like."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._file,))


def test_a_checkpoint_that_others_can_have_written_is_not_unpickled(tmp_path: Path) -> None:
    root, out, sprung = lodged(tmp_path / "archive", parcels(3)), tmp_path / "out", tmp_path / "sprung"
    out.mkdir()
    forged = replayed(root, out)
    forged._write_part(None)  # begun, and not ended
    forged.manifest.parts = [Part("part-000000.jsonl", hashlib.sha256(b"").hexdigest(), 0)]
    (out / "part-000000.jsonl").touch()
    body = pickle.dumps(Trap(sprung))
    forged.manifest.checkpoint = hashlib.sha256(body).hexdigest()
    forged._write(forged._checkpoint.name, body)
    forged._write("replay.json", msgspec.json.encode(forged.manifest))
    forged._checkpoint.chmod(0o666)
    with pytest.raises(ArchiveError, match="others than you can have written it; name a new folder"):
        replayed(root, out)
    assert not sprung.exists()


def test_a_replay_of_what_nobody_inspected_yet_has_a_report(tmp_path: Path) -> None:
    first_day = lodged(tmp_path / "first-day", parcels(20))
    for code, more in enumerate(((), ("--since", "2026-03-02T23:00Z"))):  # nothing is decided of the last hour
        out = tmp_path / f"out-{code}"
        arguments = ("--dir", str(first_day), "--out", str(out), "--policy", "default", "--processes", "1", *more)
        assert command(*arguments) == code
        said = json.loads((out / "report.json").read_bytes())
        assert (said["seizures_then"], said["seizures_kept"], said["whole"]["selected_then"]) == (0, 0, 0)


def test_a_replay_with_another_pseudonym_key_says_so(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, wrong in ((KEY.decode(), False), ("another", True)):
        monkeypatch.setenv("BORDERFLOW_PSEUDONYM_KEY", key)
        assert command("--dir", str(history), "--out", str(tmp_path / key), "--processes", "1") == 0
        said = " ".join(capsys.readouterr().err.split())
        assert ("Is BORDERFLOW_PSEUDONYM_KEY the key that was used then?" in said) is wrong
        assert ("the key that was used then?" in (tmp_path / key / "report.html").read_text()) is wrong


def test_a_complete_replay_says_that_nothing_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = lodged(tmp_path / "archive", parcels(20))
    arguments = ("--dir", str(root), "--out", str(tmp_path / "out"), "--policy", "default", "--processes", "1")
    assert command(*arguments) == 0
    assert "complete already" not in capsys.readouterr().err
    write(root, parcels(5, first=20))
    assert command(*arguments) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "is complete already, nothing was done; the archive has grown since" in said


@pytest.mark.parametrize(
    "options", [("--decisions-only",), ("--verify", "--policy", "default"), ("--verify", "--to", "topics")]
)
def test_an_option_that_has_no_effect_is_refused(
    options: tuple[str, ...], history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*options, "--dir", str(history), "--out", str(tmp_path / "out")) == 2
    assert "has no effect with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_verification_that_could_check_nothing_is_not_one_that_found_nothing(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archive that was begun late: for 35 days it is not known what decisions follow from."""
    PolicyShelf(tmp_path).keep(POLICY)
    reader = ArchiveReader(Catalogue.of(history))
    for topic, partition in reader.catalogue.places:
        held = list(reader.records(topic, partition))
        write(tmp_path, held[1:] if topic == "decisions" else held)
    assert command("--verify", "--decisions-only", "--dir", str(history)) == 0
    assert command("--verify", "--decisions-only", "--dir", str(tmp_path)) == 1
    said = capsys.readouterr()
    assert "selection: 0 checked, 0 differ" in said.out
    assert said.err == "borderflow: nothing could be checked\n"


@pytest.mark.parametrize("days", ["nan", "inf", "-1"])
def test_days_that_are_none_are_refused(days: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("replay", "simulate"):
        with pytest.raises(SystemExit) as ended:
            main([group, f"--warm-days={days}", "--dir", str(tmp_path)])
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"borderflow: --warm-days: {days} is not between 0 and 36,500\n"


@pytest.mark.parametrize("group", ["replay", "simulate"])
def test_a_damaged_file_is_named_in_one_line(
    group: str, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = ArchiveReader(Catalogue.of(history))
    for topic, partition in reader.catalogue.places:
        write(tmp_path / "archive", list(reader.records(topic, partition)))
    file = next((tmp_path / "archive" / "topic=decisions").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SystemExit) as ended:
        main([group, "--dir", str(tmp_path / "archive"), "--out", str(tmp_path / "out"), "--policy", "default"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("borderflow: ")
    assert said.count("\n") == 1
    assert file.name in said


@pytest.mark.parametrize("options", [("--out", "out"), ("--verify",), ("--verify", "--decisions-only")])
def test_a_time_of_which_nothing_is_archived_is_refused_before_anything_is_written(
    options: tuple[str, ...],
    history: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for root, said in ((tmp_path / "empty", "no record is archived of"), (history, "they are of 2025-01-06 to 2025-")):
        assert command("--dir", str(root), "--since", "2031-01-01", "--until", "2031-02-01", *options) == 2
        told = capsys.readouterr().err
        assert (told.count("\n"), f"{root}: no record" in told, said in told) == (1, True, True)
    assert [one.name for one in tmp_path.iterdir()] == ["empty"]


def test_a_policy_that_has_none_of_the_offices_decides_nothing_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lodged(tmp_path / "archive", parcels(5))
    elsewhere = "version: elsewhere\ncontrol_points: {XXABC-EXP: {streams: [express-cargo]}}\n"
    (tmp_path / "policy.yaml").write_text(elsewhere)
    arguments = ("--dir", str(root), "--policy", str(tmp_path / "policy.yaml"), "--out", str(tmp_path / "out"))
    assert command(*arguments, "--processes", "1") == 1
    said = capsys.readouterr()
    assert re.fullmatch(r"nothing was decided: policy elsewhere\+\w+ refused all of it\n", said.err)
    assert "; refused: unknown-control-point 5\n" in said.out, "in one line, as it goes into a file"


def test_a_policy_that_lacks_an_office_names_it(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = yaml.safe_load(files("streams.policies").joinpath("default.yaml").read_text())
    del settings["control_points"]["KRICN-EXP"]
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(settings))
    arguments = ("--dir", str(history), "--policy", str(tmp_path / "policy.yaml"), "--out", str(tmp_path / "out"))
    assert command(*arguments, "--processes", "1") == 0
    said = "has no control point for what was decided then at KRICN-EXP: it is not in this replay"
    assert said in capsys.readouterr().err
    assert said in (tmp_path / "out" / "report.json").read_text()


def test_a_replay_that_is_interrupted_says_so_in_one_line_and_goes_on_where_its_parts_end(tmp_path: Path) -> None:
    root = lodged(tmp_path / "archive", parcels(3, spread_ms=DAY_MS))
    arguments = ["replay", "--dir", str(root), "--out", str(tmp_path / "out"), "--policy", "default", "--speed", "1x"]
    done = subprocess.Popen(
        [*COMMAND, *arguments, "--processes", "1"], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell ignores it in the background
    )  # fmt: skip
    while not (tmp_path / "out" / ".lock").exists():
        assert done.poll() is None
    done.send_signal(signal.SIGINT)
    assert done.communicate(timeout=60)[1] == "borderflow: interrupted\n"
    assert done.returncode == 130
    assert not (tmp_path / "out" / "replay.json").exists()
    assert command(*arguments[1:-2]) == 0


def test_who_has_the_key_is_told_of_files_that_no_mac_speaks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lodged(tmp_path / "archive", parcels(5))
    arguments = ("--dir", str(root), "--policy", "default", "--processes", "1", "--out")
    (tmp_path / "key").write_bytes(b"a key of thirty-two bytes or more")
    assert command(*arguments, str(tmp_path / "one")) == 0
    assert "MAC" not in capsys.readouterr().err
    monkeypatch.setenv("BORDERFLOW_ARCHIVE_KEY_FILE", str(tmp_path / "key"))
    assert command(*arguments, str(tmp_path / "two")) == 0
    assert "borderflow: 1 of the files that were read have no MAC" in capsys.readouterr().err


def test_a_full_disk_ends_a_replay_in_one_line(tmp_path: Path) -> None:
    root = lodged(tmp_path / "archive", parcels(200))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    arguments = ["replay", "--dir", str(root), "--out", str(tmp_path / "out"), "--policy", "default"]
    done = subprocess.run(
        [*COMMAND, *arguments, "--processes", "1"], env={**os.environ}, preexec_fn=limit, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"borderflow: {tmp_path / 'out'}: File too large\n"


def test_a_pipe_that_was_closed_is_no_full_disk(tmp_path: Path) -> None:
    read, written = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError), open(written, "wb", 0) as pipe, refusing(tmp_path):
        pipe.write(b"x")
