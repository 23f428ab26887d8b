"""docs/metrics.md is what the declarations say."""

from __future__ import annotations

from pathlib import Path

from streams.metrics_page import metrics_page

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_metrics_page_is_the_one_that_the_declarations_write() -> None:
    assert DOCS.read_text() == metrics_page(), "run python -m streams.metrics_page"


def test_no_metric_is_labelled_with_an_item_or_a_person() -> None:
    allowed = {
        "step", "topic", "partition", "reason", "control_point", "stream", "layer", "lane", "kind", "model", "version",
        "criterion", "outcome", "worker", "what", "python", "policy", "setting",
        "receiver", "ended",  # a receiver is a desk of the plan
    }  # fmt: skip
    for line in metrics_page().splitlines():
        if line.startswith("| `"):
            labels = line.split("|")[3].replace("`", "").split(",")
            assert {label.strip() for label in labels if label.strip()} <= allowed, line
