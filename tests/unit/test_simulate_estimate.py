"""Estimates from what another policy inspected: right where all is known, honest where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.simulate.estimate import Sample, estimate, rate_interval


def sample(count: int, **columns: Any) -> Sample:
    flags = dict.fromkeys(("certain", "sure", "drawn", "inspected", "seized"), np.zeros(count, np.bool_))
    numbers = dict.fromkeys(("chance", "rate"), np.zeros(count))
    return Sample(**{name: np.asarray(columns.get(name, held)) for name, held in (flags | numbers).items()})


def test_what_both_policies_inspect_is_known_and_not_estimated() -> None:
    yes = np.ones(10, np.bool_)
    found = estimate(sample(10, certain=yes, sure=yes, inspected=yes, seized=np.arange(10) < 3))
    rate = found.seizure_rate
    assert (rate.low, rate.value, rate.high) == pytest.approx((0.3, 0.3, 0.3))
    assert found.unknown_share == 0.0


def test_without_a_draw_among_the_new_ones_anything_is_possible() -> None:
    yes = np.ones(10, np.bool_)
    found = estimate(sample(10, certain=yes, rate=np.full(10, 0.01)))
    assert (found.seizure_rate.low, found.seizure_rate.high) == (0.0, 1.0)
    assert found.seizure_rate.value is None, "the lower limit is no estimate"
    assert found.seizure_rate.said(".1%") == "not known (0.0% to 100.0%)"
    assert found.unknown_share == 1.0


def test_a_draw_elsewhere_says_what_new_ones_may_be() -> None:
    drawn = np.arange(20) >= 10
    found = estimate(
        sample(20, certain=~drawn, rate=np.full(20, 0.01), drawn=drawn, inspected=drawn, seized=np.arange(20) >= 18)
    )
    assert found.seizure_rate.value == pytest.approx(0.2)
    assert (found.seizure_rate.low, found.seizure_rate.high) == (0.0, 1.0)


def test_a_selection_of_no_items_has_no_rate() -> None:
    rate = estimate(sample(5)).seizure_rate
    assert rate.high == 0.0
    assert rate.value is None
    assert rate.said(".1%") == "-", "0.0% would say that nothing was found"


def test_no_more_is_found_than_is_selected() -> None:
    certain, sure = np.arange(60) < 30, np.arange(60) % 2 == 0
    for chance in np.linspace(0.001, 0.9, 200):
        everything = np.ones(60, np.bool_)
        found = estimate(
            sample(60, certain=certain, chance=np.full(60, chance), sure=sure, rate=np.full(60, 0.3), drawn=~sure,
                   inspected=everything, seized=everything)
        )  # fmt: skip
        assert found.seizures.value is not None
        assert found.seizures.low <= found.seizures.value <= found.seizures.high <= found.selected


def test_missing_results_of_shared_items_widen_the_interval() -> None:
    yes = np.ones(100, np.bool_)
    inspected = np.arange(100) < 80
    found = estimate(sample(100, certain=yes, sure=yes, inspected=inspected, seized=np.arange(100) < 8))
    assert found.seizure_rate.low < 0.1 < found.seizure_rate.high
    assert found.seizure_rate.low >= 0.08, "what was seized stays seized"
    assert found.seizure_rate.high <= 0.28, "what was clear stays clear"


def test_items_that_no_draw_could_reach_are_not_guessed() -> None:
    yes = np.ones(4, np.bool_)
    found = estimate(sample(4, certain=yes))
    assert [one.name for one in found.strata] == ["never decided"]
    assert (found.seizure_rate.low, found.seizure_rate.high) == (0.0, 1.0)


@pytest.mark.parametrize("capacity", [0.01, 0.02, 0.05])
def test_intervals_cover_the_truth_where_normal_ones_do_not(capacity: float) -> None:
    rng = np.random.default_rng(11)
    covered = normal = 0
    for _ in range(60):
        count = 8000
        risk = rng.beta(0.3, 12, count)
        illicit = rng.random(count) < risk
        one, other = (risk * rng.lognormal(0, 0.7, count) for _ in range(2))
        sure, certain = one > np.quantile(one, 0.98), other > np.quantile(other, 1 - capacity)
        rate = np.full(count, 0.004)
        drawn = (rng.random(count) < rate) & ~sure
        inspected = (sure | drawn) & (rng.random(count) < 0.9)
        found = estimate(
            Sample(certain, np.full(count, 0.1 * capacity), sure, rate, drawn, inspected, inspected & illicit)
        )
        truth = (illicit[certain].sum() + 0.1 * capacity * illicit[~certain].sum()) / found.selected
        covered += found.seizure_rate.low <= truth <= found.seizure_rate.high
        normal += found.horvitz_thompson.low <= truth <= found.horvitz_thompson.high
    assert covered >= 57
    assert normal < covered


@example(0.8125, 4.0, 0.9999999999999999)
@example(0.5, 1000.0, 0.9999999989)
@given(st.floats(0, 1), st.floats(0, 1000), st.floats(0, 1))
def test_an_interval_holds_its_rate_and_stays_between_0_and_1(rate: float, effective: float, fraction: float) -> None:
    low, high = rate_interval(rate, effective, fraction)
    assert 0.0 <= low <= high <= 1.0
    assert effective == 0.0 or low <= rate <= high


def test_an_interval_narrows_with_draws_and_closes_when_all_is_known() -> None:
    widths = [high - low for low, high in (rate_interval(0.2, n, f) for n, f in ((5, 0), (50, 0), (50, 0.9), (50, 1)))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0.0
