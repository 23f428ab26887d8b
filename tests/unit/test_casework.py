"""Claims on one alert: the first one stands, for everybody who reads the log."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agents.casework import CaseBook
from schemas.casework import AlertAcknowledged, AlertClaimed, ClaimGivenUp
from tests.border import DAWN

HALF_AN_HOUR = timedelta(minutes=30)


def claim(officer: str, minute: float, alert: str = "d-1") -> AlertClaimed:
    at = DAWN + timedelta(minutes=minute)
    return AlertClaimed(
        claim_id=f"c-{officer}-{minute:g}",
        decision_id=alert,
        control_point="KRICN-EXP",
        officer=officer,
        claimed_at=at,
        until=at + HALF_AN_HOUR,
    )


def given_up(officer: str, claim_id: str, by: str | None = None, alert: str = "d-1") -> ClaimGivenUp:
    return ClaimGivenUp(
        claim_id=claim_id,
        decision_id=alert,
        control_point="KRICN-EXP",
        officer=officer,
        given_up_at=DAWN + timedelta(minutes=9),
        by=by,
    )


def holder(book: CaseBook, minute: float, alert: str = "d-1") -> str | None:
    found = book.holder(alert, DAWN + timedelta(minutes=minute))
    return None if found is None else found.officer


def test_first_claim_stands_and_the_second_has_no_effect() -> None:
    book = CaseBook()
    assert book.fold(claim("kim", 0))
    assert not book.fold(claim("lee", 1))
    assert (holder(book, 1), holder(book, 29.9), holder(book, 30)) == ("kim", "kim", None)
    assert book.fold(claim("lee", 5, alert="d-2"))


def test_claim_that_has_run_out_leaves_the_alert_to_the_next() -> None:
    book = CaseBook()
    book.fold(claim("kim", 0))
    assert book.fold(claim("lee", 30))
    assert holder(book, 31) == "lee"


@pytest.mark.parametrize("length", [timedelta(days=1, seconds=1), timedelta(days=300_000), timedelta(0)])
def test_claim_for_more_than_a_day_or_for_no_time_has_no_effect(length: timedelta) -> None:
    book = CaseBook()
    endless = claim("kim", 0)
    assert not book.fold(structs.replace(endless, until=endless.claimed_at + length))
    assert book.fold(claim("lee", 1))
    assert holder(book, 2) == "lee"


def test_claim_that_is_dated_ahead_keeps_nobody_from_the_alert() -> None:
    book = CaseBook()
    book.fold(claim("kim", 60 * 24 * 365 * 2000))
    assert holder(book, 1) is None
    assert book.fold(claim("lee", 1))
    assert holder(book, 2) == "lee"


def test_clocks_may_differ_by_minutes() -> None:
    book = CaseBook()
    book.fold(claim("kim", 10))
    assert holder(book, 1) == "kim"
    assert not book.fold(claim("lee", 1))


def test_the_holder_prolongs_a_claim_and_it_stays_the_same_claim() -> None:
    book = CaseBook()
    book.fold(claim("kim", 0))
    assert book.fold(claim("kim", 20))
    found = book.holder("d-1", DAWN + timedelta(minutes=45))
    assert found is not None
    assert (found.claim_id, found.since) == ("c-kim-0", DAWN)


def test_only_the_claim_that_stands_can_be_given_up() -> None:
    book = CaseBook()
    book.fold(claim("kim", 0))
    assert not book.fold(given_up("lee", "c-lee-1"))
    assert not book.fold(given_up("kim", "c-kim-77"))
    assert book.fold(given_up("kim", "c-kim-0", by="supervisor"))
    assert holder(book, 1) is None
    assert book.fold(claim("lee", 9))


def test_claims_fold_to_the_same_book_wherever_the_log_is_read() -> None:
    log = [claim(f"officer-{n % 7}", n * 3.0, alert=f"d-{n % 11}") for n in range(200)]
    first, second = CaseBook(), CaseBook()
    effects = [first.fold(event) for event in log]
    assert [second.fold(event) for event in log] == effects
    assert all(holder(first, 600, f"d-{n}") == holder(second, 600, f"d-{n}") for n in range(11))


def test_other_casework_changes_no_claim_and_memory_is_bounded() -> None:
    book = CaseBook(kept=3)
    seen = AlertAcknowledged(decision_id="d-1", control_point="KRICN-EXP", acknowledged_at=DAWN, system="icn")
    assert not book.fold(seen)
    for n in range(9):
        book.fold(claim("kim", 0, alert=f"d-{n}"))
    assert len(book) == 3
    assert (holder(book, 1, "d-0"), holder(book, 1, "d-8")) == (None, "kim")


def test_result_ends_the_claims_of_before_it_and_none_of_after_it_whichever_is_read_first() -> None:
    log = [claim("kim", 0), claim("lee", 8), claim("joo", 9), given_up("lee", "c-lee-8"), claim("joo", 12)]
    for before in range(len(log) + 1):  # the result is read after so many of them
        book = CaseBook()
        for event in log[:before]:
            book.fold(event)
        book.end("d-1", DAWN + timedelta(minutes=5))
        for event in log[before:]:
            book.fold(event)
        assert holder(book, 13) == "joo"
        assert {name for kind, name in book.effective("d-1") if kind is AlertClaimed} == {
            "c-kim-0", "c-lee-8", "c-joo-12",
        }  # fmt: skip
        assert book.ended("d-1") == DAWN + timedelta(minutes=5)


def test_claim_from_before_the_last_result_holds_nothing() -> None:
    book = CaseBook()
    book.end("d-1", DAWN + timedelta(minutes=5))
    book.fold(claim("kim", 5))
    assert holder(book, 6) is None
    assert book.fold(claim("lee", 6))
    assert holder(book, 7) == "lee"


@given(
    log=st.lists(st.tuples(st.sampled_from(("claim", "give up", "end")), st.sampled_from("kl"), st.integers(0, 40))),
    at=st.integers(0, 80),
)
def test_whichever_is_read_first_the_same_claims_stand(log: list[tuple[str, str, int]], at: int) -> None:
    as_read, ends_first = CaseBook(), CaseBook()
    for what, _, minute in log:
        if what == "end":
            ends_first.end("d-1", DAWN + timedelta(minutes=minute))
    for what, officer, minute in log:
        if what == "end":
            as_read.end("d-1", DAWN + timedelta(minutes=minute))
            continue
        event = claim(officer, minute) if what == "claim" else given_up(officer, f"c-{officer}-{minute}")
        as_read.fold(event)
        ends_first.fold(event)
    assert holder(as_read, at) == holder(ends_first, at)
    assert as_read.effective("d-1") == ends_first.effective("d-1")
    assert as_read.ended("d-1") == ends_first.ended("d-1")


def test_officer_who_claims_and_corrects_without_end_slows_nobody_down() -> None:
    book, began = CaseBook(), time.process_time()
    for number in range(6000):
        book.fold(claim("kim", number))
        book.end("d-1", DAWN + timedelta(minutes=number + 0.5))
    assert holder(book, 6000) is None
    assert time.process_time() - began < 5.0  # it took 20 s
