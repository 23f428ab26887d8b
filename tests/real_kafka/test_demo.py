"""The demo on a cluster that is there already, keeps what earlier runs left, and deletes what is too old."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from load.children import COMMAND
from load.datasets.cdd import COLUMNS
from tests.integration.harbour import ROOT
from tests.real_kafka.cluster import Cluster
from tests.real_kafka.fixtures import new_cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

EAGER = {"log.initial.task.delay.ms": "1000", "log.retention.check.interval.ms": "1000"}
"""Retention is applied every second, as it will be within minutes on any cluster."""


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Cluster]:
    with new_cluster(1, settings=EAGER) as cluster:
        yield cluster


def demo(cluster: Cluster, folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run `borderflow demo`; its exit code, its summary and what it said."""
    summary = folder / "summary.json"
    summary.unlink(missing_ok=True)
    done = subprocess.run(
        [*COMMAND, "demo", "--json", str(summary), "--rate", "150", "--duration", "8", *arguments],
        cwd=ROOT,
        env={**os.environ, **cluster.environment(), "BORDERFLOW_PARTITIONS": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, json.loads(summary.read_text()) if summary.exists() else {}, done.stdout + done.stderr


def published(cluster: Cluster, what: str) -> set[str]:
    done = subprocess.run(
        [*COMMAND, what, "list", "--json"], cwd=ROOT, env={**os.environ, **cluster.environment()},
        capture_output=True, text=True, check=True, timeout=150,
    )  # fmt: skip
    return {one["criterion_id" if what == "criteria" else "entry_id"] for one in json.loads(done.stdout)}


def test_the_demo_runs_again_and_again_on_a_cluster_that_keeps_its_topics(forgetful: Cluster, tmp_path: Path) -> None:
    for _ in range(2):
        code, account, said = demo(forgetful, tmp_path)
        assert code == 0, said
        assert (account["missing"], account["doubled"]) == (0, 0), said
        assert account["lodged"] > 600
        # The same lodgements under the same numbers would be refused as duplicates.
        assert account["dead_lettered"] < 0.1 * account["lodged"], said
    assert "CR-0101" in published(forgetful, "criteria")
    assert "WL-0001" in published(forgetful, "risk-info")


def declarations(folder: Path, days: int, each_day: int) -> Path:
    """A data set in the columns of the Customs Declaration Dataset."""
    row = dict.fromkeys(COLUMNS, "1") | {
        "Office ID": "13", "Process Type": "B", "Mode of Transport": "40", "Declarant ID": "ZZR1LT6",
        "Importer ID": "QLRUBN9", "Seller ID": "0VKY2BR", "Courier ID": "ABC", "HS6 Code": "440890",
        "Country of Departure": "BE", "Country of Origin": "BE", "Tax Rate": "0.0", "Tax Type": "FEU1",
        "Country of Origin Indicator": "G", "Net Mass": "108.0", "Item Price": "372254.4",
        "Fraud": "0", "Critical Fraud": "0",
    }  # fmt: skip
    file = folder / "declarations.csv"
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        writer.writeheader()
        for number in range(days * each_day):
            day = date(2021, 1, 1) + timedelta(days=number // each_day)
            writer.writerow(row | {"Declaration ID": str(90_000_000 + number), "Date": day.isoformat()})
    return file


def test_a_past_that_the_cluster_would_delete_is_refused_with_what_to_do_and_lodged_once_that_is_done(
    forgetful: Cluster, tmp_path: Path
) -> None:
    file = declarations(tmp_path, days=400, each_day=3)
    code, _, said = demo(forgetful, tmp_path, "--dataset", "cdd", "--path", str(file))
    assert code == 2, said
    assert re.search(r"begins 40[01] days ago", said), said
    assert "screened keeps 8 days" in said
    advised = re.search(r"--add-config retention.ms=(\d+)", said)
    assert advised, said
    with forgetful.admin() as admin:
        admin.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": advised[1]})
                for topic in ("express-cargo", "screened", "filtered", "decisions", "alerts", "inspection-results")
            ]
        )
    for _ in range(2):
        code, account, said = demo(forgetful, tmp_path, "--dataset", "cdd", "--path", str(file))
        assert code == 0, said
        assert (account["missing"], account["doubled"]) == (0, 0), said
        assert account["dead_lettered"] == 0, said
