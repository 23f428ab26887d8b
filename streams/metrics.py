"""Every Prometheus metric of a worker, declared once: base units, bounded labels, never an item or a person."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from time import monotonic
from typing import Final, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

M = TypeVar("M", Counter, Gauge, Histogram)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WORK_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

LATE_S: Final = 60
"""A lodgement that is stamped so many seconds before the latest one of its partition is late."""

records_in = Counter(
    "borderflow_records_in", "Records that a step took in, by topic.", ("step", "topic"), registry=REGISTRY
)
outputs = Counter(
    "borderflow_outputs",
    "Records that a step produced and that were acknowledged.",
    ("step", "topic"),
    registry=REGISTRY,
)
handed_over = Counter(
    "borderflow_handed_over_records",
    "Records that this worker handed to a later step of its own as they were acknowledged, without fetching them.",
    ("topic",),
    registry=REGISTRY,
)
refusals = Counter(
    "borderflow_refusals", "Records or items dead-lettered, by reason.", ("step", "reason"), registry=REGISTRY
)
redelivered = Counter(
    "borderflow_redelivered",
    "Records dropped because their upstream mark had been folded.",
    ("step",),
    registry=REGISTRY,
)
skipped = Counter(
    "borderflow_skipped_records", "Offsets that the brokers deleted before this worker had read them.", ("topic",),
    registry=REGISTRY,
)  # fmt: skip
fenced = Counter(
    "borderflow_fenced_batches", "Batches dropped because their partition was taken away.", ("step",), registry=REGISTRY
)
batch_records = Histogram(
    "borderflow_batch_records",
    "Records in one batch.",
    ("step",),
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
    registry=REGISTRY,
)
decide_seconds = Histogram(
    "borderflow_decide_seconds",
    "Time to read and decide one batch and to encode what follows.",
    ("step",),
    buckets=_WORK_S,
    registry=REGISTRY,
)
produce_seconds = Histogram(
    "borderflow_produce_seconds",
    "Time until all was acknowledged that followed from a round of batches, dead letters too.",
    ("step",), buckets=_LATENCY_S, registry=REGISTRY,
)  # fmt: skip
rebuilds = Counter("borderflow_rebuilds", "Partition states rebuilt from the log.", ("step",), registry=REGISTRY)
rebuild_records = Counter(
    "borderflow_rebuild_records",
    "Records that partition states folded from logs: to be rebuilt, and of re-evaluation the alerts as they come.",
    ("step",),
    registry=REGISTRY,
)
rebuild_seconds = Histogram(
    "borderflow_rebuild_seconds", "Time to rebuild one partition state.", ("step",), buckets=_LATENCY_S,
    registry=REGISTRY,
)  # fmt: skip
state_entries = Gauge(
    "borderflow_state_entries", "Keyed entries in a step's states, all partitions.", ("step",), registry=REGISTRY
)
event_to_decision_seconds = Histogram(
    "borderflow_event_to_decision_seconds", "From the sending of a lodgement to its decisions acknowledged.",
    buckets=_LATENCY_S, registry=REGISTRY,
)  # fmt: skip
event_to_alert_seconds = Histogram(
    "borderflow_event_to_alert_seconds", "From the sending of a lodgement to its alerts acknowledged.",
    buckets=_LATENCY_S, registry=REGISTRY,
)  # fmt: skip
follower_offset = Gauge(
    "borderflow_follower_offset", "The last offset of a broadcast topic that this worker has folded.", ("topic",),
    registry=REGISTRY,
)  # fmt: skip
follower_lag = Gauge(
    "borderflow_follower_lag_records", "Records of a broadcast topic that this worker has not folded.", ("topic",),
    registry=REGISTRY,
)  # fmt: skip
follower_skipped = Counter(
    "borderflow_follower_skipped", "Records of a broadcast topic that could not be decoded and were skipped.",
    ("topic", "reason"), registry=REGISTRY,
)  # fmt: skip

items_in = Counter(
    "borderflow_items_in", "Items that a step dealt with: consignments, parcels, travellers, or results.",
    ("step", "stream"), registry=REGISTRY,
)  # fmt: skip
late = Counter(
    "borderflow_late", f"Lodgements stamped over {LATE_S} s before the latest one of their partition.", ("topic",),
    registry=REGISTRY,
)  # fmt: skip
redriven = Counter(
    "borderflow_redriven", "Records taken in that `borderflow dlq redrive` had sent again.", ("step", "topic"),
    registry=REGISTRY,
)  # fmt: skip
decisions = Counter("borderflow_decisions", "Items decided, by lane.", ("stream", "lane"), registry=REGISTRY)
selections = Counter(
    "borderflow_selections", "Items selected, by the layer that selected them; `exploration` is the random share.",
    ("stream", "layer"), registry=REGISTRY,
)  # fmt: skip
control_point_decisions = Counter(
    "borderflow_control_point_decisions", "Items decided at a control point.", ("control_point",), registry=REGISTRY
)
control_point_selections = Counter(
    "borderflow_control_point_selections", "Items selected at a control point.", ("control_point",), registry=REGISTRY
)
capacity_ratio = Gauge(
    "borderflow_capacity_ratio", "Share of its items that a control point can inspect, as last reported.",
    ("control_point",), registry=REGISTRY,
)  # fmt: skip
inspections = Counter(
    "borderflow_inspections", "Inspection results that teach, corrections too, by the layer that selected the item.",
    ("stream", "layer", "outcome"), registry=REGISTRY,
)  # fmt: skip
label_delay_seconds = Histogram(
    "borderflow_label_delay_seconds", "From the lodgement of an item to its inspection, in event time.", ("stream",),
    buckets=(600, 3600, 21_600, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000), registry=REGISTRY,
)  # fmt: skip
notices = Counter(
    "borderflow_notices", "Events on the monitoring topic: what borderflow noticed about itself.", ("kind",),
    registry=REGISTRY,
)  # fmt: skip
drifts = Counter(
    "borderflow_drifts", "Changes that ADWIN found in a watched quantity.", ("stream", "what"), registry=REGISTRY
)
rebalances = Counter("borderflow_rebalances", "Rebalances that this worker went through.", registry=REGISTRY)
rebalance_seconds = Histogram(
    "borderflow_rebalance_seconds", "From the beginning of a rebalance until records flow again.", buckets=_LATENCY_S,
    registry=REGISTRY,
)  # fmt: skip
model_updated = Gauge(
    "borderflow_model_updated_timestamp_seconds",
    "When the last labelled example that this worker has learnt was sent; `time()` less this is the model's age.",
    registry=REGISTRY,
)
build_info = Gauge(
    "borderflow_build_info", "Always 1; the labels say what runs.", ("version", "python", "policy"), registry=REGISTRY
)
ready = Gauge("borderflow_ready", "1 while the worker decides items, as /readyz says; else 0.", registry=REGISTRY)
certificate_expiry = Gauge(
    "borderflow_certificate_expiry_timestamp_seconds",
    "When a file of certificates expires that this process has read at its start, by the setting that names the file.",
    ("setting",),
    registry=REGISTRY,
)


watermarks: dict[tuple[str, int], int] = {}
"""The latest timestamp that a step has dealt with, in ms, by topic and partition."""


@cache
def child(metric: M, *labels: str) -> M:
    """`metric.labels(*labels)` for what is counted with every batch: finding a child costs more than counting it."""
    return metric.labels(*labels)


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """As `histogram.observe` for each of many values: every bucket is moved once, which costs a tenth."""
    if values:
        histogram._sum.inc(sum(values))
        bounds = histogram._upper_bounds
        for bucket, count in Counted(bisect_left(bounds, value) for value in values).items():
            histogram._buckets[bucket].inc(count)


class PartitionReading(Protocol):
    """What `streams.transport.Reading` holds."""

    @property
    def read(self) -> int | None: ...
    @property
    def committed(self) -> int | None: ...
    @property
    def end(self) -> int | None: ...
    @property
    def silent_s(self) -> float | None: ...


class Readings(Protocol):
    """What can say where a consumer stands: `streams.transport.BatchConsumer` by way of the app."""

    def partition_readings(self) -> Iterable[tuple[str, int, PartitionReading, float | None]]:
        """Topic, partition, reading, and the monotonic time of the last commit, or of its assignment before that."""


class LagCollector(Collector):
    """Works out lags when it is scraped, from the consumer's own positions."""

    def __init__(self, source: Readings) -> None:
        self._source = source

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges per topic and partition that this worker holds."""
        labels = ("topic", "partition")
        read = GaugeMetricFamily("borderflow_read_lag_records", "Records not handed to a step yet.", labels=labels)
        committed = GaugeMetricFamily("borderflow_committed_lag_records", "Records not committed yet.", labels=labels)
        since = GaugeMetricFamily(
            "borderflow_seconds_since_commit",
            "Seconds since this worker committed the partition, or took it on.",
            labels=labels,
        )
        silent = GaugeMetricFamily(
            "borderflow_seconds_since_fetch",
            "Seconds since a broker answered a fetch of the partition, or it was taken on, where it is fetched now.",
            labels=labels,
        )
        watermark = GaugeMetricFamily(
            "borderflow_watermark_timestamp_seconds", "The latest event time that a step has dealt with.", labels=labels
        )
        now = monotonic()
        for topic, partition, reading, last_commit in self._source.partition_readings():
            where = (topic, str(partition))
            if reading.end is not None:
                if reading.read is not None:
                    read.add_metric(where, max(0, reading.end - reading.read))
                done = reading.committed if reading.committed is not None else 0
                committed.add_metric(where, max(0, reading.end - done))
            if last_commit is not None:
                since.add_metric(where, now - last_commit)
            if reading.silent_s is not None:
                silent.add_metric(where, reading.silent_s)
            if (latest_ms := watermarks.get((topic, partition))) is not None:
                watermark.add_metric(where, latest_ms / 1000)
        yield from (read, committed, since, silent, watermark)
