"""Shadows on a live border: two at once, no effect on decisions, their cost on record, stopped and reported."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.codec import codec_for
from schemas.inspections import InspectionCompleted
from streams.policies import built_in_policy
from streams.shadow.folder import ShadowFolder
from streams.simulate.candidates import with_setting
from tests.integration.border import PARTITIONS, Border, border, parcel, parcel_record, record_of
from tests.integration.harbour import PATIENCE_S

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

WRITTEN = ("screened", "filtered", "decisions", "alerts", "labelled-examples", "monitoring")


DRAWN = with_setting(built_in_policy(), "cold_start.exploration", 0.5)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    with pytest.MonkeyPatch.context() as environment, border(tmp_path_factory.mktemp("shadowed-border")) as made:
        # With a draw that fills half of the capacity there is enough to be shared in a thousand items.
        policy = tmp_path_factory.mktemp("policy") / "drawn.yaml"
        policy.write_bytes(msgspec.yaml.encode(DRAWN))
        environment.setenv("BORDERFLOW_POLICY_FILE", str(policy))
        made.open("worker-a")
        made.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(100)])
        made.decisions(100)
        yield made


def wait_for(folder: ShadowFolder, items: int, within_s: float = PATIENCE_S) -> None:
    """Return once a shadow has taken so many items."""
    until = time.monotonic() + within_s
    while folder.status().items < items:
        assert time.monotonic() < until, folder.status()
        time.sleep(0.1)


def results_of(at: Border) -> list[Any]:
    sent = []
    for record in at.read("alerts"):
        decision = codec_for("alerts").decode(record.value).decision
        done = InspectionCompleted(
            result_id=f"r-{decision.decision_id}", decision_id=decision.decision_id, inspected_at=decision.lodged_at,
            control_point=decision.control_point, method="physical",
            outcome="seizure" if decision.decision_id.endswith(("0", "1", "2", "3")) else "clear",
        )  # fmt: skip
        sent.append(record_of(done, decision.control_point, decision.lodged_at, record.partition))
    return sent


def test_shadows_choose_beside_the_workers_and_change_nothing(at: Border, tmp_path: Path) -> None:
    wider = tmp_path / "wider.yaml"
    policy = with_setting(DRAWN, "capacity_share", 0.2)
    wider.write_bytes(msgspec.yaml.encode(policy))
    root = tmp_path / "it's [1]"
    for name, options in (("same", ()), ("wider", ("--policy", str(wider)))):
        at.run("shadow", "start", name, "--detach", "--dir", str(root), "--cpu", "1", *options)
    same, wide = ShadowFolder(root, "same"), ShadowFolder(root, "wider")
    until = time.monotonic() + PATIENCE_S
    while {same.status().state, wide.status().state} != {"running"}:
        assert time.monotonic() < until, (same.status(), (root / "same" / "log").read_text())
        time.sleep(0.1)

    at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(100, 1100)])
    decided = {ce_id for ce_id, _ in at.decisions(1100)}
    assert len(decided) == 1100
    wait_for(same, 990)
    wait_for(wide, 990)
    at.lodge("inspection-results", results_of(at))
    counts = {topic: len(at.read(topic)) for topic in WRITTEN[:4]}
    for name in ("same", "wider"):
        at.run("shadow", "stop", name, "--dir", str(root))
        at.run("shadow", "report", name, "--dir", str(root))
    assert {topic: len(at.read(topic)) for topic in WRITTEN[:4]} == counts

    reports = {name: json.loads((root / name / "report.json").read_text()) for name in ("same", "wider")}
    for name, found in reports.items():
        shadow, live = found["candidates"]
        assert shadow["items"] == live["items"] > 900, name
        status = ShadowFolder(root, name).status()
        assert status.state == "stopped"
        assert status.cpu_us_per_item > 0
        assert status.memory_mb > 0
    assert reports["wider"]["candidates"][0]["selected"] > 2 * reports["same"]["candidates"][0]["selected"]
    shadow, live = reports["same"]["candidates"]
    assert shadow["shared"] == shadow["selected"] == live["selected"] > 15, "it is the policy that decides"


def test_wrong_use_of_shadows_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from streams.cli import main

    for arguments, said in (
        (["stop", "nobody"], "there is no shadow nobody"),
        (["report", "nobody"], "there is no shadow nobody"),
        (["start", "Not A Name"], "a shadow's name has"),
        (["start", "x", "--policy", "absent.yaml"], "--policy: absent.yaml"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["shadow", *arguments, "--dir", str(tmp_path)])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
