"""What `borderflow archive` tells Prometheus: whether all is archived, how much, and what room there is."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from streams.metrics import certificate_expiry

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
REGISTRY.register(certificate_expiry)

caught_up_at = Gauge(
    "borderflow_archive_caught_up_timestamp_seconds",
    "When the archiver had last read all that there was, by its own clock; 0 until then.",
    registry=REGISTRY,
)
archived_records = Counter(
    "borderflow_archive_records", "Records that this archiver has written to files.", ("topic",), registry=REGISTRY
)
free_bytes = Gauge("borderflow_archive_free_bytes", "Room on the archive's disk.", registry=REGISTRY)
