"""The audit sample speaks for all items, also where control points draw with different probabilities."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pytest

from streams.archive.questions import NAMED
from streams.simulate.assessing import Record

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SPAN = {"since": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2027, 1, 1, tzinfo=UTC)}
BUSY = {"rate": 0.02, "drawn": 100, "seized": 1}  # 5,000 items of which 1% are illicit
QUIET = {"rate": 0.002, "drawn": 10, "seized": 1}  # 5,000 items of which 10% are
TRUTH = 0.055
TREND = f"SELECT audited, audit_seizure_rate FROM ({NAMED['seizure-rate-trend'].text})"  # noqa: S608 - our own


@pytest.fixture
def outcomes() -> duckdb.DuckDBPyConnection:
    """Drawn and inspected items of two control points, and one that was selected for certain."""
    rows = [
        {"decision_id": f"d-{point}-{number}", "control_point": point, "stream": "manifests", "lodged_at": NOW,
         "policy_version": "p", "selected": True, "layer": "exploration", "layers": ["exploration"],
         "exploration_rate": drawn["rate"], "inspected": True, "seized": number < drawn["seized"]}
        for point, drawn in (("BUSY", BUSY), ("QUIET", QUIET))
        for number in range(int(drawn["drawn"]))
    ]  # fmt: skip
    rows.append({**rows[0], "decision_id": "d-sure", "layer": "model", "layers": ["model"], "seized": True})
    db = duckdb.connect(":memory:")
    db.execute("SET TimeZone = 'UTC'")
    db.register("outcomes", pa.Table.from_pylist(rows))
    return db


def test_each_drawn_item_counts_as_many_as_it_was_drawn_from(outcomes: duckdb.DuckDBPyConnection) -> None:
    recorded = Record(outcomes, SPAN["since"], SPAN["until"]).recorded()
    assert (recorded.audit_inspected, recorded.audit_seizures) == (110, 2)
    assert recorded.audit_rate.value == pytest.approx(TRUTH)
    assert recorded.audit_effective == pytest.approx(10_000**2 / (100 * 50**2 + 10 * 500**2))
    assert recorded.audit_rate.low < 0.01
    assert recorded.audit_rate.high > 0.15, "that few draws of unequal worth tell so little"


def test_the_trend_says_the_same_rate(outcomes: duckdb.DuckDBPyConnection) -> None:
    assert outcomes.execute(TREND, SPAN).fetchall() == [(110, pytest.approx(TRUTH))]


def test_without_a_drawn_item_there_is_no_rate(outcomes: duckdb.DuckDBPyConnection) -> None:
    outcomes.execute("CREATE TABLE few AS SELECT * FROM outcomes WHERE layer <> 'exploration'")
    outcomes.unregister("outcomes")
    outcomes.execute("ALTER TABLE few RENAME TO outcomes")
    figure = Record(outcomes, SPAN["since"], SPAN["until"]).recorded().audit_rate
    assert (figure.value, figure.low, figure.high) == (None, 0.0, 1.0)
    assert outcomes.execute(TREND, SPAN).fetchall() == [(0, None)]
