"""The console's cases: what stands on an alert, who holds it, who sees it. Folded from the logs as they may come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import msgspec
import pytest

from agents.reevaluation import ReEvaluation
from agents.step import Arrival
from schemas.casework import AlertClaimed, ClaimGivenUp
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted
from streams.console.cases import Case, Cases, live_row
from tests.border import policy_of, result_on
from tests.border import withdrawal_of as taken_back
from tests.browser.centre import alert

NOW = datetime.now(UTC).replace(microsecond=0)
ALERT = alert(1)
HERE, THERE, BEYOND = ALERT.decision.control_point, "KRPUS-SEA", "KRINC-AIR"


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def result(outcome: str, result_id: str, officer: str = "kim", **fields: Any) -> InspectionCompleted:
    """What an officer files on the alert, now unless the test says otherwise."""
    method = "physical" if outcome in ("clear", "seizure", "irregularity") else "none"
    settings: dict[str, Any] = {"inspected_at": NOW, "method": method, **fields}
    return result_on(ALERT, outcome, result_id=result_id, officer=officer, **settings)


def passed_on(to: str, result_id: str, officer: str = "kim", **fields: Any) -> InspectionCompleted:
    return result("passed-on", result_id, officer, passed_to=to, **fields)


def a_case(raised: AlertRaised = ALERT) -> tuple[Cases, Case]:
    cases = Cases(policy_of())
    case = cases.raise_alert(raised, msgspec.json.encode(raised))
    assert case is not None
    return cases, case


# -- who sees it


def test_who_got_an_alert_keeps_it_through_the_own_result_and_its_undoing() -> None:
    cases, case = a_case()
    assert case.seen_by == (HERE,)
    cases.fold(passed_on(THERE, "r-1"), ms(NOW))
    assert case.seen_by == (HERE, THERE)
    found = result("clear", "r-2", "lee")
    cases.fold(found, ms(NOW) + 1)
    assert (case.stand, case.seen_by) == ("filed", (HERE, THERE))
    cases.fold(taken_back(found), ms(NOW) + 2)
    row = live_row(case, None)
    assert (row["s"], row["to"], row["toBy"], row.get("out")) == ("open", THERE, "kim", None)
    assert case.seen_by == (HERE, THERE)


def test_undoing_or_correcting_a_passing_on_takes_the_alert_away_from_who_got_it() -> None:
    cases, case = a_case()
    first, second = passed_on(THERE, "r-1"), passed_on(BEYOND, "r-2", "lee")
    cases.fold(first, ms(NOW))
    cases.fold(second, ms(NOW) + 1)
    assert case.seen_by == (HERE, THERE, BEYOND)  # who passed it on may take that back
    cases.fold(taken_back(second), ms(NOW) + 2)
    assert case.seen_by == (HERE, THERE)
    cases.fold(passed_on(BEYOND, "r-3", "lee"), ms(NOW) + 3)
    cases.fold(result("clear", "r-4", "joo"), ms(NOW) + 4)
    assert case.seen_by == (HERE, BEYOND)

    cases, case = a_case()
    cases.fold(first, ms(NOW))
    cases.fold(passed_on(BEYOND, "r-2", corrects="r-1"), ms(NOW) + 1)
    assert case.seen_by == (HERE, BEYOND)
    cases.fold(result("clear", "r-3", corrects="r-2"), ms(NOW) + 2)
    assert case.seen_by == (HERE,)
    assert case.passed == (THERE, BEYOND)  # their pages are told that it is gone


# -- who holds it


def claim(officer: str, minute: float) -> tuple[AlertClaimed, int]:
    at = NOW + timedelta(minutes=minute)
    event = AlertClaimed(
        claim_id=f"c-{officer}-{minute:g}",
        decision_id=ALERT.decision.decision_id,
        control_point=HERE,
        officer=officer,
        claimed_at=at,
        until=at + timedelta(hours=1),
    )
    return event, ms(at)


def given_up(officer: str, minute: float, claim_id: str) -> tuple[ClaimGivenUp, int]:
    at = NOW + timedelta(minutes=minute)
    event = ClaimGivenUp(
        claim_id=claim_id,
        decision_id=ALERT.decision.decision_id,
        control_point=HERE,
        officer=officer,
        given_up_at=at,
    )
    return event, ms(at)


def interleaved(one: Sequence[Any], other: Sequence[Any]) -> Iterator[list[Any]]:
    """Every order in which two logs may be read, each in its own order."""
    for places in combinations(range(len(one) + len(other)), len(one)):
        first, second = iter(one), iter(other)
        yield [next(first) if place in places else next(second) for place in range(len(one) + len(other))]


def what_stands(events: Sequence[tuple[Any, int]], minute: float, *, early: int = 0) -> tuple[Any, ...]:
    """What a console says of the alert; the first `early` events are read before it."""
    cases = Cases(policy_of())
    for event, at_ms in events[:early]:
        cases.fold(event, at_ms)
    case = cases.raise_alert(ALERT, msgspec.json.encode(ALERT))
    assert case is not None
    for event, at_ms in events[early:]:
        cases.fold(event, at_ms)
    holder = cases.claim(case, ms(NOW + timedelta(minutes=minute)))
    told = [(one["what"], one["who"]) for one in cases.history(case)]
    return case.stand, holder and holder.officer, case.seen_by, told


def sent(event: Any, minute: float) -> tuple[Any, int]:
    return event, ms(NOW + timedelta(minutes=minute))


def test_who_holds_an_alert_does_not_depend_on_which_topic_is_read_first() -> None:
    found = result("clear", "r-2", "lee")
    casework = [claim("kim", -5), claim("joo", -4), claim("lee", 2), claim("joo", 5), given_up("joo", 6, "c-joo-5")]
    casework.append(claim("kim", 7))
    results = [sent(passed_on(THERE, "r-1"), 1), sent(found, 3), sent(taken_back(found), 3.5)]
    told = [
        ("claimed", "kim"), ("claim-lost", "joo"), ("passed-on", "kim"), ("claimed", "lee"), ("clear", "lee"),
        ("withdrawn", ""), ("claimed", "joo"), ("given-up", "joo"), ("claimed", "kim"),
    ]  # fmt: skip
    for order in interleaved(casework, results):
        for early in (0, 4, len(order)):
            assert what_stands(order, 8, early=early) == ("open", "kim", (HERE, THERE), told)


def test_undone_result_leaves_the_alert_unclaimed_on_every_console() -> None:
    found = result("clear", "r-1")
    results = [sent(found, 1), sent(taken_back(found), 1.5)]
    for order in interleaved([claim("kim", 0)], results):
        assert what_stands(order, 2)[:2] == ("open", None)


# -- what stands


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (result("clear", "r-1", control_point=THERE), "other-control-point"),
        (result("clear", "r-1", inspected_at=NOW + timedelta(hours=1)), "clock-ahead"),
        (result("clear", "r-1", inspected_at=NOW - timedelta(days=2)), "impossible-date"),
        (result("clear", "r-1", inspected_at=NOW + timedelta(days=31)), "no-matching-alert"),
        (result("clear", "r-1", corrects="r-0"), "nothing-to-correct"),
    ],
)
def test_what_re_evaluation_refuses_files_nothing(refused: InspectionCompleted, why: str) -> None:
    step = ReEvaluation(policy_of())
    state = step.begin(0, 0)
    state.open(ALERT)
    sent_ms = ms(NOW if why == "clock-ahead" else refused.inspected_at)
    outcome = step.decide(state, [Arrival(refused, "inspection-results", 0, 0, sent_ms, sent_ms)])
    assert [one.reason for one in outcome.refusals] == [why]

    cases, case = a_case()
    cases.fold(refused, sent_ms)
    assert (case.stand, case.result, case.why_refused("r-1")) == ("open", None, why)
    assert [one["what"] for one in cases.history(case)] == ["result-refused"]
    assert not cases.fold(refused, sent_ms)  # once is enough
    good = result("clear", "r-1")
    assert cases.fold(good, ms(NOW))  # what was refused may be sent again, put right
    assert case.result is good


def test_a_result_in_another_partition_than_its_alert_files_nothing() -> None:
    cases = Cases(policy_of())
    case = cases.raise_alert(ALERT, msgspec.json.encode(ALERT), partition=3)
    assert case is not None
    cases.fold(result("clear", "r-1"), ms(NOW), partition=1)
    assert case.stand == "open"
    cases.fold(result("clear", "r-2"), ms(NOW), partition=3)
    assert case.stand == "filed"


def test_result_that_was_taken_back_does_not_come_back_when_it_is_sent_again() -> None:
    cases, case = a_case()
    found = result("clear", "r-1")
    cases.fold(found, ms(NOW))
    cases.fold(taken_back(found), ms(NOW) + 1)
    assert not cases.fold(found, ms(NOW) + 2)
    assert case.stand == "open"


@pytest.mark.parametrize("years", [1, 7970])
def test_a_result_that_says_to_be_sent_in_the_future_was_sent_when_its_record_says(years: int) -> None:
    cases, case = a_case()
    cases.fold(passed_on(THERE, "r-1"), ms(NOW) + years * 31_556_952_000, ms(NOW))
    assert case.result_ms == ms(NOW)
    cases.fold(*claim("lee", 1))
    held = cases.claim(case, ms(NOW + timedelta(minutes=2)))
    assert held is not None
    assert held.officer == "lee"


def test_what_comes_for_a_case_that_is_gone_does_not_bring_it_back() -> None:
    cases, case = a_case()
    late = case.due_ms + 90_000_000
    cases.sweep(late, 86_400_000)
    for event in (result("clear", "r-1"), claim("kim", 1)[0]):
        assert not cases.fold(event, late, ms(NOW))
    assert cases.find(case.alert_id) is None
    assert live_row(case, None)["s"] == "gone"
    cases.sweep(late, 86_400_000)
    assert len(cases) == 0
