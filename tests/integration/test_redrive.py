"""Letters are sent again after what was wrong was put right, and what they were about is decided once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.step import Refusal
from streams.cli import main
from streams.deadletter import dead_letter
from tests.integration.border import Border, border, item_ids, parcel, parcel_record

pytestmark = pytest.mark.broker

NOW = datetime.now(UTC) - timedelta(hours=2)


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Border]:
    with border(tmp_path / "logs") as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


def policy_without(office: str, folder: Path) -> str:
    """The default policy, but for one control point."""
    settings = yaml.safe_load(files("streams.policies").joinpath("default.yaml").read_text())
    del settings["control_points"][office]
    (folder / "policy.yaml").write_text(yaml.safe_dump(settings))
    return str(folder / "policy.yaml")


def dlq(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, int]:
    """The JSON that a dlq command prints, and its exit code."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["dlq", *arguments, "--json"])
    return json.loads(capsys.readouterr().out), int(ended.value.code or 0)


def test_what_a_wrong_policy_refused_is_decided_once_after_the_policy_was_put_right(
    at: Border, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv("BORDERFLOW_POLICY_FILE", policy_without("KRPTK-EXP", tmp_path))
        at.open("misled")
    lodged = [parcel(n, lodged_at=NOW + timedelta(seconds=n), eta=NOW + timedelta(hours=20)) for n in range(60)]
    at.lodge("express-cargo", [parcel_record(one) for one in lodged])
    assert len(at.decisions(40)) == 40
    assert len(at.read("express-cargo-dlq", 20)) == 20
    assert at.stop("misled") == 0

    counts, _ = dlq(capsys, "list")
    assert [(one["topic"], one["reason"], one["letters"]) for one in counts] == [
        ("express-cargo", "unknown-control-point", 20)
    ]
    shown, _ = dlq(capsys, "show", "express-cargo", "0")
    assert (shown["reason"], shown["attempt"], "value" in shown) == ("unknown-control-point", 1, False)

    at.start("right")
    at.wait_ready("right")
    choice = ("redrive", "--reason", "unknown-control-point", "--rate", "200")
    assert dlq(capsys, *choice, "--dry-run") == (
        {"dry_run": True, "sent": {"express-cargo": [20, 20]}, "left": []}, 0
    )  # fmt: skip
    assert dlq(capsys, *choice)[0]["sent"] == {"express-cargo": [20, 20]}
    decided = item_ids(at.decisions(60))
    assert decided == {f"express-cargo/{one.waybill}": 1 for one in lodged}
    assert dlq(capsys, *choice)[0]["sent"] == {}, "sent again once is enough"
    assert dlq(capsys, "list")[0] == []
    assert dlq(capsys, "list", "--every")[0][0]["sent_again"] == 20


def test_what_was_refused_too_often_is_left_alone_and_named(
    at: Border, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at.open("one")
    made = parcel(1, lodged_at=NOW, eta=NOW + timedelta(hours=20), control_point="NOWHERE")
    at.lodge("express-cargo", [parcel_record(made)])
    assert len(at.read("express-cargo-dlq", 1)) == 1
    assert dlq(capsys, "redrive", "--every")[1] == 0
    at.read("express-cargo-dlq", 3)  # the letter, its marker, and the letter of the second refusal
    listed, _ = dlq(capsys, "list", "--letters")
    assert [one["attempt"] for one in listed] == [2]
    done, code = dlq(capsys, "redrive", "--every", "--max-attempts", "2")
    assert (done["sent"], code) == ({}, 1)
    assert "refused 2 times (unknown-control-point)" in done["left"][0]


def test_a_record_between_two_steps_that_is_sent_again_twice_is_decided_once(
    at: Border, capsys: pytest.CaptureFixture[str]
) -> None:
    at.open("one")
    first, last = (parcel(n, lodged_at=NOW, eta=NOW + timedelta(hours=20)) for n in (1, 2))
    at.lodge("express-cargo", [parcel_record(first)])
    assert len(at.decisions(1)) == 1
    (filtered,) = at.read("filtered", 1)
    at.lodge("filtered-dlq", [dead_letter(filtered, Refusal(filtered.offset, "no-score", "", ""), "selection", 1)])
    for choice in (("--every",), ("--every", "--again")):
        assert dlq(capsys, "redrive", *choice)[0]["sent"] == {"filtered": [1, 1]}
    at.lodge("express-cargo", [parcel_record(last)])
    decided = [event.item_id.removeprefix("express-cargo/") for _, event in at.decisions(3)]
    at.running()
    assert decided == [first.waybill, first.waybill, last.waybill], "lodged once, sent again once"
