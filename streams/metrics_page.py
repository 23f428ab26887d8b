"""Writes `docs/metrics.md` from the metrics' declarations: `python -m streams.metrics_page`. A test compares them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from streams import metrics
from streams.archive import metrics as archiver
from streams.audit import metrics as sealer
from streams.knowledge_metrics import KnowledgeCollector
from streams.notify import metrics as notifier


class _Nowhere:
    """A consumer that holds no partitions: the lag collector still says what it would tell."""

    def partition_readings(self) -> Iterator[tuple[str, int, metrics.PartitionReading, float | None]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric: the name that it is documented under, its kind, labels and meaning."""

    name: str
    kind: str
    labels: tuple[str, ...]
    what: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series."""
        return (
            tuple(self.name + end for end in ("_bucket", "_sum", "_count"))
            if self.kind == "histogram"
            else (self.name,)
        )


def declared() -> list[Declared]:
    """Every metric of a worker, in the order of their names."""
    collected = (*metrics.LagCollector(_Nowhere()).collect(), *KnowledgeCollector((), lambda: True).collect())
    return _sorted([*_in(metrics), *((family, tuple(family._labelnames)) for family in collected)])


BESIDE: Final = (
    ("The sealer", "audit seal", "BORDERFLOW_AUDIT_PORT", sealer),
    ("The archiver", "archive", "BORDERFLOW_ARCHIVE_PORT", archiver),
    ("The notifier", "notify run", "BORDERFLOW_NOTIFY_PORT", notifier),
)
"""What runs beside the workers: its name, command, the setting of its port, and its metrics."""


def declared_beside() -> list[Declared]:
    """The same of what runs beside the workers."""
    return [one for *_, module in BESIDE for one in _sorted(_in(module))]


def _in(module: ModuleType) -> list[tuple[Metric, tuple[str, ...]]]:
    found = []
    for one in vars(module).values():
        if isinstance(one, MetricWrapperBase):
            (family,) = one.describe()
            found.append((family, one._labelnames))
    return found


def _sorted(found: list[tuple[Metric, tuple[str, ...]]]) -> list[Declared]:
    return sorted(
        (Declared(f"{one.name}_total" if one.type == "counter" else one.name, one.type, labels, one.documentation)
         for one, labels in found), key=lambda one: one.name,
    )  # fmt: skip


def metrics_page() -> str:
    """The page: one row per metric, in the order of their names."""
    return "\n".join(
        [
            "# Metrics",
            "",
            "What a worker serves on `/metrics`, beside the `process_*` metrics of the Prometheus client. Units are",
            "seconds, bytes, records and items; labels are steps, topics, control points, models and the like, never",
            "an item or a person. Written from the code (`python -m streams.metrics_page`); a test compares the two.",
            "",
            'Most metrics with labels have no series until there is something to count: boards show "No data" then.',
            "What is rare begins at 0, so that the first is an increase: unread or unreadable records, drift, notices.",
            "",
            *_table(declared()),
            "",
            *(line for one in BESIDE for line in _beside(*one)),
        ]
    )


def _beside(name: str, command: str, port: str, module: ModuleType) -> list[str]:
    told = f"What `borderflow {command}` serves on port `{port}`, beside its own `process_*` metrics."
    return [f"## {name}", "", told, "", *_table(_sorted(_in(module))), ""]


def _table(metrics: list[Declared]) -> list[str]:
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.what} |"
        for one in metrics
    ]
    return ["| metric | kind | labels | what it is |", "|---|---|---|---|", *rows]


if __name__ == "__main__":
    Path("docs/metrics.md").write_text(metrics_page())
