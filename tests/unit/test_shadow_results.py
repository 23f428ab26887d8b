"""Of what was reported on an alert a shadow's report takes what re-evaluation took: the first word, and corrections."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.risk.lessons import teaches
from schemas.inspections import InspectionCompleted, InspectionOutcome, Method
from streams.archive.views import INSPECTED
from streams.policies import built_in_policy
from streams.settings import Settings
from streams.shadow import following
from streams.shadow.comparing import compare, standing
from streams.shadow.folder import CANDIDATE, LIVE, ShadowFolder
from streams.shadow.following import RESULTS, Follower
from streams.simulate.candidates import Candidate
from streams.simulate.choices import SCHEMA

Said = tuple[str | None, str | None, str | None]
"""Outcome (None: withdrawn), result id, the result that it corrects."""


@pytest.mark.parametrize(
    ("reported", "stands"),
    [
        ([("seizure", "r1", None), ("clear", "r2", None)], "seizure"),
        ([("seizure", "r1", None), ("clear", "r2", "r1")], "clear"),
        ([("seizure", "r1", None), ("clear", "r2", "r0")], "seizure"),
        ([("clear", "r2", "r1")], None),
        ([("seizure", "r1", None), (None, "r1", None)], None),
        ([("seizure", "r1", None), (None, "r0", None)], "seizure"),
        ([("seizure", "r1", None), (None, "r1", None), ("clear", "r2", None)], "clear"),
        ([("seizure", "r1", None), ("clear", "r2", "r1"), ("seizure", "r1", None)], "clear"),
        ([("passed-on", "r1", None), ("seizure", "r2", None), ("clear", "r3", None)], "seizure"),
        ([("seizure", None, None), ("clear", None, None)], "seizure"),
        ([], None),
    ],
    ids=[
        "a second one is refused", "corrected", "corrects another one", "corrects nothing", "withdrawn",
        "another one withdrawn", "reported anew", "told again", "passed on", "of an earlier version", "nothing",
    ],
)  # fmt: skip
def test_the_result_that_stands_is_that_of_re_evaluation(reported: list[Said], stands: str | None) -> None:
    rows = [
        ("d1", 3, 10 + offset, outcome, None if outcome is None else "x-ray", result_id, corrects)
        for offset, (outcome, result_id, corrects) in enumerate(reported)
    ]
    rows.reverse()  # files are read in any order
    columns = zip(*rows, strict=True) if rows else [()] * len(RESULTS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, RESULTS, strict=True)]
    found = standing(pa.Table.from_arrays(arrays, schema=RESULTS)).to_pylist()
    assert found == ([] if stands is None else [{"decision_id": "d1", "outcome": stands, "method": "x-ray"}])


def test_what_counts_as_inspected_is_what_teaches() -> None:
    db = duckdb.connect(":memory:")
    for outcome in get_args(InspectionOutcome):
        for method in get_args(Method):
            result = InspectionCompleted(
                result_id="r1", decision_id="d1", control_point="KRICN-EXP", method=method, outcome=outcome,
                inspected_at=datetime(2026, 3, 2, tzinfo=UTC),
            )  # fmt: skip
            (said,) = db.execute(
                f"SELECT {INSPECTED.format('r')} FROM (SELECT ? AS outcome, ? AS method) r",  # noqa: S608 - our own
                [outcome, method],
            ).fetchall()
            assert said == (teaches(result),), (outcome, method)


def test_a_shadow_that_was_idle_keeps_to_its_limit_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ShadowFolder(tmp_path, "tighter")
    folder.begin(Candidate(CANDIDATE, built_in_policy()))
    passed, spent, slept = [0.0], [0.0], list[float]()
    clock = SimpleNamespace(monotonic=lambda: passed[0], process_time=lambda: spent[0], sleep=slept.append)
    monkeypatch.setattr(following, "time", clock)
    follower = Follower(Settings(), folder, cpu=0.5, warm_items=0)
    passed[0] = 3600.0
    follower._hold_back()
    for _ in range(60):  # a minute of work without a pause
        passed[0] += 1.0
        spent[0] += 1.0
        follower._hold_back()
    assert len(slept) > 45, "what an idle hour left over does not let it take a whole core"


def test_what_the_shadow_did_not_decide_is_told(tmp_path: Path) -> None:
    folder = ShadowFolder(tmp_path, "tighter")
    folder.begin(Candidate(CANDIDATE, built_in_policy()))
    folder.choices.mkdir()
    lodged = datetime(2026, 3, 2, tzinfo=UTC)

    def choose(name: str, items: range) -> None:
        rows = [
            (f"d{item}", "KRICN-EXP", "express-cargo", lodged, item == 0, item == 0, 0.01,
             "model" if item == 0 else None, "red" if item == 0 else "green", 0.5, False, "default-1+c291aad459")
            for item in items
        ]  # fmt: skip
        columns = [pa.array(one, field.type) for one, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
        pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), folder.choices / f"{name}-00000.parquet")

    choose(CANDIDATE, range(3))
    choose(LIVE, range(3))
    assert not any("decided live since" in one for one in compare(folder, "").cautions)
    choose(LIVE, range(5))
    assert any("on the 3 items that both decided, of 5" in one for one in compare(folder, "").cautions)
