"""Selection: who is sent where, and why."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from agents.identity import unit_hash
from agents.risk import layers
from agents.risk.learner import logistic
from agents.risk.reasons import TEXT_LENGTH
from agents.risk.selectivity import undecided
from agents.selection import Selection
from schemas import codec
from schemas.decisions import AlertRaised, Reason, SelectionDecided
from schemas.items import CriterionHit, ItemFiltered, PriorRecord, RiskHit
from tests.border import (
    DAWN,
    DESK,
    ToldAppraisal,
    ToldBrain,
    arrivals_of,
    decisions_of,
    number_of,
    of_topic,
    parcel,
    policy_of,
)  # fmt: skip

WATCHLIST = RiskHit(entry_id="wl-1", version=1, kind="watchlist", matched="consignee", severity=3, category="drugs")

BOOST = CriterionHit(criterion_id="b", version=1, action="boost", weight=1.0)


def waves(filtered: ItemFiltered) -> float:
    """Scores that go up and down in no order."""
    return -4.0 + unit_hash("waves", filtered.item.item_id)


def decide(items: list[ItemFiltered], brain: ToldBrain | None = None, **settings: object) -> list[SelectionDecided]:
    selection = Selection(policy_of(**settings), brain or ToldBrain(lambda filtered: -3.0))
    return decisions_of(selection.decide(selection.begin(0, 0), arrivals_of(items)).outputs)


def test_watchlist_hit_is_sent_to_the_red_lane_whatever_its_score() -> None:
    (decision,) = decide([parcel(1, hits=(WATCHLIST,), auto_cleared=True)], ToldBrain(lambda filtered: -20.0))
    assert (decision.lane, decision.layer, decision.selected) == ("red", "mandatory", True)
    assert decision.propensity == 1.0
    assert decision.reasons[0].text == "watchlist entry wl-1 matches the consignee, drugs"


def test_a_decision_keeps_nothing_of_the_blank_one_that_all_begin_as() -> None:
    blank = undecided(policy_of().policy_version, None)
    (decision,) = decide([parcel(1, hits=(WATCHLIST,), criteria=(BOOST,))])
    unsaid = {"policy_version", "software"}
    for field in msgspec.structs.fields(SelectionDecided):
        if field.required and field.name not in unsaid:
            assert getattr(decision, field.name) != getattr(blank, field.name), field.name
    assert decision.policy_version == blank.policy_version
    assert (decision.criteria, decision.unboosted, decision.features) == (("b",), logistic(-3.0), {"told": -3.0})


def test_criterion_with_the_longest_title_makes_a_decision_and_an_alert_that_can_be_read() -> None:
    title = "Parcels of one consignee declared just below the duty-free value " * 8
    direct = CriterionHit(criterion_id="c" * 96, version=10**18, title=title[:512], action="direct")
    boost = msgspec.structs.replace(direct, action="boost", weight=1.0)
    entry = msgspec.structs.replace(WATCHLIST, entry_id="w" * 96, matched="m" * 32, category="d" * 32, strength=0.9)
    selection = Selection(policy_of(), ToldBrain(waves))
    arrivals = arrivals_of([parcel(1, hits=(entry,), criteria=(direct, boost)), parcel(2, criteria=(direct,))])
    outputs = selection.decide(selection.begin(0, 0), arrivals).outputs
    assert len(of_topic(outputs, "alerts")) == 2
    for output in outputs:
        if output.topic in ("decisions", "alerts"):
            assert codec.decode(output.topic, codec.encode(output.event)) == output.event
    text = decisions_of(outputs)[1].reasons[0].text
    assert text.startswith("Parcels of one consignee")
    assert text.endswith(f"… (criterion {'c' * 96} version {10**18})")


@pytest.mark.parametrize(
    "reason",
    [
        layers.profile_reason(parcel(1, prior=PriorRecord(inspections=10**9, seizures=10**9)), policy_of().profile),
        layers.anomaly_reason(parcel(1, anomaly=1.0)),
        layers.surge_reason(1e308),
        layers.exploration_reason(1.0),
    ],
    ids=lambda reason: reason.code,
)
def test_what_a_layer_says_fits_whatever_its_figures(reason: Reason) -> None:
    assert len(reason.text) <= TEXT_LENGTH


def test_trusted_trader_entry_selects_nobody() -> None:
    (decision,) = decide([parcel(1, hits=(msgspec.structs.replace(WATCHLIST, kind="trusted-trader"),))])
    assert "mandatory" not in decision.layers


def test_a_service_without_a_record_begins_by_inspecting_everything_beside_its_capacity() -> None:
    opened = policy_of(cold_start={"everything_until": (DAWN + timedelta(seconds=50)).isoformat()})
    selection = Selection(opened, ToldBrain(waves))
    state = selection.begin(0, 0)
    early = decisions_of(selection.decide(state, arrivals_of([parcel(number) for number in range(50)])).outputs)
    assert {(one.layer, one.propensity, one.exploration_rate) for one in early} == {("exploration", 1.0, 1.0)}
    assert {one.balance for one in early} == {0.0}
    (first,) = decisions_of(selection.decide(selection.begin(0, 0), arrivals_of([parcel(50)])).outputs)
    assert first.exploration_rate < 1.0  # the moment itself is after it
    crowd = [parcel(number) for number in range(50, 2050)]
    later = decisions_of(selection.decide(state, arrivals_of(crowd, first_offset=50)).outputs)
    assert sum(one.selected for one in later) / len(later) == pytest.approx(opened.capacity_share, rel=0.1)
    assert "model" in {one.layer for one in later}


def test_direct_criterion_selects_and_says_the_lane() -> None:
    hit = CriterionHit(criterion_id="cr-1", version=2, title="Cash, one way", action="direct", lane="yellow")
    (decision,) = decide([parcel(1, criteria=(hit,))])
    assert decision.reasons[0].text == "Cash, one way (criterion cr-1 version 2)"
    assert (decision.lane, decision.layer, decision.criteria) == ("yellow", "criteria", ("cr-1",))


def test_hit_over_its_cap_and_a_cleared_item_s_criterion_have_no_effect() -> None:
    hit = CriterionHit(criterion_id="cr-1", version=2, action="direct")
    capped, cleared = decide(
        [
            parcel(1, criteria=(msgspec.structs.replace(hit, capped=True),)),
            parcel(2, criteria=(hit,), auto_cleared=True),
        ]
    )
    assert "criteria" not in capped.layers
    assert "criteria" not in cleared.layers


def test_repeat_offender_is_sent_to_the_red_lane() -> None:
    prior = PriorRecord(inspections=3, seizures=2, last_seized_at=DAWN - timedelta(days=40))
    crowd = [parcel(number) for number in range(200)]
    offender = parcel(200, prior=prior)
    decision = decide([*crowd, offender], ToldBrain(waves))[-1]
    assert (decision.lane, decision.layer) == ("red", "profile")
    assert decision.reasons[0].text == "the consignee had 2 seizures in 3 inspections"
    assert [reason.code for reason in decision.reasons].count(decision.reasons[0].code) == 1


def test_repeat_offender_below_the_bar_is_left_when_such_selections_found_too_little() -> None:
    prior = PriorRecord(inspections=3, seizures=2, last_seized_at=DAWN - timedelta(days=40))
    crowd = [parcel(number) for number in range(200)]
    last = decide([*crowd, parcel(200, prior=prior)], ToldBrain(waves, worth=0.001))[-1]
    assert "profile" not in last.layers
    assert decide([*crowd, parcel(200, prior=prior)], ToldBrain(waves, worth=0.5))[-1].layer == "profile"


def test_unusual_item_below_the_bar_is_left_when_such_selections_found_too_little() -> None:
    crowd = [parcel(number) for number in range(2000)]
    layers = {"layers": {"anomaly": 0.05}}
    last = decide([*crowd, parcel(2000, anomaly=1.0)], ToldBrain(waves, worth=0.001), **layers)[-1]
    assert "anomaly" not in last.layers
    assert decide([*crowd, parcel(2000, anomaly=1.0)], ToldBrain(waves, worth=0.5), **layers)[-1].layer == "anomaly"


def test_repeat_offenders_take_no_more_than_their_share_of_the_capacity() -> None:
    prior = PriorRecord(inspections=3, seizures=2, last_seized_at=DAWN - timedelta(days=40))
    offenders = [parcel(number, prior=prior) for number in range(5000)]
    decisions = decide(offenders, ToldBrain(lambda filtered: -4.0), layers={"profile": 0.1})[1000:]
    by_profile = sum(decision.layer == "profile" for decision in decisions)
    assert by_profile == pytest.approx(0.1 * policy_of().capacity_share * len(decisions), rel=0.3)


def test_an_item_that_just_reaches_the_bar_is_selected() -> None:
    decisions = decide(
        [parcel(number) for number in range(3000)], ToldBrain(lambda filtered: number_of(filtered) % 7 / 10)
    )
    assert any(one.layer == "model" and one.competed_as == one.threshold for one in decisions)


def test_a_cleared_item_is_not_looked_at_for_its_flow() -> None:
    brain = ToldBrain(lambda filtered: -6.0, flows=lambda filtered: (f"flow-{number_of(filtered) % 50}",))
    items = [parcel(n, at=DAWN + timedelta(minutes=3 * n), auto_cleared=n % 2 == 1) for n in range(8000)]
    decisions = decide(items, brain)
    assert any(one.surge > 0.0 for one in decisions[::2])
    assert not any(one.surge > 0.0 or one.layer == "surge" for one in decisions[1::2])


def test_a_layer_without_a_share_selects_nothing() -> None:
    prior = PriorRecord(inspections=3, seizures=2, last_seized_at=DAWN - timedelta(days=40))
    odd = [parcel(n, prior=prior, anomaly=1.0) for n in range(200, 400)]
    shares = {"surge": 0.0, "profile": 0.0, "anomaly": 0.0}
    decisions = decide([*(parcel(number) for number in range(200)), *odd], ToldBrain(waves), layers=shares)
    assert {layer for one in decisions for layer in one.layers} == {"model", "exploration"}


def test_boosting_criterion_raises_the_score_and_is_a_reason_with_that_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToldAppraisal, "probability", lambda told, score: score)
    hit = CriterionHit(criterion_id="cr-9", version=1, action="boost", weight=2.0)
    crowd = [parcel(number) for number in range(400)]
    decisions = decide([*crowd, parcel(400, criteria=(hit,))], ToldBrain(waves))
    assert decisions[-1].score > decisions[0].score
    assert decisions[-1].layer == "model"
    boost = next(reason for reason in decisions[-1].reasons if reason.code == "criterion-boost")
    assert boost.weight == 2.0
    assert all(one.probability == one.score for one in decisions[:-1])
    assert decisions[-1].probability is None  # what was found at such scores says nothing of a boosted one
    assert decisions[-1].unboosted == pytest.approx(logistic(waves(parcel(400))))


def test_what_an_item_competes_as_selects_it_and_not_its_score() -> None:
    decisions = decide([parcel(number) for number in range(2000)], ToldBrain(waves, less=3.0))
    odd, even = decisions[1::2], decisions[::2]
    assert all(decision.rank is None and decision.competed_as == decision.score for decision in even)
    assert all(
        decision.rank == pytest.approx(logistic(waves(parcel(number)) - 3.0))
        for number, decision in enumerate(decisions)
        if number % 2
    )
    by_model = [decision for decision in decisions if decision.layer == "model"]
    assert len(by_model) > 20
    assert all(decision.competed_as >= decision.threshold for decision in by_model)
    below = [decision for decision in odd if decision.competed_as < decision.threshold <= decision.score]
    assert len(below) > 20
    assert not any("model" in decision.layers for decision in below)


def test_how_busy_a_flow_is_counts_where_the_policy_has_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToldAppraisal, "rank", lambda told, busy: told.log_odds - 2.0 * (1.0 - busy))
    brain = ToldBrain(lambda filtered: -3.0, flows=lambda filtered: ("one-flow",))
    items = [parcel(number, at=DAWN + timedelta(hours=12 * number)) for number in range(3)]
    with_looks, without = (decide(items, brain, layers={"surge": share}) for share in (0.15, 0.0))
    assert [decision.rank is None for decision in with_looks] == [True, False, False]
    assert all(decision.rank is None for decision in without)


def test_a_boost_adds_to_what_an_item_competes_as() -> None:
    hit = CriterionHit(criterion_id="cr-9", version=1, action="boost", weight=2.0)
    (decision,) = decide([parcel(1, criteria=(hit,))], ToldBrain(lambda filtered: -2.0, less=3.0))
    assert decision.score == pytest.approx(0.5)
    assert decision.rank == pytest.approx(logistic(-3.0))


def test_every_selected_item_has_one_alert_in_the_partition_of_its_decision() -> None:
    selection = Selection(policy_of(), ToldBrain(lambda filtered: number_of(filtered) % 53 / 10.0))
    outputs = selection.decide(
        selection.begin(3, 0), arrivals_of([parcel(n) for n in range(2000)], partition=3)
    ).outputs
    selected = [decision.decision_id for decision in decisions_of(outputs) if decision.selected]
    alerts: list[AlertRaised] = of_topic(outputs, "alerts")
    assert [alert.decision.decision_id for alert in alerts] == selected
    assert len(selected) > 20
    assert {output.partition for output in outputs if output.topic in ("decisions", "alerts")} == {3}
    assert all(alert.features == {"told": pytest.approx(alert.features["told"])} for alert in alerts)
    assert all(alert.decision.features == {} for alert in alerts)


def test_unknown_control_point_and_foreign_stream_are_refused() -> None:
    selection = Selection(policy_of(), ToldBrain(lambda filtered: 0.0))
    items = [parcel(1, control_point="NOWHERE"), parcel(2, stream="manifests"), parcel(3)]
    outcome = selection.decide(selection.begin(0, 0), arrivals_of(items))
    assert [(refusal.offset, refusal.reason) for refusal in outcome.refusals] == [
        (0, "unknown-control-point"),
        (1, "unknown-control-point"),
    ]
    assert [decision.item_id for decision in decisions_of(outcome.outputs)] == ["express-cargo/W3"]


BROKEN = ToldBrain(lambda filtered: float("nan"))
DIRECT = CriterionHit(criterion_id="cr-1", version=1, action="direct")


@pytest.mark.parametrize(
    "item",
    [
        parcel(1),
        parcel(1, hits=(msgspec.structs.replace(WATCHLIST, kind="trusted-trader"),)),
        parcel(1, criteria=(msgspec.structs.replace(DIRECT, capped=True),)),
        parcel(1, criteria=(msgspec.structs.replace(DIRECT, action="boost", weight=9.0),)),
    ],
)
def test_score_that_is_no_number_is_refused_not_released(item: ItemFiltered) -> None:
    selection = Selection(policy_of(), BROKEN)
    outcome = selection.decide(selection.begin(0, 0), arrivals_of([item]))
    assert outcome.outputs == []
    assert outcome.refusals[0].reason == "no-score"


@pytest.mark.parametrize(
    ("item", "layer"),
    [
        (parcel(1, hits=(WATCHLIST,)), "mandatory"),
        (parcel(1, criteria=(DIRECT,)), "criteria"),
        (parcel(1, hits=(WATCHLIST,), criteria=(DIRECT, msgspec.structs.replace(DIRECT, action="boost"))), "mandatory"),
    ],
)
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_what_is_ordered_is_inspected_whatever_becomes_of_the_model(
    item: ItemFiltered, layer: str, broken: float
) -> None:
    selection = Selection(policy_of(), ToldBrain(lambda filtered: broken, lambda filtered: ("origin=CN",)))
    outcome = selection.decide(selection.begin(0, 0), arrivals_of([item]))
    (decision,) = decisions_of(outcome.outputs)
    (alert,) = of_topic(outcome.outputs, "alerts")
    assert (decision.layer, decision.propensity, decision.flows) == (layer, 1.0, ())
    assert decision.model_version == BROKEN.version
    for output in outcome.outputs:
        assert codec.decode(output.topic, codec.encode(output.event)) == output.event
    assert alert.features == {}
    assert "told" not in [reason.code for reason in decision.reasons]


def test_record_that_filtering_sent_twice_is_decided_once() -> None:
    selection = Selection(policy_of(), ToldBrain(lambda filtered: 0.0))
    outcome = selection.decide(selection.begin(0, 0), arrivals_of([parcel(1), parcel(2), parcel(1), parcel(2)]))
    assert len(decisions_of(outcome.outputs)) == 2
    assert outcome.redelivered == 2


def test_mandatory_hits_beyond_capacity_are_all_inspected_and_reported() -> None:
    items = [parcel(n, at=DAWN + timedelta(minutes=n), hits=(WATCHLIST,) if n % 5 == 0 else ()) for n in range(200)]
    selection = Selection(policy_of(), ToldBrain(lambda filtered: -3.0))
    outputs = selection.decide(selection.begin(0, 0), arrivals_of(items)).outputs
    assert sum(decision.layer == "mandatory" for decision in decisions_of(outputs)) == 40
    reports = of_topic(outputs, "monitoring")
    exceeded = [report for report in reports if type(report).__name__ == "CapacityExceeded"]
    assert len(exceeded) == 3
    assert (exceeded[0].control_point, exceeded[0].selected, exceeded[0].capacity) == (DESK, 12, 2)


def test_coverage_is_reported_for_each_window_of_event_time() -> None:
    items = [parcel(n, at=DAWN + timedelta(minutes=n)) for n in range(190)]
    selection = Selection(policy_of(), ToldBrain(lambda filtered: 0.0))
    outputs = selection.decide(selection.begin(0, 0), arrivals_of(items)).outputs
    reports = of_topic(outputs, "monitoring")
    assert [report.items for report in reports] == [60, 60, 60]
    assert reports[0].since == DAWN
    assert len({output.ce_id for output in outputs}) == len(outputs)
    counted = sum(report.selected for report in reports)
    assert counted == sum(decision.selected for decision in decisions_of(outputs)[:180])
