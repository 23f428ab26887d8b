"""The fairness report speaks of groups of travellers in the audit sample, and of nobody alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.reevaluation import ReEvaluation
from agents.risk.fairness import OTHERS, Audited, fairness, wilson
from agents.selection import Selection
from schemas.items import TravellerFacts
from streams.model_log import AuditSample
from tests.border import ToldBrain, arrivals_of, of_topic, parcel, policy_of, result_on, withdrawal_of


def sample(group: str, travellers: int, finds: int, score: float) -> list[Audited]:
    return [Audited(group, score, False, number < finds) for number in range(travellers)]


def test_a_group_that_is_scored_above_what_its_finds_explain_is_named() -> None:
    reports = {report.group: report for report in fairness([*sample("AA", 200, 4, 0.02), *sample("BB", 200, 1, 0.3)])}
    assert not reports["AA"].overscored
    assert reports["BB"].overscored


TRAVELLER = TravellerFacts(
    document="t:" + "1" * 32, name="A, B", document_issuer="KR", document_kind="passport", nationality="VN",
    birth_year=1980, carrier="KE", mode="air", journey="J", embarkation="VNSGN", disembarkation="KRICN",
)  # fmt: skip


@pytest.mark.parametrize(
    ("then", "finds"),
    [
        ([], [True]),
        (["withdrawn"], []),
        (["withdrawn", "clear"], [False]),
        ([("passed-on", "r-1")], []),
        ([("clear", "r-1")], [False]),
    ],
)
def test_a_find_that_was_taken_back_is_no_find(then: list[Any], finds: list[bool]) -> None:
    policy = policy_of(cold_start={"everything_until": "2030-01-01T00:00:00Z"})
    drawn = parcel(1)
    drawn = replace(drawn, item=replace(drawn.item, traveller=TRAVELLER))
    selection = Selection(policy, ToldBrain(lambda filtered: 0.0))
    (alert,) = of_topic(selection.decide(selection.begin(0, 0), arrivals_of([drawn])).outputs, "alerts")
    first = result_on(alert, "seizure", result_id="r-1")
    reports: list[Any] = [first]
    for place, one in enumerate(then, 2):
        outcome, corrects = one if isinstance(one, tuple) else (one, None)
        if outcome == "withdrawn":
            reports.append(withdrawal_of(first))
        else:
            passed_to = "KRPUS-SEA" if outcome == "passed-on" else None
            reports.append(result_on(alert, outcome, result_id=f"r-{place}", corrects=corrects, passed_to=passed_to))
    step = ReEvaluation(policy)
    state = step.begin(0, 0)
    step.remember(state, arrivals_of([alert], "alerts"))
    outputs = step.decide(state, arrivals_of(reports, "inspection-results")).outputs
    sample = AuditSample()
    for event in (alert, *of_topic(outputs, "labelled-examples"), None):
        sample.fold(event)
    assert [one.found for one in sample.audited()] == finds


def test_small_groups_are_reported_together_or_not_at_all() -> None:
    few = [*sample("AA", 20, 1, 0.1), *sample("BB", 20, 0, 0.1), *sample("CC", 50, 1, 0.1)]
    assert [report.group for report in fairness(few)] == ["CC", OTHERS]
    assert [report.group for report in fairness(sample("AA", 29, 1, 0.1))] == []


def test_the_interval_holds_the_share_and_stays_within_zero_and_one() -> None:
    for finds in (0, 3, 50):
        low, high = wilson(finds, 50)
        assert 0.0 <= low <= finds / 50 <= high + 1e-12 <= 1.0 + 1e-12


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
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(2, 1)
