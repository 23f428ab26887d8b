"""Re-evaluation: a result meets its alert once, and what it teaches can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

import agents.standing
from agents.reevaluation import ReEvaluation, ReEvaluationState, Report
from agents.risk.brain import Brain
from agents.risk.learner import logistic
from agents.risk.profiles import Profiles
from agents.selection import Selection
from agents.standing import Said, Standing
from agents.step import Outcome
from schemas import codec
from schemas.decisions import AlertRaised
from schemas.inspections import OutcomeLearned
from schemas.items import CriterionHit, RiskHit
from tests.border import (
    DAWN,
    ToldBrain,
    arrivals_of,
    event_ms,
    number_of,
    of_topic,
    parcel,
    policy_of,
    result_on,
    snapshot,
    withdrawal_of,
)

WATCHLIST = RiskHit(entry_id="wl-1", version=1, kind="watchlist", matched="consignee")


def alerts_of(count: int, **parcels: Any) -> list[AlertRaised]:
    """Alerts of `count` parcels that are all on the watchlist."""
    selection = Selection(policy_of(), ToldBrain(lambda filtered: number_of(filtered) % 7 - 3.0))
    items = [parcel(number, hits=(WATCHLIST,), **parcels) for number in range(count)]
    return of_topic(selection.decide(selection.begin(0, 0), arrivals_of(items)).outputs, "alerts")


class Centre:
    """A partition of results, and the alerts that went out before them."""

    def __init__(self, alerts: Sequence[AlertRaised], **policy: Any) -> None:
        self.step = ReEvaluation(policy_of(**policy))
        self.alerts = list(alerts)
        self.results: list[Report] = []
        self.state = self.begin()

    def begin(self) -> ReEvaluationState:
        state = self.step.begin(0, len(self.results))
        self.step.remember(state, arrivals_of(self.alerts, "alerts"))
        return state

    def send(self, *results: Report) -> Outcome:
        arrivals = arrivals_of(results, "inspection-results", len(self.results))
        self.results.extend(results)
        return self.step.decide(self.state, arrivals)

    def rebuilt(self) -> ReEvaluationState:
        state = self.begin()
        self.step.remember(state, arrivals_of(self.results, "inspection-results"))
        return state


def examples(outcome: Outcome) -> list[OutcomeLearned]:
    return of_topic(outcome.outputs, "labelled-examples")


def lessons_of(said: Sequence[OutcomeLearned]) -> int:
    """How many lessons a brain learns from these examples."""
    brain = Brain(Profiles())
    for offset, example in enumerate(said):
        brain.fold(offset, "outcomes", example)
    return brain.lessons("express-cargo")


def reasons(outcome: Outcome) -> list[str]:
    return [refusal.reason for refusal in outcome.refusals]


def test_seizure_teaches_a_positive_label_from_the_features_as_scored() -> None:
    (alert,) = alerts_of(1)
    outcome = Centre([alert]).send(result_on(alert, "seizure", severity=2, categories=("drugs",)))
    (example,) = examples(outcome)
    assert example.label == 1
    assert example.weight == 1.5
    assert example.features == alert.features == {"told": -3.0}
    assert example.layer == "mandatory"
    assert example.subject == alert.decision.subject
    assert example.counterpart == f"c:{1000:032x}"
    (output,) = [output for output in outcome.outputs if output.topic == "labelled-examples"]
    assert output.partition == 0
    assert codec.decode("labelled-examples", codec.encode(example)) == example


def test_what_is_learnt_of_a_score_is_the_model_s_own_not_what_a_criterion_added() -> None:
    boost = CriterionHit(criterion_id="cr-9", version=1, action="boost", weight=4.0)
    (boosted,), (plain,) = alerts_of(1, criteria=(boost,)), alerts_of(1)
    assert boosted.decision.score == pytest.approx(logistic(1.0))
    assert plain.decision.unboosted is None
    for alert in (boosted, plain):
        (example,) = examples(Centre([alert]).send(result_on(alert)))
        assert example.score == pytest.approx(logistic(-3.0))


@pytest.mark.parametrize(
    ("outcome", "method", "label", "weight"),
    [
        ("irregularity", "documents", 1, 1.0),
        ("clear", "physical", 0, 1.0),
        ("clear", "documents", 0, 0.5),
    ],
)
def test_label_and_weight_follow_from_outcome_and_method(outcome: str, method: str, label: int, weight: float) -> None:
    (alert,) = alerts_of(1)
    (example,) = examples(Centre([alert]).send(result_on(alert, outcome, method=method)))
    assert (example.label, example.weight) == (label, weight)


@pytest.mark.parametrize(("outcome", "method"), [("not-inspected", "none"), ("passed-on", "none"), ("clear", "none")])
def test_nobody_looked_so_nothing_is_learnt(outcome: str, method: str) -> None:
    (alert,) = alerts_of(1)
    done = Centre([alert]).send(result_on(alert, outcome, method=method))
    assert done.outputs == []
    assert done.refusals == []


def test_result_without_an_alert_is_refused_and_can_be_driven_again_once_the_alert_is_there() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([])
    assert reasons(centre.send(result_on(alert, "seizure"))) == ["no-matching-alert"]
    centre.step.remember(centre.state, arrivals_of([alert], "alerts"))
    assert len(examples(centre.send(result_on(alert, "seizure")))) == 1


def test_a_lesson_is_stamped_when_it_was_reported_not_when_the_inspection_was() -> None:
    first, second = alerts_of(2)
    centre = Centre([first, second])
    at_once, (late,) = result_on(first, "seizure"), arrivals_of([result_on(second, "seizure")], "inspection-results", 9)
    five_days_ms = 5 * 86_400_000
    late = replace(late, timestamp_ms=late.timestamp_ms + five_days_ms)
    told = [*centre.send(at_once).outputs, *centre.step.decide(centre.state, [late]).outputs]
    stamps = [one.at_ms for one in told if one.topic == "labelled-examples"]
    assert stamps == [event_ms(at_once), event_ms(late.event) + five_days_ms]


def test_second_result_is_refused_unless_it_corrects_the_first() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    first = result_on(alert, "seizure", result_id="r-1")
    assert len(examples(centre.send(first))) == 1
    assert reasons(centre.send(result_on(alert, "clear", result_id="r-2"))) == ["already-resolved"]
    assert reasons(centre.send(result_on(alert, "clear", result_id="r-3", corrects="r-9"))) == ["nothing-to-correct"]
    (corrected,) = examples(centre.send(result_on(alert, "clear", result_id="r-4", corrects="r-1")))
    assert (corrected.label, corrected.corrects) == (0, "r-1")
    book = centre.state.effectiveness_of(alert.decision.control_point)
    assert (book.total.inspected, book.total.seizures) == (1, 0)


def test_undo_takes_the_lesson_back_and_a_later_result_replaces_it() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    centre.send(result_on(alert, "seizure", result_id="r-1"))
    (undone,) = examples(centre.send(result_on(alert, "passed-on", result_id="r-2", corrects="r-1")))
    assert (undone.outcome, undone.corrects) == ("not-inspected", "r-1")
    book = centre.state.effectiveness_of(alert.decision.control_point)
    assert book.total.inspected == 0
    (again,) = examples(centre.send(result_on(alert, "irregularity", result_id="r-3")))
    assert (again.label, again.corrects) == (1, "r-2")
    assert (book.total.inspected, book.total.seizures) == (1, 0)


def test_result_that_is_sent_again_has_no_second_effect() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    result = result_on(alert, "seizure", result_id="r-1")
    (taught,) = examples(centre.send(result))
    again = centre.send(result)
    assert (again.refusals, again.redelivered) == ([], 1)
    assert [replace(said, upstream=taught.upstream) for said in examples(again)] == [taught]
    assert lessons_of([taught, *examples(again)]) == 1
    withdrawal = withdrawal_of(result)
    centre.send(withdrawal)
    late = centre.send(result)  # a retry that was under way does not file the withdrawn result again
    assert (late.outputs, late.redelivered) == ([], 1)
    (undone,) = examples(centre.send(withdrawal))
    assert undone.outcome == "not-inspected"
    book = centre.state.effectiveness_of(alert.decision.control_point)
    assert book.total.inspected == 0


def test_another_result_under_an_id_that_was_taken_is_refused_and_not_dropped() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    first = result_on(alert, "clear", result_id="r-1")
    centre.send(first)
    for other in (
        result_on(alert, "seizure", result_id="r-1", severity=3),
        result_on(alert, "seizure", result_id="r-1", corrects="r-1"),
        result_on(alert, "clear", result_id="r-1", corrects="r-1"),
    ):
        refused = centre.send(other)
        assert [(one.reason, one.field) for one in refused.refusals] == [("already-resolved", "result_id")]
        assert refused.outputs == []
    assert centre.send(first).redelivered == 1
    centre.send(withdrawal_of(first))
    assert reasons(centre.send(result_on(alert, "seizure", result_id="r-1"))) == ["already-resolved"]
    (found,) = examples(centre.send(result_on(alert, "seizure", result_id="r-2")))
    assert found.label == 1
    other = replace(withdrawal_of(first), result_id="r-2")
    assert [(one.reason, one.field) for one in centre.send(other).refusals] == [("already-resolved", "withdrawal_id")]


def test_redriven_result_teaches_though_a_worker_that_started_since_takes_it_for_said() -> None:
    (alert,) = alerts_of(1)
    before_its_alert = Centre([])
    result = result_on(alert, "seizure")
    assert reasons(before_its_alert.send(result)) == ["no-matching-alert"]
    before_its_alert.alerts = [alert]
    late = result_on(alert, "seizure", inspected_at=DAWN + timedelta(days=8))
    under_a_short_horizon = Centre([alert], horizons={"alerts_days": 5.0}, deadlines={"audit_days": 4.0})
    assert reasons(under_a_short_horizon.send(late)) == ["no-matching-alert"]
    under_a_short_horizon.step = ReEvaluation(policy_of())
    for centre, refused in ((before_its_alert, result), (under_a_short_horizon, late)):
        centre.state = centre.rebuilt()
        (example,) = examples(centre.send(refused))
        assert (example.label, example.upstream.offset) == (1, 1)
        assert lessons_of([example]) == 1


def test_withdrawal_takes_the_lesson_back_and_opens_the_alert_again() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    mistake = result_on(alert, "seizure", result_id="r-1", severity=3, categories=("drugs",))
    centre.send(mistake)
    (undone,) = examples(centre.send(withdrawal_of(mistake)))
    assert (undone.outcome, undone.corrects, undone.result_id) == ("not-inspected", "r-1", "w-r-1")
    assert (undone.label, undone.weight, undone.categories) == (0, 1.0, ())
    assert undone.features == alert.features
    assert codec.decode("labelled-examples", codec.encode(undone)) == undone
    book = centre.state.effectiveness_of(alert.decision.control_point)
    assert (book.total.inspected, book.total.seizures) == (0, 0)
    (again,) = examples(centre.send(result_on(alert, "clear", result_id="r-2")))
    assert (again.label, again.corrects) == (0, "w-r-1")
    assert (book.total.inspected, book.total.seizures) == (1, 0)


def test_withdrawal_of_what_does_not_stand_is_refused() -> None:
    (alert, other) = alerts_of(2)
    centre = Centre([alert, other])
    result = result_on(alert, "seizure", result_id="r-1")
    assert reasons(centre.send(withdrawal_of(result))) == ["nothing-to-correct"]
    centre.send(result)
    wrong = withdrawal_of(result, result_id="r-9")
    assert [(one.reason, one.field) for one in centre.send(wrong).refusals] == [("nothing-to-correct", "result_id")]
    assert reasons(centre.send(withdrawal_of(result, control_point="ELSEWHERE"))) == ["other-control-point"]
    assert reasons(centre.send(withdrawal_of(result, decision_id="d-none"))) == ["no-matching-alert"]
    centre.send(withdrawal_of(result))
    assert centre.send(withdrawal_of(result)).redelivered == 1
    assert reasons(centre.send(withdrawal_of(result, withdrawal_id="w-2"))) == ["nothing-to-correct"]
    late = result_on(other, "clear", result_id="r-2")
    centre.send(late)
    month = late.inspected_at + timedelta(days=40)
    assert reasons(centre.send(withdrawal_of(late, withdrawn_at=month))) == ["no-matching-alert"]


def test_release_without_inspection_closes_the_alert_and_counts_as_not_inspected() -> None:
    alerts = alerts_of(3)
    centre = Centre(alerts)
    released = result_on(alerts[0], "not-inspected", method="none", reason="no-staff", result_id="r-1")
    assert centre.send(released).outputs == []
    assert reasons(centre.send(result_on(alerts[0], "seizure", result_id="r-2"))) == ["already-resolved"]
    by_mistake = result_on(alerts[1], "not-inspected", method="none", reason="no-staff")
    centre.send(by_mistake, result_on(alerts[2], "clear"))
    assert centre.send(withdrawal_of(by_mistake)).outputs == []
    book = centre.state.effectiveness_of(alerts[0].decision.control_point)
    assert (book.released, book.total.inspected) == (1, 1)
    next_day = result_on(alerts[1], "clear", result_id="r-3", inspected_at=DAWN + timedelta(days=2))
    (report,) = of_topic(centre.send(next_day).outputs, "monitoring")
    assert (report.inspected, report.released, report.seizures) == (1, 1, 0)


def test_withdrawn_burst_is_let_out_of_the_quarantine() -> None:
    alerts = alerts_of(3000)
    likely = [alert for alert in alerts if alert.decision.score > 0.7][:40]
    centre = Centre(alerts)
    wrong = [result_on(alert, "clear") for alert in likely]
    centre.send(*wrong)
    site = centre.state.quarantine.sites[likely[0].decision.control_point]
    assert site.held > 0
    centre.send(*(withdrawal_of(result) for result in wrong))
    assert (site.held, site.today, site.clear) == (0, 0, pytest.approx(0.0, abs=1e-9))


def test_alert_that_was_passed_on_still_takes_its_result() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    assert centre.send(result_on(alert, "passed-on", result_id="r-1")).outputs == []
    (example,) = examples(centre.send(result_on(alert, "seizure", result_id="r-2")))
    assert example.corrects is None


def test_result_of_another_control_point_or_of_tomorrow_is_refused() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    assert reasons(centre.send(result_on(alert, control_point="ELSEWHERE"))) == ["other-control-point"]
    result = result_on(alert)
    (arrival,) = arrivals_of([result], "inspection-results", 1)
    early = type(arrival)(result, arrival.topic, 0, 1, arrival.timestamp_ms - 3_600_000, arrival.sent_ms)
    assert reasons(centre.step.decide(centre.state, [early])) == ["clock-ahead"]


def test_result_with_more_categories_than_a_lesson_is_kept_with_is_refused() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    said = tuple(f"kind-{n}" for n in range(100))
    (refusal,) = centre.send(result_on(alert, "seizure", categories=said)).refusals
    assert (refusal.reason, refusal.field) == ("out-of-bounds", "categories")
    (example,) = examples(centre.send(result_on(alert, "seizure", categories=said[:99])))
    assert example.categories == said[:99]


LONG_AGO = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))
"""As early as a date can be written: before the calendar's first day in UTC."""


def test_result_with_a_date_long_before_its_alert_is_refused() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    lodged_at = alert.decision.lodged_at
    for early in (LONG_AGO, lodged_at - timedelta(days=1, seconds=1)):
        (refusal,) = centre.send(result_on(alert, "seizure", inspected_at=early)).refusals
        assert (refusal.reason, refusal.field) == ("impossible-date", "inspected_at")
    just_in_time = result_on(alert, "seizure", inspected_at=lodged_at - timedelta(days=1))
    assert len(examples(centre.send(just_in_time))) == 1
    (refusal,) = centre.send(withdrawal_of(just_in_time, withdrawn_at=LONG_AGO)).refusals
    assert (refusal.reason, refusal.field) == ("impossible-date", "withdrawn_at")


def test_log_with_a_result_of_year_one_is_folded_and_the_next_result_is_decided() -> None:
    alerts = alerts_of(2)
    centre = Centre(alerts)
    centre.results = [result_on(alerts[0], "clear", inspected_at=LONG_AGO)]  # accepted before such dates were refused
    centre.state = centre.rebuilt()
    assert len(examples(centre.send(result_on(alerts[1], "seizure")))) == 1
    assert centre.state.effectiveness_of(alerts[1].decision.control_point).total.inspected == 1


def test_result_that_comes_after_the_horizon_matches_nothing() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert])
    late = result_on(alert, "seizure", inspected_at=alert.decision.lodged_at + timedelta(days=30, seconds=1))
    assert reasons(centre.send(late)) == ["no-matching-alert"]
    in_time = result_on(alert, "seizure", inspected_at=alert.decision.lodged_at + timedelta(days=30))
    assert len(examples(centre.send(in_time))) == 1


def test_alerts_are_forgotten_after_the_horizon() -> None:
    alerts = alerts_of(2)
    (month_later,) = alerts_of(3, at=DAWN + timedelta(days=31))[2:]
    centre = Centre([*alerts, month_later])
    assert centre.step.entries(centre.state) == 1


def test_alert_that_comes_a_month_late_still_takes_its_result() -> None:
    (now,) = alerts_of(1, at=DAWN + timedelta(days=31))
    (late,) = alerts_of(2)[1:]
    centre = Centre([now, late])
    assert len(examples(centre.send(result_on(late)))) == 1


def test_alert_that_is_sent_twice_is_joined_once() -> None:
    (alert,) = alerts_of(1)
    centre = Centre([alert, alert])
    assert len(examples(centre.send(result_on(alert)))) == 1
    assert reasons(centre.send(result_on(alert, result_id="r-2"))) == ["already-resolved"]


def test_batch_of_results_that_comes_again_teaches_the_same_under_the_same_ids() -> None:
    alerts = alerts_of(60)
    centre = Centre(alerts)
    results = [result_on(alert, "seizure" if n % 3 else "clear") for n, alert in enumerate(alerts)]
    centre.send(*results[:30])
    before = centre.rebuilt()
    first = centre.send(*results[25:])
    arrivals = arrivals_of(centre.results[30:], "inspection-results", 30)
    second = centre.step.decide(before, arrivals)
    assert first == second
    assert (first.refusals, first.redelivered) == ([], 5)


def test_state_rebuilt_from_alerts_and_results_equals_the_live_one() -> None:
    alerts = alerts_of(200)
    centre = Centre(alerts)
    outcomes = ("seizure", "clear", "irregularity", "not-inspected", "passed-on")
    for n, alert in enumerate(alerts):
        centre.send(result_on(alert, outcomes[n % 5], result_id=f"r-{n}", severity=n % 4))
        if n % 4 == 0:
            centre.send(result_on(alert, outcomes[(n + 1) % 5], result_id=f"c-{n}", corrects=f"r-{n}"))
        if n % 8 == 0:
            centre.send(withdrawal_of(result_on(alert, result_id=f"c-{n}")))
    rebuilt = centre.rebuilt()
    assert snapshot(rebuilt.quarantine.sites) == snapshot(centre.state.quarantine.sites)
    assert snapshot(rebuilt.resolutions) == snapshot(centre.state.resolutions)
    assert snapshot(rebuilt.effectiveness) == snapshot(centre.state.effectiveness)


def test_seizure_rate_is_reported_by_layer_and_criterion_for_each_window() -> None:
    alerts = alerts_of(10)
    centre = Centre(alerts)
    day = [result_on(alert, "seizure" if n % 3 == 0 else "clear") for n, alert in enumerate(alerts[:9])]
    assert of_topic(centre.send(*day).outputs, "monitoring") == []
    next_day = result_on(alerts[9], inspected_at=DAWN + timedelta(days=2, hours=1))
    (report,) = of_topic(centre.send(next_day).outputs, "monitoring")
    assert (report.inspected, report.seizures, report.by_layer) == (9, 3, {"mandatory": (9, 3)})
    assert report.since == DAWN + timedelta(days=1)


def test_what_is_reported_late_counts_once_in_the_window_that_is_open() -> None:
    alerts = alerts_of(5)
    centre = Centre(alerts)
    yesterday, today, tomorrow = (DAWN + timedelta(days=day, hours=1) for day in (1, 2, 3))
    late = result_on(alerts[1], "seizure", inspected_at=yesterday)
    corrected = result_on(alerts[1], "clear", result_id="c-1", corrects=late.result_id, inspected_at=yesterday)
    released = result_on(alerts[2], "not-inspected", method="none", inspected_at=yesterday)
    by_mistake = result_on(alerts[3], "not-inspected", method="none", inspected_at=yesterday)
    centre.send(result_on(alerts[0], "clear", inspected_at=today), late, corrected, released, by_mistake)
    centre.send(withdrawal_of(by_mistake))
    (report,) = of_topic(centre.send(result_on(alerts[4], inspected_at=tomorrow)).outputs, "monitoring")
    assert (report.inspected, report.seizures, report.released) == (2, 0, 1)
    assert report.by_layer == {"mandatory": (2, 0)}


def test_correction_of_what_an_earlier_window_reported_leaves_the_open_one_as_it_is() -> None:
    alerts = alerts_of(3)
    centre = Centre(alerts)
    first = result_on(alerts[0], "seizure", inspected_at=DAWN + timedelta(days=1, hours=1))
    next_day = result_on(alerts[1], "seizure", inspected_at=DAWN + timedelta(days=2, hours=1))
    (before,) = of_topic(centre.send(first, next_day).outputs, "monitoring")
    assert (before.inspected, before.seizures) == (1, 1)
    centre.send(withdrawal_of(first, withdrawn_at=DAWN + timedelta(days=2, hours=2)))
    day_after = result_on(alerts[2], inspected_at=DAWN + timedelta(days=3, hours=1))
    (after,) = of_topic(centre.send(day_after).outputs, "monitoring")
    assert (after.inspected, after.seizures) == (1, 1)
    book = centre.state.effectiveness_of(alerts[0].decision.control_point)
    assert (book.total.inspected, book.total.seizures) == (1, 0)  # of the third day


def test_model_that_is_suddenly_wrong_is_called_drift() -> None:
    alerts = alerts_of(3000)
    centre = Centre(alerts)
    found = []
    for n, alert in enumerate(alerts):
        outcome = "seizure" if (alert.decision.score > 0.5) == (n < 1500) else "clear"
        found.extend(of_topic(centre.send(result_on(alert, outcome)).outputs, "monitoring"))
    drifts = [event for event in found if type(event).__name__ == "DriftDetected"]
    assert [event.what for event in drifts[:1]] == ["prediction-error"]
    assert drifts[0].after > drifts[0].before
    assert drifts[0].at > DAWN + timedelta(days=1, seconds=1500)


def test_burst_of_clear_results_from_one_office_is_quarantined_and_told_once_a_day() -> None:
    alerts = alerts_of(3000)
    likely = [alert for alert in alerts if alert.decision.score > 0.7][:40]
    centre = Centre(alerts)
    outcome = centre.send(*(result_on(alert, "clear") for alert in likely))
    held = [event for event in of_topic(outcome.outputs, "monitoring") if type(event).__name__ == "LabelsQuarantined"]
    assert [event.why for event in held] == ["burst-of-clear"]
    assert len(examples(outcome)) == 40


def test_who_corrects_without_end_slows_nobody_down(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = [0]
    name = agents.standing._name

    def counted(said: Said) -> tuple[bool, str]:
        looked[0] += 1
        return name(said)

    monkeypatch.setattr(agents.standing, "_name", counted)
    standing = Standing()
    for number in range(500):
        said = Said(f"r{number}", f"r{number - 1}" if number else None, "clear" if number % 2 else "seizure")
        assert not standing.knows(said)
        assert standing.refusal(said) is None
        standing.take(said)
        assert standing.latest == f"r{number}"
    assert looked[0] < 5 * 500
    assert standing.knows(Said("r7", "r6", "clear"))
    assert not standing.knows(Said("r7", "r6", "seizure"))
    assert standing.refusal(Said("r7", "r499", "seizure")) is not None
