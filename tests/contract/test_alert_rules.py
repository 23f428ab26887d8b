"""The alert rules fire when they should and not otherwise, and each leads to a paragraph for who is woken."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "ops" / "prometheus"
FILES = ("alerts.yml", "slo.yml")
TESTS = ("rules.test.yml", "rules.days.test.yml")


def rules() -> list[dict[str, Any]]:
    """Every alert rule."""
    groups = [group for name in FILES for group in yaml.safe_load((PROMETHEUS / name).read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def anchors() -> set[str]:
    """The anchors of docs/operations.md, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_prometheus_loads_every_file_of_rules() -> None:
    assert yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["rule_files"] == list(FILES)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_urgent_it_is_and_leads_to_its_paragraph(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/operations.md"
    assert anchor in anchors()
    assert rule["annotations"]["summary"]


def test_the_table_of_alerts_has_every_alert_with_its_urgency() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| \[(\w+)\]\(#([\w-]+)\) \| (page|ticket) \|", text, re.MULTILINE)
    ours = [
        (rule["alert"], rule["annotations"]["runbook_url"].partition("#")[2], rule["labels"]["severity"])
        for rule in rules()
    ]
    assert sorted(rows) == sorted(ours)


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tests = [test for name in TESTS for test in yaml.safe_load((PROMETHEUS / name).read_text())["tests"]]
    fires = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fires == {rule["alert"] for rule in rules()}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_the_rules_fire_when_they_should_and_not_otherwise() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", *TESTS], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
