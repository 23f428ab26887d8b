"""Selection's state is the log of its decisions: rebuilt from them, it is what decided."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.identity import unit_hash
from agents.selection import Selection, SelectionState
from agents.step import Arrival, Output
from schemas import codec
from schemas.decisions import SelectionDecided
from schemas.items import CriterionHit, ItemFiltered, PriorRecord, RiskHit
from tests.border import DAWN, DESK, ToldBrain, arrivals_of, decisions_of, number_of, parcel, policy_of, snapshot

POLICY = policy_of(
    control_points={name: {"streams": ["express-cargo"]} for name in ("AA-EXP", "BB-EXP", "CC-EXP")},
    capacity_share=0.1,
    controller={"window_items": 300, "window_days": 6.0},
    lanes={"window_selected": 30},
    horizons={"decisions_days": 31.0},
)
WATCHLIST = RiskHit(entry_id="wl-1", version=1, kind="watchlist", matched="consignee")
DIRECT = CriterionHit(criterion_id="cr-1", version=1, action="direct", lane="yellow")


def traffic(seed: int, count: int, minutes: float) -> list[ItemFiltered]:
    """Mixed traffic of three offices, some of it late."""
    items = []
    for number in range(count):
        draw = unit_hash("traffic", seed, number)
        late = timedelta(hours=5) if draw > 0.95 else timedelta()
        items.append(
            parcel(
                number,
                at=DAWN + timedelta(minutes=minutes * number) - late,
                control_point=("AA-EXP", "BB-EXP", "BB-EXP", "CC-EXP")[int(draw * 1000) % 4],
                hits=(WATCHLIST,) if draw < 0.01 else (),
                criteria=(DIRECT,) if 0.01 < draw < 0.02 else (),
                anomaly=draw,
                auto_cleared=0.3 < draw < 0.5,
                prior=PriorRecord(inspections=2, seizures=1) if 0.5 < draw < 0.52 else None,
            )
        )
    return items


def brain(seed: int) -> ToldBrain:
    return ToldBrain(
        lambda filtered: -3.0 + 4.0 * unit_hash("score", seed, number_of(filtered)) + number_of(filtered) // 700,
        lambda filtered: (f"flow-{number_of(filtered) // 250 % 5}", f"pair-{number_of(filtered) % 17}"),
    )


def wire(outputs: list[Output]) -> list[SelectionDecided]:
    """The decisions as they come back from the topic."""
    return [codec.decode("decisions", codec.encode(decision)) for decision in decisions_of(outputs)]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000), cut=st.integers(1, 1999), batch=st.integers(1, 700), minutes=st.sampled_from([0.1, 2.0])
)
def test_state_rebuilt_from_all_decisions_equals_the_live_one(seed: int, cut: int, batch: int, minutes: float) -> None:
    selection = Selection(POLICY, brain(seed))
    inputs = arrivals_of(traffic(seed, 2000, minutes))[:cut]
    live = selection.begin(0, 0)
    published: list[SelectionDecided] = []
    for start in range(0, cut, batch):
        published.extend(wire(selection.decide(live, inputs[start : start + batch]).outputs))
    rebuilt = selection.begin(0, cut)
    selection.remember(rebuilt, arrivals_of(published, "decisions"))
    live.first_offset = cut
    assert snapshot(rebuilt) == snapshot(live)


def test_controllers_rebuilt_from_the_horizon_alone_equal_those_that_lived_longer() -> None:
    selection = Selection(POLICY, brain(1))
    items = traffic(1, 6000, 15.0)  # two months; the horizon is 31 days
    live = selection.begin(0, 0)
    published = arrivals_of(wire(selection.decide(live, arrivals_of(items)).outputs), "decisions")
    since_ms = published[-1].timestamp_ms - int(POLICY.horizons.decisions.total_seconds() * 1000)
    first = next(place for place, arrival in enumerate(published) if arrival.timestamp_ms >= since_ms)
    assert first > 2000
    rebuilt = selection.begin(0, len(items))
    selection.remember(rebuilt, published[first:])
    assert snapshot(dict(sorted(rebuilt.control_points.items()))) == snapshot(dict(sorted(live.control_points.items())))
    for hours in (0, 1, 20, 30, 90):
        at = items[-1].item.lodged_at + timedelta(hours=hours)
        for flows in {decision.event.flows for decision in published[-500:]}:
            lived, read = (state.traffic.promise(flows, state.traffic.windows(at), 15.0) for state in (live, rebuilt))
            assert lived == read
            lived, read = (state.traffic.quantities(flows, state.traffic.windows(at)) for state in (live, rebuilt))
            assert lived == read


@pytest.mark.parametrize("closed_days", [10, 28, 40])
def test_office_that_was_closed_is_decided_as_by_a_worker_that_reads_the_horizon(closed_days: int) -> None:
    policy = policy_of(
        control_points={name: {"streams": ["express-cargo"]} for name in (DESK, "FERRY-EXP")}, capacity_share=0.1
    )
    selection = Selection(policy, ToldBrain(lambda filtered: -3.0 + 4.0 * unit_hash("score", number_of(filtered))))
    times = [DAWN + timedelta(hours=6 * n) for n in range(4 * (25 + closed_days + 3))]
    offices = [(at + timedelta(minutes=n), office) for at in times for n, office in enumerate((DESK, "FERRY-EXP"))
               if office == DESK or not 25 <= (at - DAWN).days < 25 + closed_days]  # fmt: skip
    inputs = arrivals_of([parcel(n, at=at, control_point=office) for n, (at, office) in enumerate(offices)])
    live, published = selection.begin(0, 0), list[Arrival[SelectionDecided]]()
    for arrival in inputs:
        decided = wire(selection.decide(live, [arrival]).outputs)
        if arrival.event.item.lodged_at >= DAWN + timedelta(days=25 + closed_days):
            since_ms = arrival.timestamp_ms - int(policy.horizons.decisions.total_seconds() * 1000)
            rebuilt = selection.begin(0, arrival.offset)
            selection.remember(rebuilt, [one for one in published if one.timestamp_ms >= since_ms])
            assert wire(selection.decide(rebuilt, [arrival]).outputs) == decided
        published.extend(arrivals_of(decided, "decisions", len(published)))
    assert len(published) == len(inputs)


@pytest.mark.parametrize("silent_days", [29, 31, 34, 36, 60])
def test_partition_that_was_silent_is_decided_as_by_a_worker_that_reads_the_horizon(silent_days: int) -> None:
    policy = policy_of(capacity_share=0.1, layers={"surge": 0.9})
    told = ToldBrain(
        lambda filtered: -3.0 + unit_hash("score", number_of(filtered)),
        lambda filtered: ("all", f"flow-{number_of(filtered) % 3}"),
    )
    selection, closes, opens = Selection(policy, told), 4 * 3, 3 + silent_days
    times = [DAWN + timedelta(hours=6 * n) for n in (*range(closes), *range(4 * opens, 4 * (opens + 4)))]
    inputs = arrivals_of([parcel(n, at=at) for n, at in enumerate(times)])
    live, published = selection.begin(0, 0), list[Arrival[SelectionDecided]]()
    for arrival in inputs:
        decided = wire(selection.decide(live, [arrival]).outputs)
        since_ms = arrival.timestamp_ms - int(policy.horizons.decisions.total_seconds() * 1000)
        rebuilt = selection.begin(0, arrival.offset)
        selection.remember(rebuilt, [one for one in published if one.timestamp_ms >= since_ms])
        assert wire(selection.decide(rebuilt, [arrival]).outputs) == decided
        published.extend(arrivals_of(decided, "decisions", len(published)))
    assert any(one.event.surge > 0.0 for one in published[closes:])


def test_batch_that_comes_again_changes_nothing_but_its_alerts_are_sent_again() -> None:
    selection = Selection(POLICY, brain(2))
    inputs = arrivals_of(traffic(2, 1500, 2.0))
    live = selection.begin(0, 0)
    selection.decide(live, inputs[:1000])
    last = selection.decide(live, inputs[1000:])
    everything = selection.begin(0, 0)
    first = selection.decide(everything, inputs)
    assert snapshot(everything) == snapshot(live)

    rebuilt = selection.begin(0, 1000)
    selection.remember(rebuilt, arrivals_of(wire(first.outputs), "decisions"))
    again = selection.decide(rebuilt, inputs[1000:])
    assert decisions_of(again.outputs) == []
    assert again.redelivered == 500
    sent_before = [(o.ce_id, codec.encode(o.event)) for o in last.outputs if o.topic != "decisions"]
    assert [(o.ce_id, codec.encode(o.event)) for o in again.outputs] == sent_before
    assert len(sent_before) > 20
    live.first_offset = 1000
    assert snapshot(rebuilt) == snapshot(live)


def test_crash_between_decisions_and_the_commit_decides_only_the_rest() -> None:
    selection = Selection(POLICY, brain(3))
    inputs = arrivals_of(traffic(3, 1000, 2.0))
    undisturbed = selection.begin(0, 0)
    whole = wire(selection.decide(undisturbed, inputs).outputs)
    rebuilt = selection.begin(0, 400)
    selection.remember(rebuilt, arrivals_of(whole[:700], "decisions"))
    rest = wire(selection.decide(rebuilt, inputs[400:]).outputs)
    assert rest == whole[700:]


def test_model_that_moved_on_does_not_change_what_an_alert_says_was_scored() -> None:
    selection = Selection(POLICY, brain(4))
    inputs = arrivals_of(traffic(4, 300, 2.0))
    before = selection.decide(selection.begin(0, 0), inputs)
    later = Selection(POLICY, ToldBrain(lambda filtered: 9.0))
    state = later.begin(0, 0)
    later.remember(state, arrivals_of(wire(before.outputs), "decisions"))
    again = later.decide(state, inputs)
    assert [o.event for o in again.outputs if o.topic == "alerts"] == [
        o.event for o in before.outputs if o.topic == "alerts"
    ]


def taken_over(first_offset: int, published: list[SelectionDecided]) -> tuple[Selection, SelectionState]:
    """A worker that starts at an input's offset, with what was decided before."""
    selection = Selection(POLICY, brain(3))
    state = selection.begin(0, first_offset)
    selection.remember(state, arrivals_of(published, "decisions"))
    return selection, state


def test_who_takes_over_sends_again_the_alerts_of_the_inputs_that_it_is_given_again() -> None:
    inputs = arrivals_of([parcel(number, control_point="AA-EXP", hits=(WATCHLIST,)) for number in range(6)])
    before = Selection(POLICY, brain(3))
    first = before.decide(before.begin(0, 0), inputs)
    selection, state = taken_over(2, wire(first.outputs))
    assert sorted(state.restored) == [2, 3, 4, 5]
    outcome = selection.decide(state, inputs[2:])
    again = [output.ce_id for output in outcome.outputs if output.topic == "alerts"]
    assert again == [output.ce_id for output in first.outputs if output.topic == "alerts"][2:]
    assert len(again) == 4
    assert decisions_of(outcome.outputs) == []
    assert (outcome.redelivered, state.restored) == (4, {})


def test_a_decision_that_is_on_the_topic_twice_keeps_the_reports_that_followed_from_it() -> None:
    hourly = [parcel(number, at=DAWN + timedelta(minutes=40 * number), control_point="AA-EXP") for number in range(4)]
    inputs = arrivals_of(hourly)
    before = Selection(POLICY, brain(3))
    first = before.decide(before.begin(0, 0), inputs)
    reports = [output.ce_id for output in first.outputs if output.topic == "monitoring"]
    assert reports
    published = wire(first.outputs)
    selection, state = taken_over(0, [*published, *published])
    outcome = selection.decide(state, inputs)
    assert [output.ce_id for output in outcome.outputs if output.topic == "monitoring"] == reports


def test_the_past_of_an_office_that_is_closed_is_no_obstacle() -> None:
    inputs = arrivals_of([parcel(number, control_point="BB-EXP", hits=(WATCHLIST,)) for number in range(3)])
    before = Selection(POLICY, brain(3))
    published = wire(before.decide(before.begin(0, 0), inputs).outputs)
    without = policy_of(control_points={"AA-EXP": {"streams": ["express-cargo"]}})
    state = Selection(without, brain(3)).begin(0, 3)
    Selection(without, brain(3)).remember(state, arrivals_of(published, "decisions"))
    assert set(state.control_points) == set()
    assert state.marks.is_redelivery(published[-1].screened)
