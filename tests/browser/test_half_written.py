"""A half-written report outlasts what happens around it, goes out as it was meant, and is shown to nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from schemas.casework import AlertClaimed, CriterionFeedbackGiven
from schemas.codec import codec_for
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted
from schemas.items import CriterionHit
from schemas.knowledge import CriterionPublished
from streams.wire import header
from tests.border import result_on
from tests.browser.cable import Cable, intercept
from tests.browser.centre import DESK, PASSWORD, Centre, alert, record
from tests.browser.conftest import SignIn
from tests.browser.test_queue import open_alert, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Browser, Page, Route

pytestmark = [pytest.mark.browser, pytest.mark.broker]

CUT_OFF = "async () => { while (await fetch('/api/me').then(() => true, () => false)); }"
NOTE = "400 g under the false bottom"
ENDS_HEARD = """{
  window.endsHeard = 0;
  const real = EventSource;
  EventSource = class extends real {
    constructor(url) { super(url); this.addEventListener("ended", () => { window.endsHeard += 1; }); }
  };
}"""
STILL_WRITING = """() => document.querySelector(".next.undo") && ["n", "u"].every((key) =>
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))"""
SLOWLY = """() => {
  const [run, now] = [performance.now.bind(performance), performance.now()];
  performance.now = () => now + (run() - now) / 100;
}"""
HELD_BY = "([id, who]) => (window.borderflow.live.rows.get(id).by ?? '') === who"


def claimed_by(page: Page, alert_id: str, who: str) -> None:
    """Return once the page holds the alert as claimed by `who`; nobody is ''."""
    page.wait_for_function(HELD_BY, arg=[alert_id, who])


def write(page: Page, centre: Centre, raised: AlertRaised, *others: AlertRaised) -> None:
    """Raise alerts, claim the first, and write half a report on it."""
    centre.raise_alerts([raised, *others])
    wait_for(page, raised.alert_id, *(one.alert_id for one in others))
    open_alert(page, raised.alert_id)
    page.keyboard.press("c")
    page.wait_for_selector(".outcomes")
    page.keyboard.press("3")
    page.click(".ticks label:has-text('Drugs')")
    page.fill("#quantity", "0,4")
    page.fill("#note", NOTE)


def assert_as_written(page: Page) -> None:
    """The form is there, and what was written is in it."""
    page.wait_for_selector("#note")
    assert page.input_value("#note") == NOTE
    assert page.input_value("#quantity") == "0,4"
    assert page.is_checked(".outcome.seizure input")
    assert page.is_checked(".ticks label:has-text('Drugs') input")


def enter(page: Page, user: str) -> None:
    """Sign in on the sign-in page that is shown."""
    page.fill("#user", user)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector(".dot.live")


def claim_until(centre: Centre, raised: AlertRaised, **left: float) -> None:
    """Kim's claim on an alert, for so long, as any console may have sent it."""
    now = datetime.now(UTC).replace(microsecond=0)
    made = AlertClaimed(
        claim_id=f"cl-{raised.alert_id}", decision_id=raised.decision.decision_id, control_point=DESK,
        officer="kim", claimed_at=now, until=now + timedelta(**left),
    )  # fmt: skip
    centre.publish("casework", [made])


# -- typing is typing


def test_what_is_typed_as_the_deadline_passes_stays_in_the_note_and_is_no_shortcut(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("kim")
    mine, other = alert(40_001, minutes_left=0.5), alert(40_002, minutes_left=4, layer="mandatory")
    write(page, held_centre, mine, other)
    page.click("#note")
    page.keyboard.press("End")
    page.wait_for_selector(".next.file-late .expired")
    page.keyboard.type(", no c")
    assert page.input_value("#note") == f"{NOTE}, no c"
    assert mine.alert_id in page.url
    claimed_by(page, other.alert_id, "")


def test_what_is_typed_as_a_claim_is_taken_away_claims_nothing_and_the_report_is_there_when_it_is_claimed_again(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine = alert(40_011)
    page, supervisor = sign_in("kim"), sign_in("sup")
    write(page, held_centre, mine)
    wait_for(supervisor, mine.alert_id)
    open_alert(supervisor, mine.alert_id)
    page.evaluate(SLOWLY)  # the moment in which keys are no shortcuts lasts as long as the typing takes
    supervisor.click("text=Take the claim away")
    page.wait_for_selector("#toasts :text('Your claim on this alert is over')")
    page.wait_for_selector(".next.claim")
    page.keyboard.type(" of cocaine")
    claimed_by(page, mine.alert_id, "")
    assert page.locator(".next.claim").count() == 1
    page.click(".next .primary")
    assert_as_written(page)


def test_letters_in_the_report_move_nothing_and_give_nothing_back(held_centre: Centre, sign_in: SignIn) -> None:
    mine, other = alert(40_021), alert(40_022)
    page = sign_in("kim")
    write(page, held_centre, mine, other)
    page.focus(".ticks input")
    page.keyboard.type("jkngqds")
    assert_as_written(page)
    assert mine.alert_id in page.url
    page.keyboard.press("Escape")  # out of the report; from there keys are keys
    page.keyboard.press("g")
    page.wait_for_selector(".next.claim")
    page.keyboard.press("c")
    assert_as_written(page)


# -- what a report outlasts


def test_a_half_written_report_outlasts_other_places_other_alerts_another_language_and_a_reload(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine, other = alert(40_031), alert(40_032)
    page = sign_in("kim")
    write(page, held_centre, mine, other)
    page.click("[data-place=day]")
    page.wait_for_selector(".tiles")
    open_alert(page, other.alert_id)
    page.wait_for_selector(".next.claim")
    open_alert(page, mine.alert_id)
    assert_as_written(page)
    for language in ("ko", "en"):
        page.click(".menu summary")
        page.select_option(".menu select >> nth=0", language)
        page.wait_for_selector(f"html[lang={language}] #note")
    assert_as_written(page)
    page.reload()
    assert_as_written(page)
    page.click("button.primary.seizure")
    page.wait_for_selector(".next.undo")
    page.click(".next .undo")
    page.wait_for_selector(".next.claim")
    page.keyboard.press("c")
    page.wait_for_selector(".outcomes")
    assert page.locator("#note").count() == 0  # what was filed is no draft any more


def test_a_claim_that_ran_out_leaves_the_report_for_when_it_is_claimed_again(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine = alert(40_041)
    page = sign_in("kim")
    held_centre.raise_alerts([mine])
    wait_for(page, mine.alert_id)
    intercept(page, "**/claim", lambda route: route.abort())  # else the first key renews it
    claim_until(held_centre, mine, seconds=15)
    open_alert(page, mine.alert_id)
    page.wait_for_selector(".outcomes")
    page.keyboard.press("1")
    page.fill("#note", NOTE)
    page.wait_for_selector(".next.claim")
    page.unroute("**/claim")
    page.click(".next .primary")
    page.wait_for_selector("#note")
    assert page.input_value("#note") == NOTE


def test_who_writes_on_keeps_the_claim(held_centre: Centre, sign_in: SignIn) -> None:
    mine = alert(40_051)
    page = sign_in("kim")
    held_centre.raise_alerts([mine])
    wait_for(page, mine.alert_id)
    claim_until(held_centre, mine, minutes=20)
    open_alert(page, mine.alert_id)
    page.wait_for_selector(".outcomes")
    intercept(page, "**/claim", lambda route: route.abort("connectionreset"))
    with page.expect_event("requestfailed"):
        page.keyboard.press("1")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.locator(".toast").count() == 0  # nobody pressed anything that could be pressed again
    page.unroute("**/claim")
    page.reload()
    page.focus("#note")
    page.keyboard.type("x")
    left = "([id, ms]) => { const live = window.borderflow.live; return live.rows.get(id).until - live.now() > ms; }"
    page.wait_for_function(left, arg=[mine.alert_id, 50 * 60_000])
    page.keyboard.type("y")
    assert page.input_value("#note") == "xy"


def test_a_report_outlasts_the_session_and_the_sign_in_comes_back_to_it(held_centre: Centre, sign_in: SignIn) -> None:
    mine = alert(40_061)
    page = sign_in("kim")
    write(page, held_centre, mine)
    page.context.clear_cookies()
    page.click("button.primary.seizure")
    page.wait_for_url("**/login?refused=ended**")
    enter(page, "kim")
    assert mine.alert_id in page.url
    assert_as_written(page)


def test_a_link_to_an_alert_leads_there_after_the_sign_in(held_centre: Centre, sign_in: SignIn) -> None:
    mine = alert(40_071)
    page = sign_in("kim")
    held_centre.raise_alerts([mine])
    wait_for(page, mine.alert_id)
    page.goto("about:blank")
    page.context.clear_cookies()
    page.goto(f"{held_centre.url}/#queue/{mine.alert_id}")
    page.fill("#user", "kim")
    page.fill("#password", "not the password")
    page.click("button[type=submit]")
    page.wait_for_selector("#refused:not([hidden])")
    enter(page, "kim")
    page.wait_for_selector(".detail .next")
    assert mine.alert_id in page.url


def test_typing_is_heard_of_before_the_session_ends_under_it(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    with page.expect_request("**/api/ping"):
        page.focus(".head input")
        page.keyboard.type("x")


# -- what is written while it is on its way


def filed(centre: Centre, raised: AlertRaised) -> list[tuple[str, str | None]]:
    """The outcomes and notes that were filed on an alert, in their order."""
    return [
        (one.outcome, one.note)
        for one in centre.results()
        if isinstance(one, InspectionCompleted) and one.decision_id == raised.decision.decision_id
    ]


def send_and_write_on(page: Page, more: str) -> Route:
    """Press File, and write on; the request, which waits."""
    held: list[Route] = []
    intercept(page, "**/result", lambda route: held.append(route), times=1)
    with page.expect_request("**/result"):
        page.click("button.primary.seizure")
    page.focus("#note")
    page.keyboard.press("End")
    page.keyboard.type(more)
    return held[0]


def test_what_is_written_while_a_report_is_on_its_way_is_not_lost_and_can_be_filed_after_an_undo(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine, other = alert(40_131), alert(40_132)
    page = sign_in("kim")
    write(page, held_centre, mine, other)
    held = send_and_write_on(page, ", and 50 g more")
    held.continue_()
    page.wait_for_function(STILL_WRITING)  # the next alert is not opened, nor is it undone
    assert f"What you wrote is not in it: Seizure · 0,4 packages · {NOTE}, and 50 g more" in page.inner_text(".unfiled")
    assert filed(held_centre, mine) == [("seizure", NOTE)]
    page.reload()
    page.wait_for_selector(".unfiled")
    page.click(".next .undo")
    page.wait_for_selector(".next.claim")
    page.click(".next .primary")
    page.wait_for_selector("#note")
    assert page.input_value("#note") == f"{NOTE}, and 50 g more"
    page.click("button.primary.seizure")
    page.wait_for_selector(".next.undo")
    assert page.locator(".unfiled").count() == 0
    assert filed(held_centre, mine)[1:] == [("seizure", f"{NOTE}, and 50 g more")]


def test_what_is_written_before_an_answer_that_is_lost_is_not_lost_with_it(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine = alert(40_141)
    page = sign_in("kim")
    write(page, held_centre, mine)
    held = send_and_write_on(page, ", and 50 g more")
    held.fetch()
    held.abort("connectionreset")
    page.wait_for_selector(".next.undo")
    assert "and 50 g more" in page.inner_text(".unfiled")
    assert filed(held_centre, mine) == [("seizure", NOTE)]


def test_who_changes_a_report_whose_answer_was_lost_and_files_again_is_told_that_it_had_arrived(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine = alert(40_145)
    cable = Cable(int(held_centre.url.rpartition(":")[2]))
    try:
        page = sign_in("kim", url=cable.url)
        write(page, held_centre, mine)
        answers: list[int] = []

        def send(route: Route) -> None:
            answer = route.fetch()
            answers.append(answer.status)
            if len(answers) > 1:
                return route.fulfill(response=answer)
            cable.cut()
            return route.abort("connectionreset")

        intercept(page, "**/result", send)
        # Until it files again, the page hears of nothing.
        page.route("**/api/stream?*", lambda route: route.abort())
        looks = f"**/api/alerts/{mine.alert_id}"
        page.route(looks, lambda route: route.continue_() if len(answers) > 1 else route.abort())
        page.click("button.primary.seizure")
        page.wait_for_selector(".dot.lost")
        cable.mend()
        page.fill("#note", f"{NOTE}, and 50 g more")
        page.evaluate("() => { window.borderflow.live.skew -= 30_000; }")  # what the page heard last came late
        page.click("button.primary.seizure")
        page.wait_for_selector(".toast:has-text('Your report had arrived already: Seizure is filed.')")
        page.wait_for_selector(".next.undo")
        assert answers == [200, 409]
        assert page.locator(".toast").count() == 1  # that it was not known is over
        assert page.inner_text(".next .note") == NOTE
        unfiled = page.inner_text(".unfiled")
        assert f"What you wrote is not in it: Seizure · 0,4 packages · {NOTE}, and 50 g more Undo it" in unfiled
        assert filed(held_centre, mine) == [("seizure", NOTE)]
    finally:
        cable.close()


def test_a_long_note_keeps_nobody_from_undoing_on_a_telephone(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim", width=390, height=700)
    write(page, held_centre, alert(40_147))
    page.fill("#note", "under the false bottom " * 80)
    page.click("button.primary.seizure")
    button = page.locator(".next .undo")
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 700


def test_what_can_no_longer_be_undone_here_says_how_it_is_corrected(held_centre: Centre, sign_in: SignIn) -> None:
    mine = alert(40_146)
    page = sign_in("kim")
    write(page, held_centre, mine)
    result = result_on(mine, "clear", inspected_at=mine.decision.lodged_at, officer="kim", result_id="r-1")
    arrived = record(result, DESK)
    arrived.timestamp -= 61_000
    held_centre.aside(lambda: held_centre.border.lodge("inspection-results", [arrived]))
    page.wait_for_selector(".next.over")
    assert "corrected by the result's id: r-1" in page.inner_text(".unfiled")


def test_what_is_sent_again_has_the_same_id_and_what_was_changed_another(modules: Page) -> None:
    told = """() => import("/static/drafts.js").then(({ arrived, draftOf, keepDraft, sending }) => {
      keepDraft("a", { note: "x" });
      const ids = [sending("a", 1), sending("a", 2)];
      keepDraft("a", { note: "y" });
      ids.push(sending("a", 3));
      arrived("a", 2); // an older one
      const kept = draftOf("a")?.note;
      arrived("a", 3);
      return [ids[0] === ids[1], ids[1] === ids[2], kept, draftOf("a")];
    })"""
    assert modules.evaluate(told) == [True, False, "y", None]


# -- a note to the author of a criterion


def criterion_alert(centre: Centre, number: int) -> AlertRaised:
    """An alert on a criterion whose publication the console has."""
    name = f"CR-{number}"
    published = CriterionPublished(
        criterion_id=name, version=1, title="Earphones", streams=("express-cargo",), condition='hs4 == "8517"',
        action="direct", valid_from=datetime(2020, 1, 1, tzinfo=UTC), author="analyst-3",
    )  # fmt: skip
    centre.publish("criteria", [published], key=name)
    hit = CriterionHit(criterion_id=name, version=1, title="Earphones", action="direct")
    raised = alert(number, criteria=(hit,))
    centre.raise_alerts([raised])
    return raised


def told_authors(centre: Centre, criterion: str) -> list[tuple[str, str | None]]:
    """The id and the note of each message to the author of a criterion."""
    read = centre.aside(lambda: centre.border.read("casework"))
    decoded = [codec_for("casework").decode(one.value, header(one.headers, "ce_type")) for one in read]
    told = [one for one in decoded if isinstance(one, CriterionFeedbackGiven) and one.criterion_id == criterion]
    return [(one.feedback_id, one.note) for one in told]


def test_a_half_written_note_to_an_author_outlasts_what_happens_around_it_until_it_is_sent(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page, other = sign_in("kim"), sign_in("lee")
    raised = criterion_alert(held_centre, 40_151)
    for one in (page, other):
        wait_for(one, raised.alert_id)
        open_alert(one, raised.alert_id)
    page.click(".feedback summary")
    page.select_option(".feedback select", "too-broad")
    page.click(".feedback textarea")
    page.keyboard.type("fires on all")
    other.keyboard.press("c")
    page.wait_for_selector(".next.theirs")
    page.keyboard.type(" earphones")  # what is shown changed around it
    page.reload()
    page.wait_for_selector(".feedback[open]")
    assert page.input_value(".feedback textarea") == "fires on all earphones"
    page.click("[data-place=day]")
    page.wait_for_selector(".tiles")
    page.go_back()
    page.wait_for_selector(".feedback[open]")
    assert page.input_value(".feedback select") == "too-broad"
    # The answer is lost; and while it is sent again, somebody writes on.
    intercept(page, "**/feedback", lambda route: (route.fetch(), route.abort("connectionreset")), times=1)
    page.click(".feedback button")
    page.wait_for_selector(".toast.bad")
    held: list[Route] = []
    intercept(page, "**/feedback", lambda route: held.append(route), times=1)
    with page.expect_request("**/feedback"):
        page.click(".feedback button")
    page.focus(".feedback textarea")
    page.keyboard.press("End")
    page.keyboard.type(" of one importer")
    held[0].continue_()
    page.wait_for_selector(".toast.good")
    assert page.input_value(".feedback textarea") == "fires on all earphones of one importer"
    with page.expect_response("**/feedback"):
        page.click(".feedback button")
    page.wait_for_selector(".feedback:not([open])")
    (first, note), again, (third, whole) = told_authors(held_centre, "CR-40151")
    assert again == (first, note) == (first, "fires on all earphones")
    assert third != first
    assert whole == "fires on all earphones of one importer"
    page.reload()
    page.wait_for_selector(".feedback")
    assert page.locator(".feedback[open]").count() == 0


# -- nobody else's


def test_a_report_is_shown_to_nobody_else_and_gone_after_the_sign_out(held_centre: Centre, sign_in: SignIn) -> None:
    mine = alert(40_081)
    page = sign_in("kim")
    write(page, held_centre, mine)
    kept = "() => JSON.stringify({...sessionStorage, ...localStorage})"
    assert NOTE in page.evaluate(kept)
    page.goto(f"{held_centre.url}/login")  # the session goes on, another signs in over it
    enter(page, "lee")
    assert NOTE not in page.evaluate(kept)
    page.goto(f"{held_centre.url}/login")
    enter(page, "kim")
    open_alert(page, mine.alert_id)
    page.wait_for_selector(".outcomes")
    assert page.locator("#note").count() == 0
    page.keyboard.press("1")
    page.fill("#note", NOTE)
    assert NOTE in page.evaluate(kept)
    page.click(".menu summary")
    page.click("text=Sign out")
    page.wait_for_url("**/login")
    assert NOTE not in page.evaluate(kept)


def test_a_report_stays_with_who_could_not_be_signed_out(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    write(page, held_centre, alert(40_085))
    page.context.set_offline(True)
    page.evaluate(CUT_OFF)
    page.click(".menu summary")
    page.click("text=Sign out")
    page.wait_for_selector(".toast.bad")
    page.context.set_offline(False)
    page.reload()
    assert_as_written(page)
    page.click(".menu summary")
    page.context.clear_cookies()  # the session is over, and the officer wants no more of it
    page.click("text=Sign out")
    page.wait_for_url("**/login?refused=ended**")
    assert NOTE not in page.evaluate("() => JSON.stringify({...sessionStorage})")


def hears_of_the_end_first(
    page: Page, centre: Centre, number: int, answer: Callable[[Route, APIResponse], None]
) -> None:
    """Let a sign-out be answered after the page's stream heard that the session ended."""
    page.add_init_script(ENDS_HEARD)
    page.reload()
    page.wait_for_selector(".dot.live")

    def late(route: Route) -> None:
        held = route.fetch()
        centre.raise_alerts([alert(number)])  # at each change the stream looks whether the session still stands
        page.wait_for_function("() => window.endsHeard")
        answer(route, held)

    intercept(page, "**/logout", late)


def test_a_sign_out_says_nothing_of_a_session_that_ended(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    write(page, held_centre, alert(40_086))
    refused: list[str] = []

    def answer(route: Route, held: APIResponse) -> None:
        asked = "() => import('/static/api.js').then(({ ask }) => ask('/api/day')).catch(String)"
        refused.append(page.evaluate(asked))
        route.fulfill(response=held)

    hears_of_the_end_first(page, held_centre, 40_087, answer)
    page.click(".menu summary")
    page.evaluate(
        "() => { const out = document.querySelector('.menu .sheet > :last-child'); out.click(); out.click(); }"
    )
    page.wait_for_url("**/login")
    assert refused == ["Error: ended"]
    assert NOTE not in page.evaluate("() => JSON.stringify({...sessionStorage})")


def test_a_sign_out_whose_answer_is_lost_leads_to_the_sign_in_page_all_the_same(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("kim")
    hears_of_the_end_first(page, held_centre, 40_088, lambda route, _: route.abort("connectionreset"))
    page.click(".menu summary")
    page.click("text=Sign out")
    page.wait_for_url("**/login?refused=ended**")


def test_a_page_that_the_browser_kept_whole_is_asked_for_anew(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    with page.expect_navigation():
        page.evaluate("() => { dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })); }")
    page.wait_for_selector(".dot.live")


def test_who_signs_in_in_another_tab_takes_this_one_over(held_centre: Centre, sign_in: SignIn) -> None:
    mine = alert(40_091)
    page = sign_in("kim")
    write(page, held_centre, mine)
    tab = page.context.new_page()
    tab.goto(f"{held_centre.url}/login")
    enter(tab, "lee")
    page.wait_for_selector(".menu summary:has-text('lee')")
    page.wait_for_selector(".next.theirs")
    assert NOTE not in page.evaluate("() => JSON.stringify({...sessionStorage})")
    tab.click(".menu summary")
    tab.click("text=Sign out")
    page.wait_for_selector("#password")


def test_a_page_whose_user_signs_in_anew_in_another_tab_goes_on(held_centre: Centre, sign_in: SignIn) -> None:
    mine = alert(40_095)
    page = sign_in("kim")
    write(page, held_centre, mine)
    page.evaluate("() => { window.same = true; }")
    tab = page.context.new_page()
    tab.goto(f"{held_centre.url}/login")
    enter(tab, "kim")
    page.click("button.primary.seizure")
    page.wait_for_selector(".next.undo")
    assert page.locator(".toast.bad").count() == 0
    assert page.evaluate("() => window.same")  # it is not loaded anew for that
    assert filed(held_centre, mine) == [("seizure", NOTE)]


def test_what_another_user_who_signed_in_meanwhile_has_not_written_is_not_filed_by_them(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine = alert(40_096)
    page = sign_in("kim")
    write(page, held_centre, mine)
    other = sign_in("lee")
    page.context.clear_cookies()
    page.context.add_cookies(other.context.cookies())  # type: ignore[arg-type]
    with page.expect_navigation():
        page.click("button.primary.seizure")
    page.wait_for_selector(".menu summary:has-text('lee')")
    assert filed(held_centre, mine) == []


# -- as it was meant


def test_a_number_pressed_on_the_severity_changes_no_outcome(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    write(page, held_centre, alert(40_097))
    page.click(".outcome.irregularity")
    page.focus(".severity input:checked")
    page.keyboard.press("3")
    assert page.is_checked(".outcome.irregularity input")
    page.focus(".outcome input:checked")
    page.keyboard.press("3")
    assert page.is_checked(".outcome.seizure input")


@pytest.fixture(scope="module")
def modules(browser: Browser, held_centre: Centre) -> Iterator[Page]:
    """A signed-in page whose modules a test can ask."""
    page = browser.new_context().new_page()
    page.goto(f"{held_centre.url}/login")
    enter(page, "kim")
    yield page
    page.context.close()


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("2.5", 2.5), ("2,5", 2.5), (" 12 ", 12), ("1.234", 1.234), ("0,125", 0.125), ("1234,5", 1234.5),
        ("\uff12\uff0e\uff15", 2.5), ("1,234", None), ("1,234.5", None), ("1.2.5", None), ("12-", None), ("-5", None),
        ("1e3", None), ("2 500", None), ("", None), (".", None),
    ],
)  # fmt: skip
def test_a_quantity_is_read_one_way_or_refused(modules: Page, typed: str, read: float | None) -> None:
    told = "(typed) => import('/static/form.js').then(({ quantityOf }) => String(quantityOf(typed)))"
    assert modules.evaluate(told, typed) == ("NaN" if read is None else f"{read:g}")


def test_a_decimal_comma_is_filed_and_confirmed_as_it_was_meant_and_what_is_no_number_does_not_go_out(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine = alert(40_101)
    page = sign_in("kim")
    write(page, held_centre, mine)
    page.fill("#quantity", "1,234")
    page.click("button.primary.seizure")
    assert "Write one number" in page.inner_text(".missing")
    assert page.evaluate("() => document.activeElement.id") == "quantity"
    page.fill("#quantity", "2,5")
    page.select_option("#unit", "KGM")
    page.click("button.primary.seizure")
    page.wait_for_selector(".next.undo")
    assert "Drugs · 2.5 kilograms" in page.inner_text(".next .done")
    (result,) = [one for one in held_centre.results() if one.decision_id == mine.decision.decision_id]
    assert (result.quantity, result.quantity_unit) == (2.5, "KGM")


def test_an_answer_that_is_lost_is_not_told_as_nothing_sent_and_the_page_finds_the_result(
    held_centre: Centre, sign_in: SignIn
) -> None:
    mine = alert(40_111)
    page = sign_in("kim")
    write(page, held_centre, mine)
    intercept(page, "**/result", lambda route: (route.fetch(), route.abort("connectionreset")))
    page.click("button.primary.seizure")
    page.wait_for_selector(".toast.bad")
    assert "not known whether it arrived" in page.inner_text("#toasts")
    page.wait_for_selector(".next.undo")
    assert NOTE not in page.evaluate("() => JSON.stringify({...sessionStorage})")


def test_a_request_without_an_answer_leaves_other_alerts_their_buttons(held_centre: Centre, sign_in: SignIn) -> None:
    stalled, other = alert(40_121), alert(40_122)
    page = sign_in("kim")
    held_centre.raise_alerts([stalled, other])
    wait_for(page, stalled.alert_id, other.alert_id)
    open_alert(page, stalled.alert_id)
    page.wait_for_selector(".next.claim")
    intercept(page, f"**/{stalled.alert_id}/claim", lambda route: None)  # never answered
    page.keyboard.press("c")
    page.wait_for_selector(".detail.busy .next[data-busy='Sending…']")
    page.mouse.move(900, 600)
    page.mouse.wheel(0, 200)
    page.wait_for_function("() => document.querySelector('.detail').scrollTop > 0")  # what is known can be read
    open_alert(page, other.alert_id)
    page.wait_for_selector(".next.claim")
    assert page.locator(".detail.busy").count() == 0
    page.keyboard.press("c")
    page.wait_for_selector(".outcomes")
