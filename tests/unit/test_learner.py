"""The linear learner is River's, bit for bit, and its memory is bounded."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, optim

from agents.risk.learner import OnlineLogistic, logistic


def test_without_ageing_the_learner_is_rivers_logistic_regression_bit_for_bit() -> None:
    dice = random.Random(1)  # noqa: S311  a seeded test, not a secret
    rivers = linear_model.LogisticRegression(optimizer=optim.AdaGrad(0.07), l2=0.0, intercept_lr=0.01)
    ours = OnlineLogistic(rate=0.07, intercept_rate=0.01)
    for _ in range(2000):
        x = {f"f{dice.randrange(300)}": dice.gauss(0, 3) for _ in range(25)}
        label = int(dice.random() < 0.3)
        assert ours.log_odds(x) == rivers._raw_dot_one(x)
        ours.learn(x, label)
        rivers.learn_one(x, bool(label))
    assert {name: ours.weight(name) for name in rivers.weights} == rivers.weights
    assert ours.intercept == rivers.intercept


def test_the_least_learnt_weights_go_when_memory_is_full() -> None:
    ours = OnlineLogistic(capacity=1000)
    for n in range(20_000):
        ours.learn({"hs4=8517": 1.0, f"consignee={n}": 1.0}, n % 2)
    assert len(ours) <= 1000
    assert ours.weight("hs4=8517") != 0.0


def test_what_it_begins_with_stays_when_memory_is_full() -> None:
    ours = OnlineLogistic(capacity=1000, start={"rate:flow:a": 1.0}, first_g2=0.05)
    for n in range(3000):
        ours.learn({f"consignee={n}": 1.0}, n % 2)
    assert len(ours) <= 1000
    assert ours.weight("rate:flow:a") == 1.0  # of a kind of flow of which nothing was learnt yet


def test_old_lessons_fade_with_event_time() -> None:
    ours = OnlineLogistic(half_life_days=10.0)
    ours.learn({"hs4=8517": 1.0}, 1, day=0.0)
    before = ours.weight("hs4=8517")
    ours.learn({"hs4=8517": 1.0}, 1, weight=1e-12, day=10.0)
    assert math.isclose(ours.weight("hs4=8517"), before / 2, rel_tol=1e-6)


def test_what_a_clear_result_says_of_new_things_is_little_when_a_clear_result_was_expected() -> None:
    new = {"consignee=a": 1.0, "shipper=b": 1.0}
    rivers, ours = OnlineLogistic(intercept=-3.5), OnlineLogistic(intercept=-3.5, first_g2=0.2)
    gradient = ours.learn(new, 0)
    rivers.learn(new, 0)
    assert rivers.weight("shipper=b") < -0.099
    assert -0.01 < ours.weight("shipper=b") < -0.005
    ours.unlearn(new, gradient)
    assert math.isclose(ours.weight("shipper=b"), 0.0, abs_tol=1e-12)
    assert ours.learn(new, 1) < -0.9
    assert ours.weight("shipper=b") > 0.08


@given(st.floats(allow_nan=False))
def test_the_logistic_is_finite_for_any_number(log_odds: float) -> None:
    assert 0.0 <= logistic(log_odds) <= 1.0
