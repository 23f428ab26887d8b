"""What a look is worth where nobody looked for long: what such looks find, in the measure of what scores have meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.risk.patrols import CHANCE_FINDS, FINDS_AT_FIRST, Meaning, Patrols, constant_rank

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


def test_looks_that_find_nothing_become_rare_and_looks_that_find_come_back() -> None:
    patrols = Patrols()
    first = patrols.rank(5.0, 1.0)
    assert (
        first
        == pytest.approx(constant_rank(5.0, 1.0), rel=0.05)
        == pytest.approx(5.0 * (FINDS_AT_FIRST - CHANCE_FINDS), rel=0.05)
    )
    for _ in range(2000):
        patrols.learn(0.01, 0, patrol=True)
    assert patrols.rank(5.0, 1.0) == 0.0
    for number in range(600):
        patrols.learn(0.01, int(number % 20 == 0), patrol=True)
    assert patrols.rank(5.0, 1.0) > first


def test_only_such_looks_tell_what_they_find() -> None:
    patrols = Patrols()
    for _ in range(100):
        patrols.learn(0.5, 1, patrol=False)
    assert patrols.finds == FINDS_AT_FIRST


def test_a_flow_that_was_just_looked_at_is_worth_nothing() -> None:
    assert Patrols().rank(5.0, 0.0) == 0.0
    assert constant_rank(5.0, 0.0) == 0.0
