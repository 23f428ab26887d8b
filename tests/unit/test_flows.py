"""Flows: what a look at one is worth before any label speaks, and what one find in it says."""

from __future__ import annotations

from datetime import timedelta
from math import exp, log

import msgspec
import pytest

from agents.epoch import epoch_ms
from agents.risk.features import EVIDENCE, FLOW, TIMES
from agents.risk.flows import MISSED, MOST_EVIDENCE, FlowTraffic
from agents.risk.rates import FLOW_DAYS, OutcomeRates
from agents.selection import Selection
from schemas.decisions import SelectionDecided
from tests.border import DAWN, ToldBrain, arrivals_of, decisions_of, parcel, policy_of

FLOW_A = [f"{FLOW}hs6*origin=851712*CN"]


def a_decision() -> SelectionDecided:
    selection = Selection(policy_of(), ToldBrain(lambda filtered: -4.0))
    return decisions_of(selection.decide(selection.begin(0, 0), arrivals_of([parcel(0)])).outputs)[0]


def observed(arrivals: list[tuple[float, str, bool]]) -> FlowTraffic:
    """Traffic of (day, flow, selected)."""
    traffic, decision = FlowTraffic(), a_decision()
    for day, flow, selected in sorted(arrivals):
        at = DAWN + timedelta(days=day)
        traffic.observe(msgspec.structs.replace(decision, lodged_at=at, flows=(flow,), selected=selected), epoch_ms(at))
    return traffic


def steady(flow: str, daily: int, days: float, looks: tuple[float, ...] = ()) -> list[tuple[float, str, bool]]:
    return [(n / daily, flow, False) for n in range(int(daily * days))] + [(day, flow, True) for day in looks]


def test_new_traffic_surges_and_what_comes_as_ever_does_not() -> None:
    busy = steady("as-ever", 6, 20.0)
    new = [(18.0 + n / 6.0, "new", False) for n in range(12)]
    traffic, now = observed(busy + new), DAWN + timedelta(days=20)
    assert traffic.promise(("as-ever",), traffic.windows(now), 15.0).surging < 0.01
    assert traffic.promise(("new",), traffic.windows(now), 15.0).surging > 0.9
    assert traffic.promise(("never-seen",), traffic.windows(now), 15.0).surging < 0.01


def test_the_model_is_told_how_far_the_narrowest_flow_stands_above_its_norm() -> None:
    busy, now = steady("as-ever", 6, 20.0), DAWN + timedelta(days=20)
    traffic = observed(busy + [(18.0 + n / 6.0, "new", False) for n in range(12)])
    as_ever, new = (traffic.quantities(("new", flow), traffic.windows(now)) for flow in ("as-ever", "new"))
    assert as_ever[TIMES] < 0.3
    assert as_ever[EVIDENCE] < 0.5
    assert new[TIMES] > log(5.0)
    assert 10.0 < new[EVIDENCE] <= MOST_EVIDENCE
    assert traffic.quantities((), traffic.windows(now)) == {}
    nothing = FlowTraffic()
    assert nothing.quantities(("new",), nothing.windows(now)) == {}


def test_what_a_border_sees_in_its_first_days_is_no_surge_and_what_is_new_a_week_later_is() -> None:
    arrivals = steady("as-ever", 6, 9.0) + [(7.5 + n / 8.0, "new", False) for n in range(12)]
    first, later = DAWN + timedelta(days=2), DAWN + timedelta(days=9)
    begun, traffic = observed([one for one in arrivals if one[0] < 2.0]), observed(arrivals)
    assert begun.promise(("as-ever",), begun.windows(first), 15.0).surging < 0.01
    assert begun.promise(("as-ever",), begun.windows(first), 15.0).unseen > 0.8
    assert traffic.promise(("as-ever",), traffic.windows(later), 15.0).surging < 0.01
    assert traffic.promise(("new",), traffic.windows(later), 15.0).surging > 0.9


@pytest.mark.parametrize("day", [20.0, 27.0, 28.5, 29.9, 30.0, 33.0, 45.0, 400.0])
def test_what_came_before_a_long_silence_is_no_surge(day: float) -> None:
    traffic = observed([*steady("as-ever", 2, 1.0), *steady("new", 2000, 1.0)])
    now = DAWN + timedelta(days=day)
    seen = traffic.windows(now)
    assert (seen is None) == (day >= 30.0)
    assert seen is None or 0.0 <= seen.known <= 1.0
    for flow in ("as-ever", "new", "never-seen"):
        assert traffic.promise((flow,), seen, 15.0).surging < 0.01


def test_after_a_norm_s_days_of_silence_traffic_is_counted_from_nothing() -> None:
    again = [(33.0 + hour / 24.0, "new", False) for hour in range(30)]
    lived, begun = observed([*steady("new", 50, 2.0), *again]), observed(again)
    for day in (34.3, 36.0, 50.0):
        seen = lived.windows(DAWN + timedelta(days=day))
        assert seen == begun.windows(DAWN + timedelta(days=day))
        assert lived.promise(("new",), seen, 15.0) == begun.promise(("new",), seen, 15.0)


def test_a_surge_that_was_looked_at_in_vain_is_worth_less() -> None:
    busy, now = steady("as-ever", 6, 20.0), DAWN + timedelta(days=20)
    new = [(18.0 + n / 6.0, "new", n < 3) for n in range(12)]
    traffic = observed(busy + new)
    assert 0.4 < traffic.promise(("new",), traffic.windows(now), 15.0).surging < 0.6


def test_a_small_flow_is_worth_less_of_a_look_than_a_busy_one() -> None:
    traffic, now = observed([*steady("busy", 4, 28.0), *steady("small", 1, 28.0)]), DAWN + timedelta(days=28)
    busy, small = (traffic.promise((flow,), traffic.windows(now), 15.0).unseen for flow in ("busy", "small"))
    assert busy == 1.0
    assert small == pytest.approx(1.0 / 3.0, rel=0.1)


def test_a_flow_is_as_busy_as_it_is_now_or_as_a_norm_whichever_is_more() -> None:
    came = [(18.0 + n / 6.0, "new", False) for n in range(12)]
    went = [one for one in steady("ended", 6, 20.0) if one[0] < 15.0]
    traffic, now = observed([*steady("small", 1, 20.0), *came, *went]), DAWN + timedelta(days=20)
    new, ended, small = (traffic.promise((flow,), traffic.windows(now), 15.0) for flow in ("new", "ended", "small"))
    assert ended.busy == 1.0
    assert new.busy > 0.9
    assert small.busy == pytest.approx(1.0 / 3.0, rel=0.2)
    assert new.daily < 1.0 < ended.daily


def test_each_look_takes_a_part_of_what_the_next_is_worth_and_days_bring_it_back() -> None:
    looks = {"never": (), "once": (27.0,), "twice": (26.0, 27.0), "earlier": (18.0,), "long-ago": (14.0,)}
    traffic = observed([one for flow, days in looks.items() for one in steady(flow, 4, 28.0, days)])
    now = DAWN + timedelta(days=28)
    worth = {flow: traffic.promise((flow,), traffic.windows(now), 15.0).unseen for flow in looks}
    assert worth["never"] == worth["long-ago"] == 1.0
    assert worth["once"] == pytest.approx(1.0 - (1.0 - MISSED) * exp(-1 / 15.0))
    assert worth["twice"] == pytest.approx(1.0 - (1.0 - MISSED**2) * exp(-1 / 15.0))
    assert worth["twice"] < worth["once"] < worth["earlier"] < 1.0


@pytest.mark.parametrize(("capacity", "days"), [(3_000, 10), (1_000, 3)])
def test_steady_traffic_does_not_surge_when_its_flows_are_more_than_can_be_remembered(capacity: int, days: int) -> None:
    traffic, decision = FlowTraffic(capacity), a_decision()
    for hour in range(20 * 24):
        for flow in range(hour % 6, 300, 6):  # 300 flows, four items a day each
            at = DAWN + timedelta(hours=hour)
            traffic.observe(
                msgspec.structs.replace(decision, lodged_at=at, flows=(f"flow-{flow}",), selected=False), epoch_ms(at)
            )
    seen = traffic.windows(DAWN + timedelta(days=20))
    assert seen is not None
    assert days - 1.0 < seen.norm_days < days + 2.0
    promises = [traffic.promise((f"flow-{flow}",), seen, 15.0) for flow in range(300)]
    assert max(promise.surging for promise in promises) < 0.05


def test_flows_of_one_day_take_no_more_memory_than_there_is_room() -> None:
    traffic, decision = FlowTraffic(capacity=100), a_decision()
    for flow in range(500):
        traffic.observe(msgspec.structs.replace(decision, flows=(f"flow-{flow}",)), epoch_ms(decision.lodged_at))
    assert len(traffic) == 100


def test_one_find_in_a_flow_speaks_at_once_some_clear_results_end_it_and_time_fades_it() -> None:
    rates = OutcomeRates(1000.0)
    rates.advance(100.0)
    assert rates.log_odds(FLOW_A) == [0.0]
    rates.learn(FLOW_A, 1)
    found = rates.evidence(FLOW_A[0])
    assert found == 3.0
    rates.advance(100.0 + FLOW_DAYS)
    assert rates.evidence(FLOW_A[0]) == pytest.approx(found * 0.368, rel=0.01)
    for _ in range(6):
        rates.learn(FLOW_A, 0)
    assert rates.evidence(FLOW_A[0]) < 0.0


def test_evidence_of_a_flow_is_taken_back_with_its_lesson() -> None:
    rates = OutcomeRates(1000.0)
    rates.advance(100.0)
    rates.learn(FLOW_A, 0)
    before = rates.evidence(FLOW_A[0])
    rates.learn(FLOW_A, 1, 0.9)
    added = rates.evidence(FLOW_A[0]) - before
    rates.unlearn(FLOW_A, 1, 0.9, 100.0)
    rates.unlearn_flow(FLOW_A[0], added, 100.0)
    assert rates.evidence(FLOW_A[0]) == pytest.approx(before)


def test_rates_that_were_asked_for_between_lessons_are_those_that_nobody_asked_for() -> None:
    asked, unasked = OutcomeRates(30.0), OutcomeRates(30.0)
    levels = ["hs4=8517", "hs6=851712", "hs6=851713", "consignee=c:1", *FLOW_A]
    weights = [0.5, -0.25, 2.0, 1.0, 1.5]
    for number in range(40):
        day, label, held = float(number // 3), number % 4 == 0, levels[number % 2 :]
        for rates in (asked, unasked):
            rates.advance(day)
            rates.learn(held, int(label))
            if number % 7 == 6:
                rates.unlearn(held, int(label), 1.0, day)
        for _ in range(2):
            total = -3.5
            for weight, rate in zip(weights, asked.log_odds(levels), strict=True):
                total += weight * rate
            assert asked.weighed(levels, weights, -3.5) == (total, asked.log_odds(levels))
    assert asked.log_odds(levels) == unasked.log_odds(levels)
    assert asked.weighed([], [], -3.5) == (-3.5, [])
