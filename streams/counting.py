"""Counts what a batch led to in the terms of the border: lanes, layers, outcomes, lateness. One call for each batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from agents.step import Refusal
from schemas.inspections import OutcomeLearned
from schemas.monitoring import CoverageReported, DriftDetected
from streams import metrics
from streams.transport import RecordBatch
from streams.wire import Produced

_LODGEMENTS: Final = frozenset(("manifests", "express-cargo", "passengers"))
_DECIDED: Final = attrgetter("stream", "lane", "layer", "control_point")
_STREAM: Final = attrgetter("item.stream")


def count_border(
    step: str, batch: RecordBatch, refusals: Sequence[Refusal], made: Mapping[str, Sequence[Produced]]
) -> None:
    """Count one batch that was delivered. Costs a few microseconds, and well under one for each item."""
    _count_times(batch)
    _count_redriven(step, batch)
    child = metrics.child
    if batch.topic in _LODGEMENTS:
        refused = sum(refusal.index is not None for refusal in refusals)
        child(metrics.items_in, step, batch.topic).inc(len(made.get("screened", ())) + refused)
    if decisions := made.get("decisions"):
        counted = Counter([_DECIDED(record.event) for record in decisions])
        for (stream, lane, layer, control_point), count in counted.items():
            child(metrics.items_in, step, stream).inc(count)
            child(metrics.decisions, stream, lane).inc(count)
            child(metrics.control_point_decisions, control_point).inc(count)
            if layer is not None:
                child(metrics.selections, stream, layer).inc(count)
                child(metrics.control_point_selections, control_point).inc(count)
    if filtered := made.get("filtered"):
        for stream, count in Counter([_STREAM(record.event) for record in filtered]).items():
            child(metrics.items_in, step, stream).inc(count)
    for record in made.get("labelled-examples", ()):
        if isinstance(record.event, OutcomeLearned):
            _count_outcome(step, record.event)
    for record in made.get("monitoring", ()):
        _count_notice(record.event)


def _count_times(batch: RecordBatch) -> None:
    at = (batch.topic, batch.partition)
    times = [record.timestamp for record in batch.records if record.timestamp >= 0]
    if not times:
        return  # none of them can be read
    before, latest = metrics.watermarks.get(at), max(times)
    metrics.watermarks[at] = latest if before is None else max(before, latest)
    if batch.topic in _LODGEMENTS and before is not None:
        since = before - metrics.LATE_S * 1000
        if min(times) < since:
            metrics.late.labels(batch.topic).inc(sum(one < since for one in times))


def _count_redriven(step: str, batch: RecordBatch) -> None:
    if isinstance(batch.records[0], Produced):
        return  # just produced
    again = sum(record.headers[-1][0] == "dlq-attempt" for record in batch.records if record.headers)
    if again:
        metrics.redriven.labels(step, batch.topic).inc(again)


def _count_outcome(step: str, event: OutcomeLearned) -> None:
    metrics.items_in.labels(step, event.stream).inc()
    metrics.inspections.labels(event.stream, event.layer, event.outcome).inc()
    if event.corrects is None:
        delay = (event.inspected_at - event.lodged_at).total_seconds()
        metrics.label_delay_seconds.labels(event.stream).observe(max(0.0, delay))


def _count_notice(event: Any) -> None:
    metrics.notices.labels(type(event).__name__).inc()
    if isinstance(event, DriftDetected):
        metrics.drifts.labels(event.stream or "all", event.what).inc()
    elif isinstance(event, CoverageReported):
        metrics.capacity_ratio.labels(event.control_point).set(event.capacity_share)
