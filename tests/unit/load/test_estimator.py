"""The benchmark of a simulation's intervals runs, and its policies are ones that there may be."""

from __future__ import annotations

from random import Random

from load.bench.estimator import drawn_policy, one_world, summary
from streams.policies import built_in_policy


def test_every_drawn_policy_is_one_that_can_decide() -> None:
    dice, base = Random(100), built_in_policy()  # noqa: S311 - a benchmark's dice
    assert len({drawn_policy(base, dice, number).policy_version for number in range(200)}) == 200


def test_a_small_world_says_how_often_its_intervals_hold_the_truth() -> None:
    rows = one_world(100, 2, items=1000, days=3, warm_days=1)
    assert len(rows) == 2
    assert all(0.0 <= row["true"] <= 1.0 and row["seizure_rate_low"] <= row["seizure_rate_high"] for row in rows)
    assert [one["method"] for one in summary(rows)] == ["seizure_rate", "horvitz_thompson", "self_normalised"]
