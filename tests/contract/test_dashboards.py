"""Dashboards and rules ask only for metrics that a worker has, by labels and values that these can have."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from agents.risk.challengers import MODELS
from schemas.decisions import Lane, Layer
from schemas.inspections import InspectionOutcome
from schemas.items import Stream
from schemas.monitoring import Monitoring
from schemas.registry import dead_letter_topics, declarations
from streams.metrics_page import declared, declared_beside
from streams.settings import STEPS

OPS = Path(__file__).parents[2] / "ops"
BOARDS = {path.name: json.loads(path.read_text()) for path in sorted((OPS / "grafana" / "dashboards").glob("*.json"))}
RULES = [
    rule
    for name in ("alerts.yml", "slo.yml")
    for group in yaml.safe_load((OPS / "prometheus" / name).read_text())["groups"]
    for rule in group["rules"]
]
SERIES = {series: one for one in (*declared(), *declared_beside()) for series in one.series}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
SCRAPED = {"job", "instance"}
VALUES = {
    "topic": {*declarations(), *dead_letter_topics()},
    "lane": set(get_args(Lane)),
    "layer": set(get_args(Layer)),
    "stream": set(get_args(Stream)),
    "outcome": set(get_args(InspectionOutcome)),
    "kind": {kind.__name__ for kind in get_args(Monitoring)},
    "model": set(MODELS),
    "step": set(STEPS),
    "job": {"borderflow", "borderflow-audit", "borderflow-tls"},
}
"""What a label may be compared with in a query."""

_NAME = re.compile(r"(?<![\w:])(borderflow[\w:]*|process_\w+|probe_\w+|up)(?:\{([^}]*)\})?(?![\w:(])")
_MATCH = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """Every query and where it stands."""
    found = [(f"rule {rule.get('alert', rule.get('record'))}", rule["expr"]) for rule in RULES]
    for name, board in BOARDS.items():
        found += [(f"{name}: {one['title']}", target["expr"]) for one in panels(board) for target in one["targets"]]
    return found


@pytest.mark.parametrize(("where", "query"), queries(), ids=[where for where, _ in queries()])
def test_a_query_asks_for_metrics_and_labels_that_there_are(where: str, query: str) -> None:
    asked = _NAME.findall(query)
    assert asked
    labels = {"le", *SCRAPED}
    for name, matchers in asked:
        known = name in SERIES or name in RECORDED or name.startswith(("process_", "probe_")) or name == "up"
        assert known, f"{where}: neither a worker nor the sealer nor a probe has {name}"
        own = {
            *(SERIES[name].labels if name in SERIES else ()),
            *SCRAPED,
            *({"le"} if name.endswith("_bucket") else ()),
        }
        labels |= own
        for label, _, value in _MATCH.findall(matchers):
            assert label in own, f"{where}: {name} has no label {label}"
            if label in VALUES and not value.startswith("$"):
                assert set(value.split("|")) <= VALUES[label], f"{where}: {label} is never {value}"
    for grouped in _GROUPED.findall(query):
        wanted = {label.strip() for label in grouped.split(",") if label.strip()}
        assert wanted <= labels, f"{where}: {wanted - labels} is no label of what is asked for"


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {name for board in BOARDS.values() for one in panels(board) for target in one["targets"]
             for name, _ in _NAME.findall(target["expr"])}  # fmt: skip
    unseen = [one.name for one in (*declared(), *declared_beside()) if not shown & set(one.series)]
    assert unseen == []


def test_what_is_recorded_is_used() -> None:
    used = set(chain.from_iterable(((name for name, _ in _NAME.findall(query)) for _, query in queries())))
    assert used >= RECORDED


@pytest.mark.parametrize("name", BOARDS)
def test_a_panel_says_what_it_shows_in_words_and_units(name: str) -> None:
    for panel in panels(BOARDS[name]):
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_panels_do_not_lie_on_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_there_is_a_board_for_each_of_the_three_who_look() -> None:
    assert set(BOARDS) == {"overview.json", "model-health.json", "control-centre.json"}
    assert len({board["uid"] for board in BOARDS.values()}) == 3
