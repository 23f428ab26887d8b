"""The console's feed: a page that was cut off, while it caught up or otherwise, misses nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted
from streams.console.accounts import User
from streams.console.cases import Cases
from streams.console.feed import PART, Feed, Health
from tests.border import DESK, policy_of, result_on, withdrawal_of
from tests.browser.centre import alert

HERE = User("kim", "officer", (DESK,))
THERE = User("lee", "officer", ("KRPUS-SEA",))


class Page:
    """A page that takes in what is written to it, until the line is cut."""

    def __init__(self, meanwhile: Callable[[int], object] = lambda _part: None) -> None:
        """`meanwhile` happens after each part, all parts counted."""
        self.rows: dict[str, Any] = {}
        self.position = ""
        self.longest = 0
        self._meanwhile = meanwhile
        self._left = self._part = 0

    def connect(self, parts: int) -> None:
        """From now on the line holds for so many parts."""
        self._left = parts

    async def write(self, written: bytes) -> None:
        self.longest = max(self.longest, len(written))
        event, *rest = written.decode().strip().split("\n")
        if event == "event: rows":
            said = msgspec.json.decode(rest[-1].removeprefix("data: "))
            if said["reset"]:
                self.rows.clear()
            self.rows |= {row["id"]: row for row in said["rows"]}
        if rest[0].startswith("id: "):
            self.position = rest[0].removeprefix("id: ")
        self._part += 1
        self._left -= 1
        self._meanwhile(self._part)
        if self._left == 0:
            raise ConnectionResetError


def look(feed: Feed, page: Page, user: User) -> None:
    """Show the page the queue from its position on, until its line is cut."""
    with pytest.raises(ConnectionResetError):
        asyncio.run(feed.serve(page, user, page.position, lambda: user))  # type: ignore[arg-type]


def now_ms() -> int:
    return int(time.time() * 1000)


def filed(raised: AlertRaised, result_id: str, outcome: str = "clear", **fields: Any) -> InspectionCompleted:
    return result_on(raised, outcome, inspected_at=raised.decision.lodged_at, result_id=result_id, **fields)


def test_page_that_is_cut_off_while_it_catches_up_misses_nothing() -> None:
    cases = Cases(policy_of())
    feed = Feed(cases, Health)
    raised = [alert(number) for number in range(2 * PART + 2)]
    page = Page(lambda part: cases.fold(filed(raised[2 * PART], "r-1"), now_ms()) if part == 2 else None)
    cases.raise_alert(raised[0], b"{}")
    page.connect(parts=1)
    look(feed, page, HERE)
    for one in raised[1:]:
        cases.raise_alert(one, b"{}")
    page.connect(parts=2)  # of three; after the first of them, the last of the second changes
    look(feed, page, HERE)
    assert len(page.rows) == 1 + 2 * PART
    page.connect(parts=1)
    look(feed, page, HERE)
    assert len(page.rows) == len(raised)
    assert page.rows[raised[2 * PART].alert_id]["s"] == "filed"


def test_row_of_an_alert_that_was_passed_on_stays_with_who_got_it_until_that_is_undone() -> None:
    cases = Cases(policy_of())
    feed = Feed(cases, Health)
    raised, page = alert(1), Page()
    cases.raise_alert(raised, b"{}")
    first, again = (filed(raised, one, "passed-on", method="none", passed_to="KRPUS-SEA") for one in ("r-1", "r-2"))
    found = filed(raised, "r-3")
    told = []
    for event in (first, withdrawal_of(first), again, found, withdrawal_of(found)):
        cases.fold(event, now_ms())
        page.connect(parts=1)
        look(feed, page, THERE)
        told.append(page.rows[raised.alert_id]["s"])
    assert told == ["open", "gone", "open", "filed", "open"]


def test_no_part_keeps_a_page_on_a_slow_line_waiting_until_it_takes_the_line_for_lost() -> None:
    cases = Cases(policy_of())
    page = Page()
    for number in range(2_000):
        cases.raise_alert(alert(number), b"{}")
    page.connect(parts=2_000 // PART)
    look(Feed(cases, Health), page, HERE)
    assert len(page.rows) == 2_000
    assert page.longest / 12 < 2_500  # bytes a second, in the time that live.js waits
