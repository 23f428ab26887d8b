"""What `borderflow audit seal` tells Prometheus: whether all is sealed, its clock, and when its certificates expire."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from streams.metrics import certificate_expiry

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
REGISTRY.register(certificate_expiry)

sealed_at = Gauge(
    "borderflow_audit_sealed_timestamp_seconds",
    "When the sealer had last sealed all that there was, by its own clock; 0 until then.",
    registry=REGISTRY,
)
clock = Gauge(
    "borderflow_audit_clock_timestamp_seconds",
    "The sealer's clock; `timestamp()` of it is that of Prometheus.",
    registry=REGISTRY,
)
clock.set_function(time.time)
sealed_records = Counter(
    "borderflow_audit_sealed_records", "Records that this sealer has sealed.", ("topic",), registry=REGISTRY
)
