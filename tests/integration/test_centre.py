"""The centre client: alerts of its control points, each once, and results that are on Kafka before it says so."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from kafka.errors import LeaderNotAvailableError

from schemas.codec import codec_for
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted
from streams.centre import CentreAlert, CentreClient, SeeingRangeAssignor, UnreadableAlertError
from streams.embedded import EmbeddedBroker
from streams.results import ResultRefusedError
from streams.settings import Settings
from streams.topics import create_topics
from streams.wire import Outgoing
from tests.border import DESK
from tests.browser.centre import alert, record
from tests.integration.border import Border, border, terminate
from tests.integration.harbour import PATIENCE_S, ROOT

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]
ELSEWHERE = "KRPUS-SEA"
GUIDE = ROOT / "docs" / "centre-guide.md"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    """A broker with its topics; no worker is needed."""
    with border(tmp_path_factory.mktemp("centre-client")) as made:
        made.open()
        yield made


def client(at: Border, group: str, *points: str) -> CentreClient:
    """A member of a centre's group of its own."""
    return CentreClient(at.settings, group, points or (DESK,))


def take(centre: CentreClient, group: range, idle_s: float = PATIENCE_S, most: int = 1000) -> list[CentreAlert]:
    """The alerts with these numbers that come, until all have, or `most` of them, or none comes for a while."""
    wanted = {alert(number).alert_id for number in group}
    found: list[CentreAlert] = []
    for one in centre.alerts(idle_s=idle_s):
        if one.event.alert_id in wanted:
            found.append(one)
        else:
            centre.acknowledge(one)
        if len(found) == min(most, len(wanted)):
            break
    return found


def ids(alerts: list[CentreAlert]) -> list[str]:
    """Their alert ids."""
    return [one.event.alert_id for one in alerts]


def test_a_centre_gets_the_alerts_of_its_control_points_each_once(at: Border) -> None:
    raised = [alert(number) for number in range(1, 6)]
    with client(at, "each-once") as centre:
        at.lodge("alerts", [record(one, DESK) for one in (*raised, raised[1], raised[1])])
        at.lodge("alerts", [record(alert(9), ELSEWHERE)])
        found = take(centre, range(1, 6))
        assert ids(found) == [one.alert_id for one in raised]
        assert not take(centre, range(1, 10), idle_s=2.0)
        assert found[0].event == raised[0]
        assert found[0].control_point == DESK


def test_what_was_not_acknowledged_comes_again_and_what_was_does_not_though_it_is_sent_twice(at: Border) -> None:
    raised = [alert(number) for number in range(20, 25)]
    at.lodge("alerts", [record(one, DESK) for one in raised])
    with client(at, "again") as centre:
        found = take(centre, range(20, 25))
        for place in (0, 1, 3):  # the third is still open: nothing behind it may be lost
            centre.acknowledge(found[place])
    at.lodge("alerts", [record(raised[0], DESK)])  # a redelivery of an alert that was acknowledged before the restart
    with client(at, "again") as centre:
        assert ids(take(centre, range(20, 25), most=3)) == [one.alert_id for one in raised[2:]]
        assert not take(centre, range(20, 25), idle_s=4.0)


def test_a_centre_that_was_there_before_the_topics_gets_their_alerts(tmp_path: Path) -> None:
    with border(tmp_path) as early, client(early, "early") as centre:
        assert not take(centre, range(70, 71), idle_s=3.0)
        early.open()
        early.lodge("alerts", [record(alert(70), DESK)])
        assert len(take(centre, range(70, 71))) == 1


def test_a_leader_without_metadata_joins_again_rather_than_give_out_nothing() -> None:
    cluster, member = (
        SimpleNamespace(partitions_for_topic=dict[str, set[int]]().get),
        SimpleNamespace(metadata=SimpleNamespace(topics=["alerts"]), member_id="one", group_instance_id=None),
    )
    with pytest.raises(LeaderNotAvailableError, match="alerts"):
        SeeingRangeAssignor.assign(cluster, [member])
    cluster.partitions_for_topic = {"alerts": {0, 1}}.get
    assert SeeingRangeAssignor.assign(cluster, [member])["one"].partitions() == [("alerts", 0), ("alerts", 1)]


def test_a_result_is_on_kafka_before_the_client_says_so_and_sent_again_is_the_same(at: Border) -> None:
    at.lodge("alerts", [record(alert(30), DESK)])
    with client(at, "reports") as centre:
        (one,) = take(centre, range(30, 31))
        when = one.event.raised_at
        sent = [
            centre.report(one, outcome="seizure", method="x-ray", categories=["drugs"], severity=2, inspected_at=when)
            for _ in range(2)
        ]
        with pytest.raises(ResultRefusedError, match="method: an inspection has a method"):
            centre.report(one, outcome="clear")
        with pytest.raises(ResultRefusedError, match="severity"):
            centre.report(one, outcome="seizure", method="x-ray", severity=9)
        with pytest.raises(ResultRefusedError, match="passed_to: needed"):
            centre.report(one, outcome="passed-on")
        centre.acknowledge(one)
    decode = codec_for("inspection-results").decode
    rows = at.read("inspection-results", 2)
    assert all(row.timestamp > when.timestamp() * 1000 for row in rows), "stamped when reported, not when inspected"
    read = [decode(row.value) for row in rows]
    mine = [result for result in read if result.decision_id == one.decision_id]
    assert mine == sent
    assert sent[0].result_id == sent[1].result_id


def test_two_members_share_the_alerts_and_lose_none_when_one_leaves(at: Border) -> None:
    points = ("KRICN-EXP", "KRPTK-EXP", "KRINC-EXP", "KRPUS-SEA", "KRINC-SEA", "KRICN-T1", "KRICN-AIR")
    raised = [alert(number) for number in range(50, 90)]
    with client(at, "shared", *points) as first:
        take(first, range(0), idle_s=0.1)
        for place, one in enumerate(raised):
            moved = replace_point(one, points[place % len(points)])
            at.lodge("alerts", [record(moved, points[place % len(points)])])
        early = take(first, range(50, 90), most=10)
        for one in early:
            first.acknowledge(one)
    with client(at, "shared", *points) as second:
        late = take(second, range(50, 90), most=30)
    assert set(ids(early)) | set(ids(late)) == {one.alert_id for one in raised}
    assert not set(ids(early)) & set(ids(late))


def replace_point(one: AlertRaised, point: str) -> AlertRaised:
    """An alert as of another control point."""
    return msgspec.structs.replace(one, decision=msgspec.structs.replace(one.decision, control_point=point))


def guide_program(language: str) -> str:
    """The example program of the guide in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def test_the_guide_s_example_program_takes_an_alert_and_reports(at: Border, tmp_path: Path) -> None:
    program = tmp_path / "desk.py"
    program.write_text(guide_program("python"), encoding="utf-8")
    at.lodge("alerts", [record(alert(95), DESK)])
    environment = {**os.environ, **at.environment, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "desk.log").open("w") as out:
        desk = subprocess.Popen([sys.executable, str(program), DESK], cwd=ROOT, env=environment, stdout=out, stderr=out)
        try:
            filed = filed_by(desk, at, {alert(95).decision.decision_id})
            code = terminate(desk)
        finally:
            desk.kill()
            desk.wait()
    told = (tmp_path / "desk.log").read_text()
    assert (code, [one.outcome for one in filed]) == (0, ["clear"]), told
    assert alert(95).headline in told


def filed_by(desk: subprocess.Popen[bytes], at: Border, wanted: set[str]) -> list[InspectionCompleted]:
    """The results on these decisions, once a desk has filed one on each of them."""
    decode = codec_for("inspection-results").decode
    until = time.monotonic() + PATIENCE_S
    while True:
        filed = [one for row in at.read("inspection-results") if (one := decode(row.value)).decision_id in wanted]
        if wanted == {one.decision_id for one in filed} or time.monotonic() > until or desk.poll() is not None:
            return filed


@pytest.mark.skipif(shutil.which("node") is None or shutil.which("npm") is None, reason="Node and npm are not here")
def test_a_consumer_in_javascript_written_from_the_asyncapi_document_does_the_same(at: Border, tmp_path: Path) -> None:
    (tmp_path / "desk.js").write_text(guide_program("javascript"), encoding="utf-8")
    installed = subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "kafkajs@2.2.4"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    if installed.returncode != 0:
        pytest.skip(f"kafkajs could not be installed: {installed.stderr[-300:]}")
    at.lodge("alerts", [record(alert(97), DESK), record(alert(97), DESK)])
    at.lodge("alerts", [record(alert(98), DESK)])
    wanted = {alert(number).decision.decision_id for number in (97, 98)}
    with (tmp_path / "desk.log").open("w") as out:
        desk = subprocess.Popen(
            ["node", "desk.js", DESK], cwd=tmp_path, env={**os.environ, **at.environment}, stdout=out, stderr=out
        )
        try:
            filed = filed_by(desk, at, wanted)
        finally:
            desk.kill()
            desk.wait()
    told = (tmp_path / "desk.log").read_text()
    mine = [one for one in filed if one.reason == "no-capacity"]
    assert sorted(one.decision_id for one in mine) == sorted(wanted), told
    assert told.count(alert(97).headline) >= 1


def test_an_alert_that_cannot_be_read_stops_the_client_and_names_its_place(at: Border) -> None:
    made = record(alert(40), DESK)
    at.lodge("alerts", [Outgoing(made.key, b'{"event":"AlertRaised"}', made.timestamp, made.headers)])
    at.lodge("alerts", [record(alert(41), DESK)])
    with client(at, "unreadable") as centre:
        with pytest.raises(UnreadableAlertError, match=r"alerts\[\d\] offset \d+: alert_id: missing-field") as stopped:
            take(centre, range(41, 42))
        with pytest.raises(UnreadableAlertError):
            take(centre, range(41, 42))  # nothing was passed over in the meantime
        centre.skip(stopped.value)
        assert len(take(centre, range(41, 42))) == 1


def test_a_client_of_silent_brokers_does_not_burn_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took nine tenths of one."""
    monkeypatch.setattr("streams.centre._ASK_EVERY_S", 1000.0)
    with EmbeddedBroker() as broker:
        settings = Settings.from_environment({**broker.environment(), "BORDERFLOW_PARTITIONS": "2"})
        create_topics(settings)
        assert broker.pid is not None
        with CentreClient(settings, "quiet", (DESK,)) as centre:
            while len(centre._partitions) < 2:
                list(centre.alerts(idle_s=0.1))
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                began, used = time.monotonic(), time.process_time()
                list(centre.alerts(idle_s=10.0))
                used, took = time.process_time() - used, time.monotonic() - began
            finally:
                os.kill(broker.pid, signal.SIGCONT)
    assert used < took / 10
