"""Rates of criteria and layers, with intervals that are honest at small counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.identity import unit_hash
from agents.reevaluation import ReEvaluation
from agents.risk.effectiveness import Effectiveness, wilson
from agents.selection import Selection
from schemas.monitoring import SeizureRateReported
from tests.border import DESK, ToldBrain, arrivals_of, number_of, of_topic, parcel, policy_of, result_on


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_that_of_the_literature(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=5e-5)


@given(trials=st.integers(0, 10_000), share=st.floats(0, 1))
def test_wilson_interval_holds_the_rate_and_stays_a_rate(trials: int, share: float) -> None:
    hits = int(trials * share)
    low, high = wilson(hits, trials)
    assert 0.0 <= low <= high <= 1.0
    if trials:
        assert low <= hits / trials <= high


def test_more_hits_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and trials"):
        wilson(2, 1)


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
    step.decide(
        state,
        arrivals_of(
            [result_on(a, "seizure" if illicit(a.decision.origin.offset) else "clear") for a in alerts],
            "inspection-results",
        ),
    )
    book = state.effectiveness_of(DESK)
    assert book.by_layer["model"].hit_rate[0] > 0.3
    assert book.base_rate == pytest.approx(0.08, abs=0.015)
    # Counting only what nothing else selected would tell far too little.
    assert book.by_layer["exploration"].hit_rate[0] < 0.05
    assert book.delay_days == pytest.approx(1.0)


def test_window_that_began_before_the_calendar_is_closed_like_any_other() -> None:
    book = Effectiveness(DESK, 24.0)
    before_year_one = -62_135_629_200_000
    assert book.release(before_year_one) is None
    assert book.release(0) == SeizureRateReported(
        control_point=DESK, since=datetime(1, 1, 1, tzinfo=UTC), until=datetime(1, 1, 1, tzinfo=UTC),
        inspected=0, seizures=0, by_layer={}, by_criterion={}, released=1,
    )  # fmt: skip
