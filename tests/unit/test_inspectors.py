"""Simulated inspectors: they find most of what is there, after a while, and report each alert once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from load.inspectors import Inspector
from load.truth import Fate, Truth
from schemas.decisions import AlertRaised, Lane, SelectionDecided
from schemas.inspections import InspectionCompleted
from schemas.items import CargoFacts, GoodsFacts, ItemFiltered, ItemScreened, Monitored, PriorRecord
from schemas.marks import Origin, Upstream

AT = datetime(2025, 3, 1, 12, tzinfo=UTC)
ORIGIN = Origin(topic="express-cargo", partition=0, offset=1, lodgement_id="W", sent_ms=1)
UPSTREAM = Upstream(topic="express-cargo", partition=0, offset=1)


def alert(number: int, lane: Lane = "red") -> AlertRaised:
    item_id = f"express-cargo/W{number}"
    goods = GoodsFacts(hs6="950300")
    cargo = CargoFacts(
        bill=f"W{number}", consignee="c:1234", shipper="c:5678", consignee_name="A", shipper_name="B", carrier="X",
        mode="express", departure="CN", goods=goods,
    )  # fmt: skip
    screened = ItemScreened(
        item_id=item_id, stream="express-cargo", control_point="KRICN-EXP", lodged_at=AT, due_at=AT, subject="c:1234",
        cargo=cargo, prior=PriorRecord(), profile_version=0, risk_information_version=0, origin=ORIGIN,
        upstream=UPSTREAM,
    )  # fmt: skip
    monitored = Monitored(
        arrivals_1h=1, arrivals_24h=1, value_24h_usd=1.0, shippers_24h=1, control_points_24h=1, first_seen_hours=0,
        below_threshold_24h=0,
    )  # fmt: skip
    filtered = ItemFiltered(
        item=screened, monitored=monitored, anomaly=0.1, auto_cleared=False, criteria_version=0, upstream=UPSTREAM
    )
    decision = SelectionDecided(
        decision_id=f"d-{number}", item_id=item_id, stream="express-cargo", control_point="KRICN-EXP", subject="c:1234",
        lodged_at=AT, due_at=AT, lane=lane, selected=True, layer="model", layers=("model",), score=0.5, threshold=0.4,
        propensity=1.0, model_version=7, profile_version=0, criteria_version=0, risk_information_version=0,
        policy_version="p", origin=ORIGIN, upstream=UPSTREAM, screened=UPSTREAM,
    )  # fmt: skip
    return AlertRaised(
        alert_id=f"a-{number}", decision=decision, filtered=filtered, features={}, priority=1, headline="h",
        raised_at=AT, deadline=AT + timedelta(days=1),
    )  # fmt: skip


def truth(illicit: bool, count: int = 500) -> Truth:
    known = Truth()
    for number in range(count):
        item_id = f"express-cargo/W{number}"
        fate = Fate(
            item_id, "express-cargo", "KRICN-EXP", AT, 0.5, illicit, None, None, "drugs" if illicit else None, 3
        )
        known.add("express-cargo", f"W{number}", (fate,))
    return known


def results(inspector: Inspector, count: int = 500) -> list[InspectionCompleted]:
    for number in range(count):
        assert inspector.take(alert(number), f"ce-{number}")
    return inspector.due(AT + timedelta(days=365))


def test_a_tenth_of_what_is_there_is_missed() -> None:
    found = [result.outcome for result in results(Inspector(truth(illicit=True), seed=1))]
    assert 0.85 < found.count("seizure") / len(found) < 0.95
    assert found.count("seizure") + found.count("clear") == len(found)


def test_nothing_is_found_where_nothing_is() -> None:
    assert {result.outcome for result in results(Inspector(truth(illicit=False), seed=1))} == {"clear"}


def test_results_come_back_one_to_three_days_later_in_order() -> None:
    inspector = Inspector(truth(illicit=True), seed=1)
    assert inspector.take(alert(0), "ce-0")
    assert inspector.due(AT + timedelta(hours=23)) == []
    assert inspector.waiting == 1
    reported = results(Inspector(truth(illicit=True), seed=1))
    times = [result.inspected_at for result in reported]
    assert times == sorted(times)
    assert AT + timedelta(days=1) <= times[0]
    assert times[-1] <= AT + timedelta(days=3)


def test_a_redelivered_alert_is_inspected_once() -> None:
    inspector = Inspector(truth(illicit=True), seed=1)
    assert inspector.take(alert(0), "ce-0")
    assert not inspector.take(alert(0), "ce-0")
    assert inspector.redelivered == 1
    assert len(inspector.due(AT + timedelta(days=9))) == 1


def test_results_do_not_depend_on_the_order_of_alerts() -> None:
    known = truth(illicit=True)
    forwards, backwards = Inspector(known, seed=4), Inspector(known, seed=4)
    for number in range(50):
        forwards.take(alert(number), f"ce-{number}")
        backwards.take(alert(49 - number), f"ce-{49 - number}")
    assert forwards.due(AT + timedelta(days=9)) == backwards.due(AT + timedelta(days=9))


@pytest.mark.parametrize(("lane", "methods"), [("yellow", {"documents", "x-ray"}), ("blue", {"documents"})])
def test_the_lane_decides_how_it_is_inspected(lane: Lane, methods: set[str]) -> None:
    inspector = Inspector(truth(illicit=True), seed=1)
    assert {inspector.inspect(alert(number, lane))[0].method for number in range(100)} == methods


def test_dirty_results_are_late_doubled_passed_on_or_not_made() -> None:
    reported = results(Inspector(truth(illicit=False, count=2000), seed=1, dirt=0.2), count=2000)
    outcomes = [result.outcome for result in reported]
    assert 60 < outcomes.count("not-inspected") < 140
    assert 60 < outcomes.count("passed-on") < 140
    assert len(reported) > 2000
    assert len({result.result_id for result in reported}) == len(reported)
    assert any(result.inspected_at > AT + timedelta(days=4) for result in reported)


def test_an_item_that_the_truth_forgot_is_reported_as_not_inspected() -> None:
    assert Inspector(Truth(), seed=1).inspect(alert(1))[0].outcome == "not-inspected"
