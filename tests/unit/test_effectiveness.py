"""What inspections found, by layer, and what the audit sample says of all traffic."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agents.identity import unit_hash
from agents.reevaluation import ReEvaluation
from agents.risk.effectiveness import Effectiveness
from agents.selection import Selection
from schemas.monitoring import SeizureRateReported
from tests.border import DESK, ToldBrain, arrivals_of, number_of, of_topic, parcel, policy_of, result_on


def test_audit_sample_estimates_the_rate_of_all_traffic_whatever_the_model_thinks() -> None:
    """A model that ranks well inspects illicit items far above their share; the audit sample still tells it."""

    def illicit(number: int) -> bool:
        return unit_hash("illicit", number) < 0.08

    policy = policy_of(capacity_share=0.2, layers={"exploration": 0.25}, cold_start={"labels": 0, "exploration": 0.25})
    selection = Selection(policy, ToldBrain(lambda f: (2.0 if illicit(number_of(f)) else -2.0) + number_of(f) % 9 / 9))
    outputs = selection.decide(selection.begin(0, 0), arrivals_of([parcel(n) for n in range(40_000)])).outputs
    alerts = of_topic(outputs, "alerts")
    step = ReEvaluation(policy)
    state = step.begin(0, 0)
    step.remember(state, arrivals_of(alerts, "alerts"))
    results = [result_on(a, "seizure" if illicit(a.decision.origin.offset) else "clear") for a in alerts]
    lessons = of_topic(step.decide(state, arrivals_of(results, "inspection-results")).outputs, "labelled-examples")
    assert len(lessons) == len(alerts)
    found = {layer: [one.label for one in lessons if one.layer == layer] for layer in ("model", "exploration")}
    assert sum(found["model"]) / len(found["model"]) > 0.3
    drawn = [one for one in lessons if "exploration" in one.layers]
    weights = [1.0 / one.exploration_rate for one in drawn]
    rate = sum(weight * one.label for weight, one in zip(weights, drawn, strict=True)) / sum(weights)
    assert rate == pytest.approx(0.08, abs=0.015)
    # Counting only what nothing else selected would tell far too little.
    assert sum(found["exploration"]) / len(found["exploration"]) < 0.05


def test_window_that_began_before_the_calendar_is_closed_like_any_other() -> None:
    book = Effectiveness(DESK, 24.0)
    before_year_one = -62_135_629_200_000
    assert book.release(before_year_one) is None
    assert book.release(0) == SeizureRateReported(
        control_point=DESK, since=datetime(1, 1, 1, tzinfo=UTC), until=datetime(1, 1, 1, tzinfo=UTC),
        inspected=0, seizures=0, by_layer={}, by_criterion={}, released=1,
    )  # fmt: skip
