"""The targeting benchmark on a very small world and a few rows: its rows, its report, its baselines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from load.datasets.cdd import COLUMNS

pytest.importorskip("matplotlib", reason="needs the extra `bench`")
pytest.importorskip("lightgbm", reason="needs the extra `bench`")

from agents.loop import Loop, whole_loop
from agents.risk.features import Description
from load.bench import targeting, targeting_cdd, targeting_world
from load.bench.targeting_strategies import Example
from load.reading import LODGEMENTS
from load.truth import Fate, Truth
from streams.policies import load_policy

WORLD_KEYS = {
    "seed",
    "strategy",
    "kind",
    "coverage",
    "seizure_rate",
    "oracle_share",
    "never_found",
    "days_to_third_hit",
}
CDD_KEYS = {
    "view", "strategy", "rate", "precision_all", "precision_last13", "se_last13", "recall_last13",
    "norm_precision_last13", "score_us", "learn_us",
}  # fmt: skip


def test_a_small_world_gives_rows_by_strategy_and_kind_and_a_report(tmp_path: Path) -> None:
    found, page = tmp_path / "rows.json", tmp_path / "report.html"
    arguments = ["--world", "0", "--days", "5", "--items", "300", "--strategies", "borderflow", "random", "River LR"]
    assert targeting.main([*arguments, "--json", str(found), "--html", str(page)]) == 0
    rows = json.loads(found.read_text())["rows"]
    assert {row["strategy"] for row in rows} == {"borderflow", "random", "River LR"}
    assert all(row.keys() == WORLD_KEYS for row in rows)
    assert all(0.0 < row["coverage"] < 0.06 for row in rows)
    text = page.read_text()
    assert "<svg" in text
    assert "src=" not in text


def test_nothing_is_decided_with_what_was_found_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[datetime] = []
    decided = 0

    class Noting(Loop):
        def send(self, topic: str, records: Any) -> Any:
            nonlocal decided
            for record in records if topic in LODGEMENTS else ():
                decided += 1
                assert not learnt or max(learnt) <= record.event.lodged_at
            return super().send(topic, records)

        def inspect(self, results: Any) -> Any:
            learnt.extend(result.inspected_at for result in results)
            return super().inspect(results)

    def noting(*given: Any, **named: Any) -> Loop:
        loop = whole_loop(*given, **named)
        loop.__class__ = Noting
        return loop

    monkeypatch.setattr(targeting_world, "whole_loop", noting)
    targeting_world.run_borderflow(0, 6, 2000, load_policy(), "surge", lambda *_: None)
    assert decided > 1000
    assert len(learnt) > 50


class Diary:
    """A strategy that inspects whatever comes, and keeps what it was shown of prior records."""

    name, explore = "diary", 0.0

    def __init__(self) -> None:
        self.shown: list[dict[str, float]] = []
        self.learnt: list[dict[str, float]] = []

    def score(self, examples: Sequence[Example]) -> list[float]:
        self.shown += [example.description.quantities for example in examples]
        return [0.0] * len(examples)

    def learn(self, examples: Sequence[Example], labels: Sequence[int]) -> None:
        self.learnt += [example.description.quantities for example in examples]


def test_the_records_that_a_baseline_sees_are_of_its_own_inspections() -> None:
    truth, at = Truth(), datetime(2025, 1, 6, tzinfo=UTC)
    days = [int(at.timestamp() / targeting_world.DAY) + number for number in range(8)]
    fates = [Fate(f"i{day}", "express-cargo", "P", at, 0.5, True) for day in days]
    truth.add("express-cargo", "all", fates)
    examples = [
        Example(f"i{day}", float(day), "P", Description([], [], (), {"log-mass": 1.0}, ()), ("c", "s")) for day in days
    ]
    diary, blind = Diary(), Diary()
    run = targeting_world.run_baseline(diary, examples, truth, 1, 1.0, lambda *_: None)
    assert len(run.picked) == 8
    seen = [round(math.expm1(shown.get("shipper-record-inspections", 0.0))) for shown in diary.shown]
    assert seen[:2] == [0, 0], "results come back a day or more later"
    assert seen == sorted(seen)
    assert 4 <= seen[-1] <= 7
    assert diary.learnt == diary.shown[: len(diary.learnt)], "what is learnt from is what was scored"
    targeting_world.run_baseline(blind, examples, truth, 1, 0.0, lambda *_: None)
    assert blind.shown == [{"log-mass": 1.0}] * 8


def test_a_few_declarations_give_rows_by_view_strategy_and_rate(tmp_path: Path) -> None:
    path, found = tmp_path / "rows.csv", tmp_path / "rows.json"
    with path.open("w", newline="") as lines:
        rows = csv.DictWriter(lines, COLUMNS)
        rows.writeheader()
        for number in range(60 * 10):
            rows.writerow(declaration(number))
    page = tmp_path / "report.html"
    arguments = ["--data", str(path), "--rates", "0.1", "--draws", "2", "--slow-draws", "1", "--html", str(page)]
    names = ["borderflow", "static rules", "XGBoost weekly", "LightGBM weekly", "River ARF"]
    assert targeting.main([*arguments, "--strategies", *names, "--json", str(found)]) == 0
    made = json.loads(found.read_text())["rows"]
    assert {(row["view"], row["strategy"]) for row in made} == {
        (view, name) for view in ("full", "unseen-tuple", "no-exact-tuple") for name in names
    }
    assert all(row.keys() == CDD_KEYS for row in made)
    full = {row["strategy"]: row["precision_all"] for row in made if row["view"] == "full"}
    assert page.read_text().count("<svg") == 6  # precision and recall by view, coverage, reliability, cost
    again = [*arguments, "--strategies", *names, "River LR", "--json", str(found), "--resume"]
    assert targeting.main(again) == 0  # what is finished is not run again
    after = json.loads(found.read_text())["rows"]
    assert after[: len(made)] == made
    assert len(after) == len(made) + 3
    assert full["borderflow"] > 0.9  # every second heading is a fraud, always


def test_more_draws_of_the_same_weeks_make_no_figure_surer() -> None:
    weeks = targeting_cdd.Weeks()
    for hits in (1, 4, 2, 5, 3, 1):
        weeks.add(hits, 10, 8, 100)
    one, five = (targeting_cdd.row("unseen-tuple", "random", 0.1, [weeks] * draws) for draws in (1, 5))
    assert five == one


def test_a_strategy_that_there_is_not_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        targeting.main(["--world", "0", "--strategies", "borderflow", "XGBoost"])
    assert ended.value.code == 2
    assert "--strategies: no strategy 'XGBoost'; there are borderflow, random" in capsys.readouterr().err


def declaration(number: int) -> dict[str, object]:
    bad = number % 4 == 0
    month, day = divmod(number // 10, 30)
    return {
        "Declaration ID": 10_000_000 + number,
        "Date": f"2020-{month + 1:02d}-{min(day + 1, 28):02d}",
        "Office ID": 20,
        "Process Type": "B",
        "Import Type": 11,
        "Import Use": 21,
        "Payment Type": 11,
        "Mode of Transport": 40,
        "Declarant ID": "D1",
        "Importer ID": f"I{number % 50}",
        "Seller ID": "S1",
        "Courier ID": "",
        "HS6 Code": "240220" if bad else "851712",
        "Country of Departure": "CN",
        "Country of Origin": "CN",
        "Tax Rate": 8.0,
        "Tax Type": "A",
        "Country of Origin Indicator": "G",
        "Net Mass": 10.0 + number,
        "Item Price": 1000.0,
        "Fraud": int(bad),
        "Critical Fraud": 0,
    }
