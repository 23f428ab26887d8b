"""The console's cases: what stands on an alert, who holds it, who sees it. Folded from the logs as they may come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted
from streams.console.cases import Case, Cases, live_row
from tests.border import result_on
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
    cases = Cases()
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
