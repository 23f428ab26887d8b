"""A running worker tells every metric that is declared, and what happened at the border has moved them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.codec import codec_for
from schemas.inspections import InspectionCompleted, ModelFrozen, ModelRolledBack
from streams.wire import Outgoing
from tests.integration.border import (
    NOON,
    Border,
    border,
    manifest,
    parcel,
    parcel_record,
    passenger,
    raw_record,
    record_of,
)
from tests.integration.harbour import PATIENCE_S

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"

UNEVENTFUL = {
    "borderflow_fenced_batches_total": "no partition is taken away",
    "borderflow_skipped_records_total": "brokers delete nothing (tests/faults/test_logs_cut_off.py)",
    "borderflow_redelivered_total": "nothing is delivered twice",
    "borderflow_drifts_total": "the world stands still",
    "borderflow_labels_quarantined": "no control point reports too much",
    "borderflow_rebuild_records_total": "the worker has no past",
    "borderflow_committed_lag_records": "in the end nothing waits",
    "borderflow_read_lag_records": "in the end nothing waits",
    "borderflow_follower_lag_records": "in the end nothing waits",
    "borderflow_certificate_expiry_timestamp_seconds": "no TLS (tests/real_kafka/test_security.py)",
}
"""Metrics that this test gives no cause to move, and why; other tests cause what they count."""


def declared() -> dict[str, str]:
    """The kind of every metric of a worker in docs/metrics.md, which a test compares with the code."""
    of_workers = DOCS.read_text().partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", of_workers, re.MULTILINE))


def told(at: Border) -> dict[str, list[float]]:
    """Every sample of the worker, by the name of its series."""
    with urlopen(f"http://127.0.0.1:{at.port('worker')}/metrics", timeout=PATIENCE_S) as page:
        families = text_string_to_metric_families(page.read().decode())
    found: dict[str, list[float]] = {}
    for family in families:
        found.setdefault(family.name + ("_total" if family.type == "counter" else ""), [])
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.value)
    return found


def moved(samples: dict[str, list[float]], name: str, kind: str) -> bool:
    return any(value != 0 for value in samples.get(f"{name}_count" if kind == "histogram" else name, ()))


def wait_for(what: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not what() and time.monotonic() < deadline:
        time.sleep(0.2)


def results(at: Border, want: int) -> list[Outgoing]:
    """An inspection result for every alert: every third one a seizure."""
    sent = []
    for number, record in enumerate(at.read("alerts", want)):
        decision = codec_for("alerts").decode(record.value).decision
        seizure = number % 3 == 0
        result = InspectionCompleted(
            result_id=f"R-{decision.decision_id}", decision_id=decision.decision_id,
            control_point=decision.control_point, inspected_at=decision.lodged_at + timedelta(hours=5),
            method="physical", outcome="seizure" if seizure else "clear",
            categories=("counterfeits",) if seizure else (), severity=2 if seizure else 0,
        )  # fmt: skip
        sent.append(record_of(result, result.result_id, result.inspected_at, record.partition))
    return sent


def test_a_worker_tells_every_metric_and_what_happened_moved_it(tmp_path: Path) -> None:
    with border(tmp_path / "border") as at:
        at.open("worker")
        assert set(told(at)["borderflow_follower_skipped_total"]) == {0}  # so that the first one is an increase
        late = parcel(0, waybill="LATE00000001")
        at.lodge("express-cargo", [parcel_record(parcel(n), n % 4) for n in range(600)])
        at.lodge("express-cargo", [parcel_record(late, 3), raw_record(b"garbage", "garbage")])
        again = parcel_record(parcel(100_000), 0)
        again.headers.append(("dlq-attempt", b"1"))
        at.lodge("express-cargo", [again])
        at.lodge("manifests", [record_of(manifest(1, 300), "MF000001", NOON)])
        at.lodge(
            "passengers", [record_of(one, one.passenger_reference, one.lodged_at) for one in map(passenger, range(200))]
        )
        at.lodge("criteria", [raw_record(b"not a criterion", "C1")])
        at.decisions(600 + 2 + 300 + 200)
        # A day later: windows of event time close and are reported.
        at.lodge("express-cargo", [parcel_record(parcel(n + 86_400 * 3), n % 4) for n in range(200)])
        at.decisions(600 + 2 + 300 + 200 + 200)
        # And days late, whatever the order was in which partitions were read before.
        at.lodge("express-cargo", [parcel_record(parcel(n, waybill=f"LATE0000{n:04d}"), n % 4) for n in range(1, 41)])
        at.decisions(600 + 2 + 300 + 200 + 200 + 40)
        at.lodge("inspection-results", results(at, 5))
        order = ModelRolledBack(stream="manifests", to_version=12_345, by="analyst-1", at=NOON)
        frozen = ModelFrozen(stream="express-cargo", by="analyst-1", at=NOON)
        at.lodge("labelled-examples", [record_of(one, "orders", NOON, 0) for one in (order, frozen)])
        kinds = declared()
        assert len(kinds) > 40

        def still() -> list[str]:
            samples = told(at)
            return [name for name, kind in kinds.items() if name not in UNEVENTFUL and not moved(samples, name, kind)]

        wait_for(lambda: not still())
        at.running()
        assert still() == []
        samples = told(at)
        assert [name for name in kinds if name not in samples and f"{name}_count" not in samples] == []
        assert [name for name in samples if name.startswith("borderflow_") and bare(name) not in kinds] == []
        assert sum(samples["borderflow_decisions_total"]) == sum(samples["borderflow_control_point_decisions_total"])
        assert sum(samples["borderflow_decisions_total"]) == sum(samples["borderflow_event_to_decision_seconds_count"])
        assert sum(samples["borderflow_selections_total"]) == sum(samples["borderflow_event_to_alert_seconds_count"])
        assert sum(samples["borderflow_redriven_total"]) == sum(samples["borderflow_follower_skipped_total"]) == 1


def bare(name: str) -> str:
    """The name in docs/metrics.md of a series."""
    name = name.removesuffix("_created")
    kinds = declared()
    if name in kinds or f"{name}_total" in kinds:
        return name if name in kinds else f"{name}_total"
    return re.sub(r"_(bucket|sum|count)$", "", name)
