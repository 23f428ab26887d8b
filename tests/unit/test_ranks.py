"""What scores and looks compete as: what they have meant, at flows in which something was found and at others."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.risk.learner import logistic
from agents.risk.ranks import CHANCE_FINDS, FINDS_AT_FIRST, LAYER_AT_FIRST, Meaning, Ranks, constant_look


def log_odds(score: float) -> float:
    return log(score / (1.0 - score))


SCORE = st.floats(0.0, 1.0)
NOTED = st.lists(st.tuples(SCORE, st.integers(0, 1)), max_size=60)


def test_a_score_is_taken_at_its_word_before_the_first_lesson() -> None:
    meaning = Meaning()
    for score in (0.01, 0.05, 0.2, 0.5, 0.8):
        assert meaning.score_of(score) == pytest.approx(score, rel=0.05)


def test_where_scores_overestimate_a_share_of_finds_stands_higher_among_them() -> None:
    meaning = Meaning()
    for number in range(600):
        meaning.note(0.15, int(number % 50 == 0))  # .02 of what scored .15
        meaning.note(0.6, int(number % 5 < 3))  # .6 of what scored .6
    assert 0.05 < meaning.score_of(0.03) < 0.25
    assert meaning.score_of(0.55) == pytest.approx(0.6, abs=0.1)


@given(NOTED, SCORE, SCORE)
def test_more_finds_never_stand_lower(noted: list[tuple[float, int]], one: float, other: float) -> None:
    meaning = Meaning()
    for score, label in noted:
        meaning.note(score, label)
    low, high = sorted((meaning.score_of(one), meaning.score_of(other)))
    assert 0.0 <= low <= high <= 1.0
    assert meaning.score_of(min(one, other)) == low


@given(NOTED, SCORE, st.integers(0, 1))
def test_a_lesson_that_is_taken_back_leaves_nothing(noted: list[tuple[float, int]], score: float, label: int) -> None:
    never, taken_back = Meaning(), Meaning()
    taken_back.note(score, label)
    number = taken_back.lessons
    for one, found in noted:
        never.note(one, found)
        taken_back.note(one, found)
    taken_back.forget(score, label, number)
    for share in (0.01, 0.1, 0.5, 0.9):
        assert taken_back.score_of(share) == pytest.approx(never.score_of(share), rel=1e-9)


def test_what_an_item_competes_as_is_its_score_before_the_first_lesson() -> None:
    for score in (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.99):
        assert logistic(Ranks().unopened_rank(log_odds(score), 1.0)) == pytest.approx(score, rel=0.1)


def test_a_score_that_leads_to_less_where_nothing_was_found_competes_as_less() -> None:
    ranks = Ranks()
    for number in range(600):
        ranks.learn(0.15, int(number % 50 == 0), opened=False)
        ranks.learn(0.15, int(number % 6 == 0), opened=True)
        ranks.learn(0.03, int(number % 40 == 0), opened=True)
    assert logistic(ranks.unopened_rank(log_odds(0.15), 1.0)) < 0.05


def test_looks_and_scores_that_have_led_to_as_many_finds_compete_as_nearly_the_same() -> None:
    ranks = Ranks()
    for number in range(800):
        ranks.learn(0.15, int(number % 50 == 0), opened=False, looked=3.0)
        ranks.learn(0.15, int(number % 6 == 0), opened=True)
    look = ranks.look(0.02 / (ranks.looks.finds - CHANCE_FINDS), 1.0, 3.0)
    assert log_odds(look) == pytest.approx(ranks.unopened_rank(log_odds(0.15), 1.0), abs=0.5)


def test_a_find_that_would_lead_to_few_more_counts_less() -> None:
    ranks = Ranks()
    busy, half, alone = (ranks.unopened_rank(-2.0, part) for part in (1.0, 0.5, 0.0))
    assert busy - alone == pytest.approx(-log(0.3))
    assert busy > half > alone


@given(
    st.lists(st.tuples(SCORE, st.integers(0, 1), st.booleans()), max_size=60),
    st.floats(-30.0, 30.0),
    st.floats(-30.0, 30.0),
)
def test_a_higher_score_never_competes_as_less(noted: list[tuple[float, int, bool]], one: float, other: float) -> None:
    ranks = Ranks()
    for score, label, opened in noted:
        ranks.learn(score, label, opened=opened)
    low, high = sorted((one, other))
    assert ranks.unopened_rank(low, 1.0) < ranks.unopened_rank(high, 1.0) or high - low < 1e-9


@given(NOTED, SCORE, st.integers(0, 1), st.booleans())
def test_an_outcome_that_is_taken_out_moves_no_rank(
    noted: list[tuple[float, int]], score: float, label: int, opened: bool
) -> None:
    never, taken_out = Ranks(), Ranks()
    taken_out.learn(score, label, opened=opened)
    number = taken_out.of(opened).lessons
    for place, (one, found) in enumerate(noted):
        never.learn(one, found, opened=place % 2 == 0)
        taken_out.learn(one, found, opened=place % 2 == 0)
    taken_out.forget(score, label, number, opened=opened)
    for asked in (-5.0, -2.0, 0.0, 1.5):
        assert taken_out.unopened_rank(asked, 1.0) == pytest.approx(never.unopened_rank(asked, 1.0), abs=1e-6)


def test_looks_that_find_nothing_become_rare_and_looks_that_find_come_back() -> None:
    ranks = Ranks()
    first = ranks.look(5.0, 1.0, 3.0)
    assert (
        first
        == pytest.approx(constant_look(5.0, 1.0), rel=0.05)
        == pytest.approx(5.0 * (FINDS_AT_FIRST - CHANCE_FINDS), rel=0.05)
    )
    for _ in range(2000):
        ranks.learn(0.01, 0, opened=False, looked=3.0)
    assert ranks.look(5.0, 1.0, 3.0) == 0.0
    for number in range(600):
        ranks.learn(0.01, int(number % 20 == 0), opened=False, looked=3.0)
    assert ranks.look(5.0, 1.0, 3.0) > first


def test_looks_go_where_they_find() -> None:
    ranks = Ranks()
    for number in range(400):
        ranks.learn(0.01, int(number % 20 == 0), opened=False, looked=5.0)
        ranks.learn(0.01, 0, opened=False, looked=0.4)
    busy, rare, *never_tried = (ranks.look(4.0, 1.0, daily) for daily in (5.0, 0.2, 1.5, 7.0))
    assert all(busy > one > rare for one in never_tried)
    assert ranks.looks.share(5.0) == pytest.approx(0.05, abs=0.01)
    assert ranks.looks.share(0.2) < 0.01


def test_a_border_whose_looks_found_nothing_tries_again_after_a_while() -> None:
    ranks = Ranks()
    for _ in range(3000):
        ranks.learn(0.01, 0, opened=False, looked=3.0)
    assert ranks.look(4.0, 1.0, 3.0) == 0.0
    for _ in range(30_000):
        ranks.looks.learn(0.0, 0)
    assert ranks.look(4.0, 1.0, 3.0) > 0.0


def test_a_layer_that_finds_nothing_competes_as_little_and_is_tried_again() -> None:
    ranks = Ranks()
    first = ranks.below_bar("profile")
    assert first == pytest.approx(LAYER_AT_FIRST, rel=0.1)
    for _ in range(200):
        ranks.learn(0.05, 0, opened=False, layer="profile")
    least = ranks.below_bar("profile")
    assert least < first / 4
    for _ in range(3000):
        ranks.learn(0.05, int(_ % 20 == 0), opened=True)
    assert ranks.below_bar("profile") > 2 * least


def test_only_such_looks_tell_what_they_find() -> None:
    ranks = Ranks()
    for _ in range(100):
        ranks.learn(0.5, 1, opened=False)
    assert ranks.looks.share(3.0) == pytest.approx(FINDS_AT_FIRST)


def test_a_flow_that_was_just_looked_at_is_worth_nothing() -> None:
    assert Ranks().look(5.0, 0.0, 3.0) == 0.0
    assert constant_look(5.0, 0.0) == 0.0
