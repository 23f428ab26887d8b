"""How the steps are put together in a worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.settings import Settings, SettingsError
from streams.topology import build_topology


def test_one_worker_hosts_the_four_steps_of_the_cycle_and_follows_three_logs() -> None:
    topology = build_topology(Settings())
    assert [step.name for step in topology.steps] == ["screening", "filtering", "selection", "reevaluation"]
    assert [follow.topic for follow in topology.follows] == ["labelled-examples", "criteria", "risk-information"]


def test_a_worker_follows_only_what_its_steps_read() -> None:
    assert [one.topic for one in build_topology(Settings(steps="filtering")).follows] == ["criteria"]
    assert build_topology(Settings(steps="reevaluation")).follows == ()


def test_every_topic_that_a_step_reads_or_remembers_has_a_decoder() -> None:
    topology = build_topology(Settings())
    for step in topology.steps:
        for topic in (*step.inputs, *(memory.topic for memory in step.memory)):
            assert topic in topology.decoders


def test_a_policy_that_is_refused_is_named_by_its_variable_and_file(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: x\ncontrol_points: {}\n")
    with pytest.raises(SettingsError, match=r"BORDERFLOW_POLICY_FILE.*policy\.yaml"):
        build_topology(Settings(policy_file=str(policy)))


def test_a_policy_that_remembers_longer_than_a_topic_keeps_its_records_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "version: x\ncontrol_points: {KRPUS-SEA: {title: Busan, streams: [manifests]}}\nhorizons: {alerts_days: 200}\n"
    )
    with pytest.raises(SettingsError, match=r"BORDERFLOW_POLICY_FILE.*topic 'alerts' keeps records for 90 days"):
        build_topology(Settings(policy_file=str(policy)))


def test_importing_the_worker_module_does_nothing() -> None:
    program = (
        "import sys, streams.worker; "
        "assert not {'faust', 'aiokafka', 'kafka'} & set(sys.modules), 'imported'; "
        "import threading; assert threading.active_count() == 1"
    )
    bad = {"BORDERFLOW_PARTITIONS": "none", "PATH": ""}
    subprocess.run([sys.executable, "-c", program], check=True, env=bad, cwd=Path(__file__).parents[2])
