"""Writes `docs/metrics.md` from the metrics' declarations: `python -m streams.metrics_page`. A test compares them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from streams import metrics
from streams.knowledge_metrics import KnowledgeCollector


class _Nowhere:
    """A consumer that holds no partitions: the lag collector still says what it would tell."""

    def partition_readings(self) -> Iterator[tuple[str, int, metrics.PartitionReading, float | None]]:
        return iter(())


def metrics_page() -> str:
    """The page: one row per metric, in the order of their names."""
    rows: dict[str, str] = {}
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            (family,) = one.describe()
            rows[family.name] = _row(family.name, family.type, one._labelnames, family.documentation)
    for family in (*metrics.LagCollector(_Nowhere()).collect(), *KnowledgeCollector(()).collect()):
        rows[family.name] = _row(family.name, family.type, tuple(family._labelnames), family.documentation)
    return "\n".join(
        [
            "# Metrics",
            "",
            "What a worker serves on `/metrics`, beside the `process_*` metrics of the Prometheus client. Units are",
            "seconds, bytes, records and items; labels are steps, topics, control points, models and the like, never",
            "an item or a person. Written from the code (`python -m streams.metrics_page`); a test compares the two.",
            "",
            "| metric | kind | labels | what it is |",
            "|---|---|---|---|",
            *(rows[name] for name in sorted(rows)),
            "",
        ]
    )


def _row(name: str, kind: str, labels: tuple[str, ...], what: str) -> str:
    shown = f"{name}_total" if kind == "counter" else name
    return f"| `{shown}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {what} |"


if __name__ == "__main__":
    Path("docs/metrics.md").write_text(metrics_page())
