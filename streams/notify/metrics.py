"""What `borderflow notify run` tells Prometheus: whom it told, whom it could not, and whether brokers answer."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from streams.metrics import certificate_expiry

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
REGISTRY.register(certificate_expiry)

notifications = Counter(
    "borderflow_notify_notifications",
    "Notifications that ended, by the plan's receiver: `told`, or `failed` and kept as a dead letter.",
    ("receiver", "ended"),
    registry=REGISTRY,
)
expired = Counter(
    "borderflow_notify_expired_alerts", "Alerts left out because their deadline had passed.", registry=REGISTRY
)
undelivered = Gauge(
    "borderflow_notify_undelivered", "Dead letters that stand: `borderflow notify failed` lists them.",
    registry=REGISTRY,
)  # fmt: skip
silent_seconds = Gauge(
    "borderflow_notify_silent_seconds", "For how long the brokers have not answered.", registry=REGISTRY
)
