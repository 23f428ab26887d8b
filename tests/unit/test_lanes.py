"""Lanes are filled to the rates that the policy expects, and alerts say what to do, by when and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.identity import unit_hash
from agents.risk.lanes import LaneBook
from agents.selection import Selection
from schemas.decisions import AlertRaised, SelectionDecided
from schemas.items import CriterionHit, ItemFiltered, PriorRecord, RiskHit
from tests.border import DAWN, ToldBrain, arrivals_of, decisions_of, of_topic, parcel, policy_of

WATCHLIST = RiskHit(entry_id="wl-1", version=1, kind="watchlist", matched="consignee", severity=3)


def spread(filtered: ItemFiltered) -> float:
    return -5.0 + 4.0 * unit_hash("spread", filtered.item.item_id)


def outputs_of(items: Iterable[ItemFiltered], **policy: object) -> list[SelectionDecided]:
    selection = Selection(policy_of(capacity_share=0.1, **policy), ToldBrain(spread))
    return decisions_of(selection.decide(selection.begin(0, 0), arrivals_of(items)).outputs)


def alert_on(item: ItemFiltered, **policy: object) -> AlertRaised:
    selection = Selection(policy_of(**policy), ToldBrain(spread))
    alerts: list[AlertRaised] = of_topic(selection.decide(selection.begin(0, 0), arrivals_of([item])).outputs, "alerts")
    assert len(alerts) == 1
    return alerts[0]


def rates(decisions: list[SelectionDecided]) -> dict[str, float]:
    lanes = Counter(decision.lane for decision in decisions if decision.selected)
    return {lane: count / lanes.total() for lane, count in lanes.items()}


def test_each_lane_is_filled_to_its_expected_rate() -> None:
    found = rates(outputs_of(parcel(n) for n in range(8_000)))
    assert found == {
        "red": pytest.approx(0.6, rel=0.1),
        "yellow": pytest.approx(0.3, rel=0.1),
        "blue": pytest.approx(0.1, rel=0.1),
    }


def test_what_watchlists_send_to_red_is_left_out_of_it_by_the_others() -> None:
    items = (parcel(n, hits=(WATCHLIST,) if n % 25 == 0 else ()) for n in range(8_000))
    assert rates(outputs_of(items))["red"] == pytest.approx(0.6, rel=0.1)


def test_higher_score_goes_to_the_graver_lane() -> None:
    decisions = [d for d in outputs_of(parcel(n) for n in range(8_000)) if d.layer == "model"]
    mean = {
        lane: sum(scores) / len(scores)
        for lane in ("red", "yellow", "blue")
        if (scores := [decision.score for decision in decisions if decision.lane == lane])
    }
    assert mean["red"] > mean["yellow"] > mean["blue"]


def test_audit_sample_goes_where_the_policy_says_and_nobody_is_released_into_green() -> None:
    decisions = outputs_of((parcel(n) for n in range(5000)), lanes={"exploration": "yellow"})
    assert {d.lane for d in decisions if d.layer == "exploration"} == {"yellow"}
    assert all((d.lane == "green") == (not d.selected) for d in decisions)


def test_what_is_drawn_is_looked_at_alike_also_where_a_criterion_asks_for_its_documents() -> None:
    asks = CriterionHit(criterion_id="cr-1", version=1, action="direct", lane="yellow")
    decisions = outputs_of(parcel(n, criteria=(asks,)) for n in range(2000))
    drawn = [one.lane for one in decisions if "exploration" in one.layers]
    assert drawn
    assert set(drawn) == {"red"}
    assert {one.lane for one in decisions if "exploration" not in one.layers} == {"yellow"}


@settings(max_examples=30, deadline=None)
@example(red=0.0, split=0.0, positions=[1.0])
@given(
    red=st.floats(0.0, 1.0),
    split=st.floats(0.0, 1.0),
    positions=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3),
)
def test_any_shares_are_met_whatever_the_ranks(red: float, split: float, positions: list[float]) -> None:
    shares = {"red": red, "yellow": (1.0 - red) * split, "blue": (1.0 - red) * (1.0 - split)}
    policy = policy_of(lanes={"express_cargo": shares})
    book = LaneBook(policy, "express-cargo")
    template = outputs_of([parcel(1)])[0]
    for number in range(400):
        lane = book.assign(positions[number % len(positions)])
        fields = {name: getattr(template, name) for name in template.__struct_fields__}
        book.fold(SelectionDecided(**{**fields, "lane": lane, "layer": "surge"}), number)
    for held, count in book.counts.items():
        assert abs(count / 200 - shares[held]) < 0.08


def test_watchlist_alert_is_the_most_urgent_and_says_why_without_a_name() -> None:
    alert = alert_on(parcel(1, hits=(WATCHLIST,)))
    assert alert.priority == 1
    assert alert.headline == (
        "Inspect parcel of heading 8517 from CN, 1.5 kg, 120 USD: watchlist entry wl-1 matches the consignee"
    )
    assert alert.deadline == alert.filtered.item.due_at
    assert "CONSIGNEE" not in alert.headline.replace("consignee", "")
    assert alert.raised_at == alert.decision.lodged_at


def test_alert_with_little_time_left_is_one_step_more_urgent() -> None:
    prior = PriorRecord(inspections=1, seizures=1)
    plenty = alert_on(parcel(1, prior=prior), capacity_share=1.0)
    pressing = alert_on(parcel(1, prior=prior, due_after=timedelta(minutes=30)), capacity_share=1.0)
    assert plenty.priority - pressing.priority == 1


def test_a_grave_hit_is_one_that_says_to_inspect_and_not_one_that_trusts() -> None:
    minor = RiskHit(entry_id="wl-2", version=1, kind="watchlist", matched="consignee", severity=1)
    trusted = RiskHit(entry_id="tt-1", version=1, kind="trusted-trader", matched="consignee", severity=3)
    assert alert_on(parcel(1, hits=(minor,))).priority == 2
    assert alert_on(parcel(1, hits=(trusted, minor))).priority == 2


def test_audit_after_clearance_has_days_and_low_priority() -> None:
    blue = {"express_cargo": {"red": 0.0, "yellow": 0.0, "blue": 1.0}}
    alert = alert_on(parcel(1, at=DAWN), capacity_share=1.0, lanes=blue)
    assert alert.decision.lane == "blue"
    assert alert.deadline == DAWN + timedelta(days=14)
    assert alert.priority == 5
    assert alert.headline.startswith("Audit after clearance: parcel")
