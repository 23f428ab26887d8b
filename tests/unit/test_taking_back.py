"""A result filed by mistake: what its lesson did is taken out of models, rates, standings, quarantine and profiles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.risk.brain import Brain
from agents.risk.challengers import CHAMPION, FORGETFUL, GROVE, WARM, within_budget
from agents.risk.champion import Champion, flow_of
from agents.risk.profiles import Profiles
from agents.risk.quarantine import Quarantine
from agents.risk.rates import OutcomeRates
from schemas.inspections import ModelPromoted, OutcomeLearned
from schemas.items import PriorRecord
from tests.unit.test_brain import NOW, lesson, parcel

RISKY, PLAIN = "240220", "851712"


def history(items: int = 120, **settings: Any) -> tuple[Brain, int]:
    """A brain that has learnt from `items` parcels, and the next offset."""
    brain = Brain(Profiles(), **settings)
    for number in range(items):
        heading = RISKY if number % 3 == 0 else PLAIN
        brain.fold(number, "k", lesson(brain, parcel(number, heading), int(heading == RISKY)))
    return brain, items


def withdrawn(wrong: OutcomeLearned, **changes: Any) -> OutcomeLearned:
    fields = {name: getattr(wrong, name) for name in OutcomeLearned.__struct_fields__}
    return OutcomeLearned(
        **{
            **fields,
            "result_id": f"w-{wrong.result_id}",
            "corrects": wrong.result_id,
            "outcome": "not-inspected",
            "label": 0,
            "weight": 1.0,
            "categories": (),
            **changes,
        }
    )


def scores(brain: Brain, model: str = CHAMPION) -> list[float]:
    champion = brain._minds["express-cargo"].models[model]
    appraised = [brain.appraise(parcel(500 + n, (RISKY, PLAIN)[n % 2], net_mass_kg=0.4 + n)) for n in range(12)]
    return [champion.log_odds(one.features) for one in appraised]


def prior(brain: Brain, number: int) -> PriorRecord:
    return brain.profiles.prior(f"c:{number % 40}")


@pytest.mark.parametrize("model", [CHAMPION, FORGETFUL])
def test_undo_within_a_minute_leaves_the_model_as_if_nothing_had_been_filed(model: str) -> None:
    brain, at = history()
    last = NOW + timedelta(hours=at - 1)  # so that nothing ages
    mistake = lesson(brain, parcel(207, PLAIN), 1, weight=1.5, categories=("drugs",), inspected_at=last)
    before, known, labels = scores(brain, model), prior(brain, 7), brain._minds["express-cargo"].labels
    brain.fold(at, "k", mistake)
    assert max(abs(one - other) for one, other in zip(scores(brain, model), before, strict=True)) > 1.0
    assert prior(brain, 207).inspections == known.inspections + 1
    brain.fold(at + 1, "k", withdrawn(mistake))
    assert scores(brain, model) == pytest.approx(before, abs=0.02)  # full categories come back but for a trace
    assert prior(brain, 207) == known
    assert brain._minds["express-cargo"].labels == labels


def test_undo_of_a_lesson_beyond_the_budget_of_challengers_is_taken_from_the_one_that_was_promoted() -> None:
    brain, at = history(WARM)
    brain.fold(at, "k", ModelPromoted(stream="express-cargo", model=FORGETFUL, by="analyst", at=NOW))
    assert not within_budget("express-cargo", WARM + 1)
    last = NOW + timedelta(hours=at - 1)
    mistake = lesson(brain, parcel(907, PLAIN), 1, weight=1.5, inspected_at=last)
    before = scores(brain, FORGETFUL)
    brain.fold(at + 1, "k", mistake)
    assert max(abs(one - other) for one, other in zip(scores(brain, FORGETFUL), before, strict=True)) > 1.0
    brain.fold(at + 2, "k", withdrawn(mistake))
    assert scores(brain, FORGETFUL) == pytest.approx(before, abs=0.02)


def test_undo_at_once_leaves_no_weight_of_the_regressions_where_it_was_not() -> None:
    brain, at = history()
    learners = {name: model for name, model in brain._minds["express-cargo"].models.items() if name != GROVE}
    weights = {CHAMPION: learners[CHAMPION].learner.weights, FORGETFUL: learners[FORGETFUL]._learner.weights}
    before = {name: dict(held) for name, held in weights.items()}
    last = NOW + timedelta(hours=at - 1)
    mistake = lesson(brain, parcel(207, PLAIN, net_mass_kg=500.0, value_usd=1e5), 1, weight=1.5, inspected_at=last)
    brain.fold(at, "k", mistake)  # its mass and value are unlike all others
    brain.fold(at + 1, "k", withdrawn(mistake))
    for name, held in weights.items():
        assert held == pytest.approx({**dict.fromkeys(held, 0.0), **before[name]}, abs=1e-4), name  # but for what aged


def test_undo_after_others_were_learnt_takes_most_of_it_back_and_never_overshoots() -> None:
    clean, at = history()
    later = [lesson(clean, parcel(300 + n, (RISKY, PLAIN)[n % 2]), int(n % 2 == 0)) for n in range(12)]
    spoilt, _ = history()
    mistake = lesson(spoilt, parcel(209, PLAIN), 1, weight=1.5)
    spoilt.fold(at, "k", mistake)
    for n, told in enumerate(later):
        clean.fold(at + n, "k", told)
        spoilt.fold(at + 1 + n, "k", told)
    right, wrong = scores(clean), scores(spoilt)
    spoilt.fold(at + 20, "k", withdrawn(mistake))
    mended = scores(spoilt)
    damage = sum(abs(one - other) for one, other in zip(wrong, right, strict=True))
    left = sum(abs(one - other) for one, other in zip(mended, right, strict=True))
    assert left < 0.2 * damage


def test_correction_learns_the_right_label_in_place_of_the_wrong_one() -> None:
    corrected, at = history()
    straight, _ = history()
    item = parcel(207, PLAIN)
    mistake = lesson(corrected, item, 1, weight=1.5)
    corrected.fold(at, "k", mistake)
    corrected.fold(at + 1, "k", withdrawn(mistake, outcome="clear"))
    straight.fold(at, "k", lesson(straight, item, 0))
    assert scores(corrected) == pytest.approx(scores(straight), abs=0.02)
    assert prior(corrected, 207) == prior(straight, 207)
    for mine, other in zip(corrected.standings("express-cargo"), straight.standings("express-cargo"), strict=True):
        if mine.model != GROVE:  # trees cannot unlearn
            assert mine.log_loss == pytest.approx(other.log_loss, rel=0.02)


def test_undo_and_a_new_result_are_the_new_result_alone() -> None:
    chained, at = history()
    straight, _ = history()
    item = parcel(207, PLAIN)
    mistake = lesson(chained, item, 1)
    chained.fold(at, "k", mistake)
    undo = withdrawn(mistake)
    chained.fold(at + 1, "k", undo)
    again = withdrawn(undo, result_id="r-again", outcome="clear")
    chained.fold(at + 2, "k", again)
    straight.fold(at, "k", lesson(straight, item, 0))
    assert scores(chained) == pytest.approx(scores(straight), abs=0.02)
    before = scores(chained)
    for n, told in enumerate((mistake, undo, again)):  # a worker died before its commit: all three come again
        chained.fold(at + 3 + n, "k", told)
    assert scores(chained) == before
    assert prior(chained, 207) == prior(straight, 207)


def test_two_workers_come_to_the_same_bits_whatever_is_taken_back() -> None:
    one, at = history()
    other, _ = history()
    log: list[OutcomeLearned] = []
    for n in range(60):
        told = lesson(one, parcel(400 + n, (RISKY, PLAIN)[n % 2]), n % 2)
        log.append(told)
        if n % 5 == 0:
            log.append(withdrawn(told, outcome=("clear", "not-inspected", "seizure")[n % 3], label=int(n % 3 == 2)))
    for brain in (one, other):
        for n, told in enumerate(log):
            brain.fold(at + n, "k", told)
    assert scores(one) == scores(other)
    assert one.standings("express-cargo") == other.standings("express-cargo")


def test_correction_of_a_lesson_in_quarantine_moves_nothing_and_frees_its_place() -> None:
    brain, at = history(quarantine=Quarantine(burst=1, times=0.0, surprise=1e9))
    held = lesson(brain, parcel(300, PLAIN), 1)  # over a day's rate of its centre
    for n in range(3):
        brain.fold(at + n, "k", lesson(brain, parcel(301 + n, PLAIN), 0, inspected_at=held.inspected_at))
    before, counted = scores(brain), brain.quarantined
    brain.fold(at + 3, "k", held)
    assert brain.quarantined == counted + 1
    brain.fold(at + 4, "k", withdrawn(held))
    assert (scores(brain), brain.quarantined) == (before, counted)
    assert prior(brain, 300).seizures == prior(history(quarantine=Quarantine(burst=1, times=0.0))[0], 300).seizures


LESSONS = st.lists(
    st.tuples(st.sampled_from((0, 0, 0, 1)), st.sampled_from((0.02, 0.3, 0.9)), st.sampled_from((99.0, 100.0, 100.5))),
    max_size=60,
)


@given(LESSONS, LESSONS)
def test_withdrawal_never_leaves_the_guard_stricter_than_it_was(
    earlier: list[tuple[int, float, float]], wrong: list[tuple[int, float, float]]
) -> None:
    guard, untouched = Quarantine(burst=20), Quarantine(burst=20)
    for one in (guard, untouched):
        one.admit("P", 0, 0.3, 100.0)
        for label, score, day in earlier:
            one.admit("P", label, score, day)
    held = [guard.admit("P", label, score, day) is not None for label, score, day in wrong]
    for (label, score, day), was_held in zip(wrong, held, strict=True):
        guard.take_back("P", label, score, day, held=was_held)
    left, before = guard.sites["P"], untouched.sites["P"]
    assert (left.today, left.held) == (before.today, before.held)
    assert left.clear <= before.clear + 1e-9
    assert left.found <= before.found + 1e-9
    for score in (0.02, 0.3, 0.9):
        assert guard._meant(score) == pytest.approx(untouched._meant(score))


def test_what_a_late_lesson_added_is_taken_back_whole_and_what_faded_is_not_taken_back_twice() -> None:
    guard, untouched = Quarantine(), Quarantine()
    for one in (guard, untouched):
        one.admit("P", 0, 0.02, 100.0)
    before = untouched.sites["P"].clear
    for _ in range(60):
        assert guard.admit("P", 0, 0.9, 99.0) is None  # of yesterday: it counts for today all the same
        guard.take_back("P", 0, 0.9, 99.0, held=False)
    assert (guard.sites["P"].today, guard.sites["P"].clear) == (1, pytest.approx(before))
    guard.admit("P", 0, 0.9, 100.0)
    for one in (guard, untouched):
        one.admit("P", 0, 0.02, 102.0)
    guard.take_back("P", 0, 0.9, 100.0, held=False)
    assert (guard.sites["P"].today, guard.sites["P"].clear) == (1, pytest.approx(untouched.sites["P"].clear))


def test_what_scores_have_meant_forgets_a_lesson_that_was_halved_since_by_half() -> None:
    guard = Quarantine(burst=10**9, surprise=1e9)
    guard.admit("P", 1, 0.9, 100.0)
    for number in range(1200):
        guard.admit("P", number % 2, 0.9, 100.5)
    taught, finds = sum(guard._taught), sum(guard._finds)
    guard.take_back("P", 1, 0.9, 100.0, held=False)
    assert (taught - sum(guard._taught), finds - sum(guard._finds)) == (0.5, 0.5)


def test_no_more_than_the_latest_lessons_are_kept_to_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.risk.quarantine.KEPT", 3)
    guard = Quarantine()
    for number in range(6):
        guard.admit("P", 0, 0.3, 100.0 + number // 5)
    surprise = guard.sites["P"].clear
    assert sum(map(len, guard._added.values())) == 3
    for _ in range(5):
        guard.take_back("P", 0, 0.3, 100.0, held=False)
    assert guard._added.keys() == {("P", 0, 0.3, 101.0, False)}
    assert 0.0 < guard.sites["P"].clear < surprise


def test_lesson_that_is_too_old_to_be_taken_back_is_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.risk.brain._CORRECTABLE", 5)
    brain, at = history(20)
    old = lesson(brain, parcel(0, RISKY), 1)
    before = scores(brain)
    brain.fold(at, "k", withdrawn(old))
    assert scores(brain) == before


def test_rates_are_taken_back_exactly_though_they_have_aged() -> None:
    rates, untouched = OutcomeRates(half_life_days=10.0), OutcomeRates(half_life_days=10.0)
    for one in (rates, untouched):
        one.advance(0.0)
        one.learn(["hs6=1", "hs6=2"], 0)
    rates.learn(["hs6=1", "new"], 1, 1.5)
    for one in (rates, untouched):
        one.advance(7.0)
        one.learn(["hs6=2"], 1)
    rates.unlearn(["hs6=1", "new"], 1, 1.5, 0.0)
    assert len(rates) == len(untouched)
    assert rates.log_odds(["hs6=1", "hs6=2", "new"]) == pytest.approx(untouched.log_odds(["hs6=1", "hs6=2", "new"]))
    assert rates.base() == pytest.approx(untouched.base())


@pytest.mark.parametrize("severity", [0, 1, 2, 3])
def test_undo_of_a_grave_find_leaves_its_flow_as_it_was(severity: int) -> None:
    brain, at = history()
    champion = brain._minds["express-cargo"].champion
    last = NOW + timedelta(hours=at - 1)
    mistake = lesson(brain, parcel(207, "640411"), 1, weight=1.0 + 0.25 * severity, inspected_at=last)
    flow = flow_of(mistake.features)
    assert champion.rates.evidence(flow) == 0.0
    brain.fold(at, "k", mistake)
    assert champion.rates.evidence(flow) > 2.9
    brain.fold(at + 1, "k", withdrawn(mistake))
    assert champion.rates.evidence(flow) == 0.0


def test_undo_of_a_grave_find_leaves_the_find_that_came_before_it_in_the_flow() -> None:
    brain, at = history()
    champion = brain._minds["express-cargo"].champion
    last = NOW + timedelta(hours=at - 1)
    found = lesson(brain, parcel(206, "640411"), 1, inspected_at=last)
    brain.fold(at, "k", found)
    before = champion.rates.evidence(flow_of(found.features))
    mistake = lesson(brain, parcel(207, "640411"), 1, weight=1.75, inspected_at=last)
    brain.fold(at + 1, "k", mistake)
    brain.fold(at + 2, "k", withdrawn(mistake))
    assert champion.rates.evidence(flow_of(found.features)) == pytest.approx(before)


@given(days=st.lists(st.floats(0.0, 9.0), min_size=2, max_size=5), weights=st.lists(st.floats(1.0, 1.4), min_size=5))
def test_flow_in_which_every_find_was_taken_back_is_not_open(days: list[float], weights: list[float]) -> None:
    rates, flow, told, day = OutcomeRates(1000.0), "flow:one", [], 0.0
    for step, weight in zip(days, weights, strict=False):
        day += step
        rates.advance(day)
        before = rates.evidence(flow)
        rates.learn([flow], 1, weight)
        told.append((weight, rates.evidence(flow) - before, day))
    rates.advance(day + 1.0)
    for weight, added, at in told:
        rates.unlearn([flow], 1, weight, at)
        rates.unlearn_flow(flow, added, at)
    assert rates.evidence(flow) == 0.0


def test_no_weight_moves_further_back_than_the_learning_rate() -> None:
    champion = Champion()
    features = {"hs4=2402": 1.0, "log-mass": 2.0, "rate:hs6=240220": 0.0}
    gradient = champion.learn(features, 1, 1.5, 0.0)
    for day in range(50):
        champion.learn(features, 0, 1.0, float(day))
    before = dict(champion.learner.weights)
    champion.unlearn(features, 1, 1.5, gradient, 0.0)
    assert all(abs(weight - before[name]) <= champion.learner.rate for name, weight in champion.learner.weights.items())
