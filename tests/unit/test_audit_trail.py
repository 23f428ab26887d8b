"""The trail of one process: what was written stays, and whoever holds a head can tell."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams.audit.chain import AuditError
from streams.audit.trail import Trail, TrailBroken, TrailHead, check_trail
from streams.cli import main


def trail_of(path: Path, count: int = 10) -> TrailHead:
    trail = Trail(path, now=lambda: datetime(2026, 3, 2, 12, tzinfo=UTC))
    for number in range(count):
        trail.append({"who": "officer-7", "did": "viewed", "alert": f"A{number}", "score": 0.1 + number})
    trail.close()
    return trail.head


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def test_a_trail_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    held = trail_of(path)
    head = trail_of(path)
    assert head.lines == 20
    assert check_trail(path) == check_trail(path, held) == head
    assert json.loads(lines_of(path)[10])["entry"]["did"] == "viewed"


@pytest.mark.parametrize(
    ("how", "line"),
    [
        (lambda x: [*x[:3], x[3].replace("officer-7", "officer-8"), *x[4:]], 4),
        (lambda x: x[:3] + x[4:], 4),
        (lambda x: [*x[:3], x[4], x[3], *x[5:]], 4),
        (lambda x: [*x[:3], x[2], *x[3:]], 4),
        (lambda x: [*x[:3], "{}\n", *x[3:]], 4),
        (lambda x: x[1:], 1),
        (lambda x: [*x[:3], x[3].replace('"entry":{', '"entry":{"who":"officer-8"},"entry":{'), *x[4:]], 4),
        (lambda x: [*x[:3], x[3].replace('"did":', '"did":"nothing","did":'), *x[4:]], 4),
        (lambda x: [*x[:3], x[3].replace('"did":', '"did": '), *x[4:]], 4),
        (lambda x: [*x[:3], x[3].replace('"score":3.1', '"score":NaN'), *x[4:]], 4),
        (lambda x: [*x[:3], x[3].replace('"A3"', '"\\ud800"'), *x[4:]], 4),
    ],
    ids=[
        "edited",
        "dropped",
        "reordered",
        "doubled",
        "inserted",
        "beginning dropped",
        "said twice",
        "said twice inside",
        "spaced",
        "no number",
        "no character",
    ],
)
def test_the_first_line_that_is_not_as_it_was_is_named(tmp_path: Path, how: object, line: int) -> None:
    path = tmp_path / "trail.jsonl"
    trail_of(path)
    path.write_text("".join(how(lines_of(path))))  # type: ignore[operator]
    found = check_trail(path)
    assert isinstance(found, TrailBroken)
    assert found.line == line
    with pytest.raises(AuditError, match=f"line {line}"):
        Trail(path)


def test_a_trail_cut_at_its_end_is_told_by_a_head_held_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trail.jsonl"
    held = trail_of(path)
    path.write_text("".join(lines_of(path)[:-2]))
    assert isinstance(check_trail(path), TrailHead)
    assert check_trail(path, held) == TrailBroken(9, "is missing: the trail had 10 lines when the held head was taken")
    for arguments, code in (
        (["audit", "trail", str(path)], 0),
        (["audit", "trail", str(path), "--head", str(held)], 1),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
    assert "line 9 is missing" in capsys.readouterr().out


def test_a_line_that_a_crash_cut_short_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    held = trail_of(path)
    with open(path, "a") as file:
        file.write('{"line": 11, "ent')
    assert check_trail(path) == held
    assert trail_of(path, 1).lines == 11
    assert isinstance(check_trail(path, held), TrailHead)


def test_one_process_writes_a_trail_and_its_threads_share_it(tmp_path: Path) -> None:
    trail = Trail(tmp_path / "trail.jsonl")
    with pytest.raises(AuditError, match="another process"):
        Trail(tmp_path / "trail.jsonl")
    threads = [threading.Thread(target=lambda: [trail.append({"n": n}) for n in range(20)]) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert check_trail(trail.path) == trail.head
    assert trail.head.lines == 80
    trail.close()


def test_a_trail_is_closed_to_others(tmp_path: Path) -> None:
    trail_of(tmp_path / "trails" / "console.jsonl", 1)
    for path in (tmp_path / "trails", tmp_path / "trails" / "console.jsonl"):
        assert path.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("head", ["", "9" * 5_000 + ":ab"])
def test_a_held_head_that_is_empty_or_endless_is_refused(
    head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trail_of(tmp_path / "trail", 1)
    with pytest.raises(SystemExit) as ended:
        main(["audit", "trail", str(tmp_path / "trail"), "--head", head])
    assert (ended.value.code, "write LINES:HASH" in capsys.readouterr().err.replace("\n", " ")) == (2, True)


@pytest.mark.parametrize("lines", ["²", "٣", "-1", ""])
def test_a_held_head_that_is_none_is_refused(lines: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trail_of(tmp_path / "trail", 1)
    with pytest.raises(SystemExit) as ended:
        main(["audit", "trail", str(tmp_path / "trail"), f"--head={lines}:aa"])
    assert (ended.value.code, "write LINES:HASH" in capsys.readouterr().err.replace("\n", " ")) == (2, True)
