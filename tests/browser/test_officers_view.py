"""What the page shows officers, and what it keeps from misleading them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agents.risk.codelists import CHAPTERS
from schemas.casework import AlertClaimed
from schemas.decisions import AlertRaised, Layer, Reason, SelectionDecided
from schemas.items import CriterionHit, TravellerFacts
from schemas.knowledge import CriterionPublished
from tests.border import parcel, result_on
from tests.browser.cable import Cable, intercept
from tests.browser.centre import DESK, Centre, alert, record
from tests.browser.conftest import SignIn
from tests.browser.test_queue import open_alert, wait_for
from tests.integration.harbour import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = [pytest.mark.browser, pytest.mark.broker]

TURNED = "Teddy bears \u202e(517158 SH) sgurd"
PARTS = """async () => {
  const { Live } = await import("/static/live.js");
  let source;
  window.EventSource = class extends EventTarget { constructor() { super(); source = this; } close() {} };
  const live = new Live();
  live.start();
  return [true, false].map((more) => {
    const told = { rows: [], reset: more, more, ready: true, now: Date.now(), dropped: 0, unread: 0 };
    source.dispatchEvent(new MessageEvent("rows", { data: JSON.stringify(told) }));
    return live.state;
  });
}"""
TURNED_TO = """(seen) => {
  Object.defineProperty(document, "hidden", { get: () => !seen, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
HELD_DOWN = """() => {
  for (let n = 0; n < 9; n += 1) document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true }));
}"""


def goods_alert(
    number: int, *, minutes_left: float = 200, carrier: str = "KE", lane: str = "red", **goods: Any
) -> AlertRaised:
    """An alert on a parcel with these goods."""
    made = parcel(number, at=datetime.now(UTC).replace(microsecond=0), due_after=timedelta(minutes=minutes_left))
    assert made.item.cargo is not None
    facts = msgspec.structs.replace(made.item.cargo.goods, **goods)
    cargo = msgspec.structs.replace(made.item.cargo, goods=facts, carrier=carrier)
    item = msgspec.structs.replace(made.item, cargo=cargo)
    return alert(number, lane=lane, filtered=msgspec.structs.replace(made, item=item))


def traveller_alert(number: int, reference: str = "") -> AlertRaised:
    """An alert on one of a flight's crew."""
    made = parcel(number, at=datetime.now(UTC).replace(microsecond=0))
    facts = TravellerFacts(
        document=f"t:{number:032x}", name="KIM MINSU", document_issuer="KR", document_kind="passport", nationality="KR",
        birth_year=1980, carrier="KE", mode="air", journey="KE932", embarkation="THBKK", disembarkation="KRICN",
        crew=True,
    )  # fmt: skip
    item = msgspec.structs.replace(
        made.item, item_id=f"passengers/{reference or f'KE932/P{number}'}", stream="passengers", cargo=None,
        traveller=facts, subject=facts.document,
    )  # fmt: skip
    return alert(number, filtered=msgspec.structs.replace(made, item=item))


def shown(page: Page, centre: Centre, raised: AlertRaised) -> str:
    """The text of an alert that was just raised."""
    centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    open_alert(page, raised.alert_id)
    return page.inner_text(".detail")


def views_of(centre: Centre, user: str) -> list[str]:
    """The decisions whose alerts a user looked at, as the trail has it."""
    return [line["decision"] for line in centre.trail if (line["what"], line["user"]) == ("alert-viewed", user)]


# -- what it is


def test_marks_that_turn_the_reading_direction_are_shown_and_each_lodged_text_stands_alone(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("kim")
    told = shown(page, held_centre, goods_alert(50_001, description=TURNED, carrier="\u202eEK"))
    assert "Teddy bears [U+202E](517158 SH) sgurd (HS 851712)" in told
    assert "[U+202E]EK" in told
    assert page.evaluate("() => !/[\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.innerText)")
    alone = page.locator(".item bdi").all_inner_texts()
    assert {"Teddy bears [U+202E](517158 SH) sgurd", "A CONSIGNEE", "A SHIPPER", "[U+202E]EK"} <= set(alone)


def test_one_line_of_many_is_called_so_and_a_crew_member_too(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    assert "the main line of 14" in shown(page, held_centre, goods_alert(50_011, description="Teddy bears", lines=14))
    assert "the main line" not in shown(page, held_centre, goods_alert(50_012, description="Teddy bears"))
    assert "KE932 · THBKK → KRICN · crew" in shown(page, held_centre, traveller_alert(50_013))


def test_a_row_says_what_to_fetch_and_names_nobody_and_the_goods_stand_above_the_claim_on_a_telephone(
    held_centre: Centre, sign_in: SignIn
) -> None:
    raised, traveller = goods_alert(50_021, description="Teddy bears", hs6="950300"), traveller_alert(50_022)
    page = sign_in("kim", width=360, height=740)
    held_centre.raise_alerts([raised, traveller])
    wait_for(page, raised.alert_id, traveller.alert_id)
    page.fill(".head input", "toys")
    row = page.inner_text(f"#row-{raised.alert_id}")
    assert "9503 Toys, games, sport" in row
    assert "W50021" in row
    page.fill(".head input", "KE932/P50022")
    row = page.inner_text(f"#row-{traveller.alert_id}")
    assert "KE932/P50022" in row
    assert "KIM MINSU" not in row
    for one, what in ((raised, "Teddy bears · W50021"), (traveller, "KIM MINSU · KE932")):
        open_alert(page, one.alert_id)
        page.wait_for_selector(".next.claim")
        line = page.locator(".lead.what")
        assert line.inner_text() == what
        above, button = line.bounding_box(), page.locator(".next .primary").bounding_box()
        assert above is not None
        assert button is not None
        assert above["y"] < button["y"] < 740


@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
def test_a_row_has_all_of_its_headline_and_its_reference_at_every_width(
    held_centre: Centre, sign_in: SignIn, locale: str
) -> None:
    heavy = {"hs6": "130219", "gross_mass_kg": 1912.5, "value_usd": 23456.0}
    raised = [
        goods_alert(50_023, lane="yellow", **heavy),
        goods_alert(50_024, hs6="711319", gross_mass_kg=0.026, value_usd=0.4),
        traveller_alert(50_020, "QK167-20250109/W5002354824"),
    ]
    page = sign_in("kim", width=390, height=844, locale=locale)
    held_centre.raise_alerts(raised)
    wait_for(page, *(one.alert_id for one in raised))
    page.fill(".head input", "W5002")
    said = [page.inner_text(f"#row-{one.alert_id} b").replace("\u00a0", " ") for one in raised]
    assert ["1,913 kg · 23,456 USD" in said[0], "0.026 kg · 0.4 USD" in said[1]] == [True, True]
    whole = """(row) => {
      const box = row.getBoundingClientRect();
      const within = (one) => {
        const { top, bottom, right } = one.getBoundingClientRect();
        return top >= box.top && bottom <= box.bottom && right <= box.right;
      };
      const uncut = [...row.querySelectorAll("b, .ref, .time")].every((one) =>
        one.scrollHeight <= one.clientHeight + 1 && one.scrollWidth <= one.clientWidth);
      return uncut && [...row.querySelectorAll(".what *")].every((one) => !one.offsetWidth || within(one));
    }"""
    cut = []
    for theme in ("light", "wall"):
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        for width in (320, 390, 600, 920, 1180, 1280, 1920)[1 if theme == "wall" else 0 :]:
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_timeout(300)  # rows are placed anew
            rows = [page.locator(f"#row-{one.alert_id}") for one in raised]
            cut += [(theme, width, row.inner_text()) for row in rows if not row.evaluate(whole)]
    assert not cut


def test_long_names_and_words_stick_out_of_nothing_on_a_telephone(held_centre: Centre, sign_in: SignIn) -> None:
    name = "kim.of.the.inspection.department.of.the.customs.service@incheon"
    at = datetime.now(UTC).replace(microsecond=0)
    hit = CriterionHit(criterion_id="CR-" + "X" * 40, version=1, title="Langes" * 12, action="direct")
    publication = CriterionPublished(
        criterion_id=hit.criterion_id, version=1, title=hit.title, streams=("express-cargo",), condition="one_way",
        action="direct", valid_from=datetime(2020, 1, 1, tzinfo=UTC), author=name,
    )  # fmt: skip
    held_centre.publish("criteria", [publication], key=hit.criterion_id)
    claimed, filed = alert(50_025, criteria=(hit,)), alert(50_026)
    held_centre.raise_alerts([claimed, filed])
    claim = AlertClaimed(
        claim_id="cl-50025", decision_id=claimed.decision.decision_id, control_point=DESK, officer=name, claimed_at=at,
        until=at + timedelta(hours=1),
    )  # fmt: skip
    held_centre.publish("casework", [claim])
    result = result_on(filed, "clear", inspected_at=at + timedelta(seconds=1), note="W" * 200)
    held_centre.publish("inspection-results", [msgspec.structs.replace(result, officer=name)])
    page = sign_in("sup", width=390, height=844)
    wait_for(page, claimed.alert_id, filed.alert_id)
    page.click("[data-tab=done]")
    page.wait_for_selector(f"#row-{filed.alert_id}")
    within = "(all) => all.every((one) => one.getBoundingClientRect().right <= innerWidth)"
    assert page.locator(".row .chip").evaluate_all(within)
    for raised, step in ((claimed, "theirs"), (filed, "over")):
        open_alert(page, raised.alert_id)
        page.wait_for_selector(f".next.{step}")
        assert page.locator(".detail").evaluate("(detail) => detail.scrollWidth <= detail.clientWidth"), step


def test_every_chapter_has_a_name_in_both_catalogues() -> None:
    for language in ("en", "ko"):
        words = msgspec.json.decode((ROOT / f"streams/console/static/i18n/{language}.json").read_bytes())
        assert {key.partition(".")[2] for key in words if key.startswith("chapter.")} == CHAPTERS


# -- why it was selected, or released

SAME_ROUTE = "Where little was found lately in the same goods on the same route, it counts as"
REST = Reason(code="remainder", text="Everything else about the item, and the base rate", weight=-3.77)
MASS = Reason(code="log-mass", text="Mass of 1,341 kg", weight=0.16)
UNWATCHED = Reason(code="unwatched", text="traffic like this is looked at too seldom to be sure of it")
SURGE = Reason(code="surge", text="traffic like this is 4.2 times what its norm explains")


def decided(number: int, *reasons: Reason, layer: Layer = "model", **decision: Any) -> AlertRaised:
    """An alert on a decision with these numbers."""
    raised = alert(number, layer=layer, lane="yellow", reasons=(*reasons, REST))
    return msgspec.structs.replace(raised, decision=msgspec.structs.replace(raised.decision, **decision))


def test_what_a_score_counted_as_is_told_in_figures_that_can_be_compared(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    for number, said, figures in (
        (
            50_201,
            f"Score 0.04. {SAME_ROUTE} 0.0134; needed 0.0133. A find in about 3.4% of",
            (0.04, 0.0134, 0.0133, 0.0339),
        ),
        (
            50_202,
            f"Score 0.0183. {SAME_ROUTE} 0.0207; needed 0.0091. A find in about 0.4% of",
            (0.0183, 0.0207, 0.0091, 0.0044),
        ),
        (50_203, "Score 0.0958, needed 0.0507. Bars show", (0.0958, 0.09579, 0.0507, None)),
        (50_204, "Score 0.949, needed 0.9. A find in about 81% of", (0.9489, None, 0.8997, 0.81)),
    ):
        named = dict(zip(("score", "rank", "threshold", "probability"), figures, strict=True))
        shown(page, held_centre, decided(number, MASS, **named))
        assert said in page.inner_text("section.why")


def test_a_look_at_traffic_is_called_one_and_says_that_its_score_did_not_decide(
    held_centre: Centre, sign_in: SignIn
) -> None:
    numbers = {"score": 0.013, "rank": 0.0101, "threshold": 0.0415, "surge": 0.1, "probability": None}
    unwatched = decided(50_211, UNWATCHED, MASS, layer="surge", **numbers)
    surging = decided(50_212, SURGE, layer="surge", **numbers)
    page = sign_in("kim")
    for raised, title in ((unwatched, "Rarely looked at"), (surging, "Surge of traffic")):
        told = shown(page, held_centre, raised)
        assert f"{title}: traffic like this" in told
        assert page.locator(".detail header .chip:has-text('Traffic')").count() == 1
        assert "Selected by: Traffic. Its score, 0.013, did not decide." in told
    page.click(".filters summary")
    page.select_option("[data-filter=ly]", label="Traffic")
    page.wait_for_selector(f"#row-{unwatched.alert_id}:has-text('Rarely looked at')")
    korean = sign_in("kim", locale="ko-KR")
    wait_for(korean, unwatched.alert_id)
    open_alert(korean, unwatched.alert_id)
    told = korean.inner_text(".detail")
    assert "검사 빈도 낮음: 유사 물량에 대한 최근 검사가 부족함" in told
    assert "선별 단계: 물량 동향. 점수(0.013)로 선별된 것이 아님." in told


def find(page: Page, waybill: str) -> None:
    """Search for a waybill until the console has read the decision on it."""
    page.fill("#search", waybill)
    while not page.locator(f".hits :text('{waybill}')").count():
        with page.expect_response("**/api/search"):
            page.keyboard.press("Enter")
        page.wait_for_selector(".found p.small, .found p.empty:not(:text('Reading'))")


def test_the_search_says_why_an_item_was_released_or_selected(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")

    def found(decision: SelectionDecided, waybill: str) -> str:
        held_centre.publish("decisions", [decision])
        find(page, waybill)
        page.click(".hits button")
        page.wait_for_selector(f"h2:has-text('{waybill}')")
        return page.inner_text(".searching .detail")

    page.click("[data-place=search]")
    for number, said, figures in (
        (50_221, "score 0.0102, below the 0.0103 needed", {"score": 0.0102}),
        (50_222, "score 0.04, which counts as 0.0102 where little was found lately", {"score": 0.04, "rank": 0.0102}),
        (50_223, "it reached what was needed (0.0104, needed 0.0103), but the control point had no inspection left",
         {"score": 0.02, "rank": 0.0104}),
        (50_224, "auto-cleared as plainly low risk", {"score": 0.5, "auto_cleared": True}),
    ):  # fmt: skip
        released = msgspec.structs.replace(
            alert(number).decision, selected=False, layer=None, layers=(), lane="green", reasons=(), probability=None,
            threshold=0.0103, **figures,
        )  # fmt: skip
        told = found(released, f"W{number}")
        assert f"Released: {said}" in told
        assert page.locator(".searching section.why").count() == 0  # nothing is written down that spoke for it
    told = found(decided(50_225, UNWATCHED, layer="surge").decision, "W50225")
    assert "Selected by: Traffic." in told
    assert page.locator(".searching .weight").all_inner_texts() == ["rule", "\u22123.77"]


def test_back_leads_from_a_decision_to_what_was_found_and_a_reload_to_the_decision(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("kim", width=390, height=740)
    held_centre.publish("decisions", [alert(50_231).decision])
    page.click("[data-place=search]")
    find(page, "W50231")
    page.click(".hits button")
    page.wait_for_selector("h2:has-text('W50231')")
    page.go_back()
    page.wait_for_selector(".hits button:not([aria-current])")
    page.go_forward()
    page.wait_for_selector("h2:has-text('W50231')")
    page.reload()
    page.wait_for_selector("h2:has-text('W50231')")
    page.click(".searching .back")
    page.wait_for_selector("#search")
    assert page.url.endswith("#search")


def test_an_answer_that_comes_late_is_not_shown_for_what_was_asked_since(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    held_centre.publish("decisions", [alert(number).decision for number in (50_241, 50_242)])
    page.click("[data-place=search]")
    for waybill in ("W50241", "W50242"):
        find(page, waybill)
    late: list[Route] = []
    intercept(page, "**/api/search", lambda route: late.append(route), times=1)
    page.fill("#search", "W50241")
    with page.expect_request("**/api/search"):
        page.keyboard.press("Enter")
    assert page.inner_text(".found") == "Reading…"
    find(page, "W50242")
    with page.expect_response("**/api/search"):
        late[0].continue_()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.locator(".hits").inner_text().startswith("Red")
    assert "W50241" not in page.inner_text(".hits")
    intercept(page, "**/api/decisions/**", lambda route: late.append(route), times=1)
    with page.expect_request("**/api/decisions/**"):
        page.click(".hits button")
    page.evaluate("() => { location.hash = 'search'; }")
    find(page, "W50241")
    page.click(".hits button")
    page.wait_for_selector("h2:has-text('W50241')")
    with page.expect_response("**/api/decisions/**"):
        late[1].continue_()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.locator("h2:has-text('W50241')").count() == 1
    page.evaluate("() => { location.hash = 'search'; }")
    intercept(page, "**/api/decisions/**", lambda route: late.append(route), times=1)
    with page.expect_request("**/api/decisions/**"):
        page.click(".hits button")
    page.focus("#search")
    late[2].continue_()
    page.wait_for_selector("h2:has-text('W50241')")
    assert page.evaluate("() => document.activeElement.id") == "search"  # who writes on keeps writing there


# -- where it went


def test_a_passing_on_is_offered_to_points_of_the_stream_and_undone_within_the_minute(
    held_centre: Centre, sign_in: SignIn
) -> None:
    raised = alert(50_031, minutes_left=30)
    page = sign_in("kim")
    shown(page, held_centre, raised)
    page.keyboard.press("c")
    page.wait_for_selector(".outcomes")
    page.keyboard.press("5")
    offered = page.locator("#passed_to option").evaluate_all("(all) => all.map((one) => one.value)")
    assert sorted(offered) == ["", "KRINC-EXP", "KRPTK-EXP"]
    page.select_option("#passed_to", "KRPTK-EXP")
    page.click("button.primary.passed-on")
    page.wait_for_selector(".next.undo")
    assert page.inner_text(".toast.good") == "Filed: Passed on."  # from which no model learns
    assert "→ KRPTK-EXP" in page.inner_text(".next")
    page.fill(".head input", "W50031")
    row = page.locator(f"#row-{raised.alert_id}")
    row.locator(".chip:has-text('→ KRPTK-EXP')").wait_for()
    assert "from KRICN-EXP" not in row.inner_text()
    page.evaluate("() => { location.hash = 'queue'; }")
    page.wait_for_selector(".detail .nothing")
    page.click(".detail .primary")  # the next alert: not what has gone elsewhere
    assert page.locator(".detail .nothing").count() == 1
    open_alert(page, raised.alert_id)
    page.wait_for_selector(".next.undo")
    page.keyboard.press("u")
    page.wait_for_selector(".next.claim")
    assert "Undone" in page.inner_text(".story")


def test_a_claim_that_ran_out_is_not_shown_to_analysts_as_one_that_stands(held_centre: Centre, sign_in: SignIn) -> None:
    raised, now = alert(50_033), datetime.now(UTC)
    page = sign_in("ana")
    held_centre.raise_alerts([raised])
    claim = AlertClaimed(
        claim_id="cl-50033", decision_id=raised.decision.decision_id, control_point=DESK, officer="lee",
        claimed_at=now, until=now + timedelta(seconds=6),
    )  # fmt: skip
    held_centre.publish("casework", [claim])
    wait_for(page, raised.alert_id)
    open_alert(page, raised.alert_id)
    page.wait_for_selector(".next:has-text('lee is on this')")
    page.wait_for_selector(".next:has-text('Nobody is on this yet')")


# -- what is there, and what is not


def test_a_row_whose_time_ran_out_is_drawn_as_any_other(held_centre: Centre, sign_in: SignIn) -> None:
    late, filed = alert(50_047, minutes_left=-1), alert(50_048)
    page = sign_in("kim")
    held_centre.raise_alerts([late, filed])
    at = datetime.now(UTC).replace(microsecond=0)
    held_centre.publish("inspection-results", [result_on(filed, "clear", inspected_at=at)])
    drawn = (
        "(row) => ['padding', 'borderRadius', 'color', 'backgroundColor'].map((name) => getComputedStyle(row)[name])"
    )
    looks = []
    for tab, one in (("expired", late), ("done", filed)):
        page.click(f"[data-tab={tab}]")
        row = page.locator(f"#row-{one.alert_id}")
        row.wait_for()
        page.mouse.move(0, 0)
        looks.append(row.evaluate(drawn))
    assert looks[0] == looks[1]


def test_another_language_without_a_connection_leaves_the_page_in_the_one_that_it_has(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("kim")
    intercept(page, "**/i18n/*ko.json", lambda route: route.abort())
    page.click(".menu summary")
    page.select_option(".menu select >> nth=0", "ko")
    page.wait_for_selector(".toast.bad:has-text('No connection')")
    assert page.input_value(".menu select >> nth=0") == "en"
    page.click("[data-tab=open]")
    assert "Queue" in page.inner_text("nav")
    assert page.get_attribute("html", "lang") == "en"
    assert page.evaluate("() => import('/static/i18n.js').then((words) => words.language)") == "en"
    assert page.evaluate("() => localStorage.getItem('language')") is None


def test_a_search_tells_how_much_it_found_and_the_trail_says_so_in_words(held_centre: Centre, sign_in: SignIn) -> None:
    raised = alert(50_049)
    held_centre.publish("decisions", [raised.decision])
    page = sign_in("sup", locale="ko-KR")
    page.evaluate("() => { location.hash = 'search'; }")
    page.fill("#search", raised.decision.decision_id)
    until = time.monotonic() + 20
    while not page.locator(".hits button").count():
        assert time.monotonic() < until
        page.click(".searching .primary")
        page.wait_for_timeout(500)
    assert page.inner_text(".searching [role=status]") == "결정 1건, 최신순"  # and not every line of it
    page.evaluate("() => { location.hash = 'trail'; }")
    page.wait_for_selector("tbody tr:has-text('결정 1건 검색됨')")


def test_filters_that_hide_everything_say_so_and_can_be_cleared(held_centre: Centre, sign_in: SignIn) -> None:
    raised = alert(50_041)
    page = sign_in("kim")
    held_centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    page.fill(".head input", "zzzz")
    page.wait_for_selector(".left > .empty")
    assert "hidden by your filters" in page.inner_text(".left > .empty")
    page.click(".left > .empty button")
    page.wait_for_selector(".row")


def test_who_holds_no_alert_is_offered_the_next_one_without_a_key(held_centre: Centre, sign_in: SignIn) -> None:
    raised = alert(50_045)
    page = sign_in("new", width=390, height=740)
    held_centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    page.click("[data-tab=mine]")
    page.click(".left > .empty button")
    page.wait_for_selector(".next.claim")


@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
def test_the_tabs_of_a_nation_s_queue_are_within_a_telephone(sign_in: SignIn, locale: str) -> None:
    page = sign_in("kim", width=320, height=740, locale=locale)
    page.evaluate("() => { for (const one of document.querySelectorAll('.tabs b')) one.textContent = '12,345'; }")
    within = "(all) => all.every((one) => one.scrollWidth <= one.clientWidth)"
    assert page.locator("html, .left, .tabs, .tabs button").evaluate_all(within)


@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
def test_the_day_can_be_read_on_a_telephone_and_says_what_its_words_mean(
    held_centre: Centre, sign_in: SignIn, locale: str
) -> None:
    held_centre.publish("decisions", [alert(50_046).decision])
    page = sign_in("sup", width=390, height=844, locale=locale)
    page.click("[data-place=day]")
    page.wait_for_selector("tbody .n")
    assert page.locator("tbody tr").evaluate_all(
        "(rows) => rows.every((row) => (row.querySelector('.n') ?? row).getBoundingClientRect().right <= innerWidth)"
    )
    assert page.locator(".plot text").evaluate_all(
        "(all) => all.length && all.every((one) => one.getBoundingClientRect().height >= 11)"
    )
    layers = page.locator("table:has(caption small)")
    heads, said = layers.locator("th[scope=col]").all_inner_texts(), layers.locator("caption small").inner_text()
    assert (heads[0], "random" in said) == (("Layer", True) if locale == "en-GB" else ("선별 단계", False))


def test_what_a_plot_says_of_the_capacity_is_within_it(sign_in: SignIn) -> None:
    drawn = """async () => {
      const { bars } = await import("/static/plots.js");
      const hours = [{ label: "14:00", value: 0.0195, said: "" }];
      document.body.append(bars(hours, { format: String, mark: 0.02, markName: "검사 여력", empty: "" }));
      const top = (one) => one.getBoundingClientRect().top;
      return [...document.querySelectorAll(".plot text")].every((one) => top(one) >= top(one.closest("svg")));
    }"""
    assert sign_in("kim", width=390, height=844).evaluate(drawn)


def test_what_happened_is_told_to_the_second_in_the_alert_and_in_the_trail(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("sup", width=390, height=844)
    shown(page, held_centre, alert(50_048))
    page.click(".next .primary")
    page.wait_for_selector(".story .claimed")
    second = re.compile(r"\d\d:\d\d:\d\d")
    assert all(second.search(one) for one in page.locator(".story time").all_inner_texts())
    page.click("[data-place=trail]")
    line = page.locator(".trail tbody tr").first
    assert second.search(line.inner_text())
    assert line.evaluate("(line) => line.clientHeight") < 50  # one line of text


@pytest.mark.parametrize(("width", "height"), [(1280, 740), (360, 560)])
def test_the_filters_are_all_within_the_page(held_centre: Centre, sign_in: SignIn, width: int, height: int) -> None:
    raised = alert(50_050 + width)
    page = sign_in("sup", width=width, height=height)
    held_centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    page.click(".filters summary")
    box = page.locator(".choices").bounding_box()
    assert box is not None
    for place in range(5):
        one = page.locator(".choices select").nth(place)
        one.scroll_into_view_if_needed()
        inner = one.bounding_box()
        assert inner is not None
        assert box["x"] <= inner["x"]
        assert inner["x"] + inner["width"] <= box["x"] + box["width"]
    assert box["y"] + box["height"] <= height


@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
def test_at_400_percent_zoom_everything_can_be_reached_and_nothing_stands_over_what_is_read(
    held_centre: Centre, sign_in: SignIn, locale: str
) -> None:
    raised = goods_alert(50_055, description="Thermoelectric" * 36, minutes_left=30)
    page = sign_in("sup", width=320, height=256, locale=locale)  # what is left of 1280 x 1024
    held_centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    within = "(one) => { const box = one.getBoundingClientRect(); return box.left >= 0 && box.right <= innerWidth; }"
    assert page.locator("#list").evaluate("(list) => list.clientHeight") >= 256
    page.click(".menu summary")
    assert page.locator(".menu .sheet").evaluate("(sheet) => sheet.getBoundingClientRect().bottom <= innerHeight")
    assert page.locator(".menu select").evaluate_all(f"(all) => all.every({within})")
    page.click(".menu summary")
    open_alert(page, raised.alert_id)
    assert page.locator(".lead.what").evaluate("(line) => line.clientHeight") < 100
    page.keyboard.press("c")
    page.wait_for_selector(".outcomes")
    page.keyboard.press("3")
    assert page.locator(".outcome span, .result button").evaluate_all(f"(all) => all.every({within})")
    assert page.locator(".next").evaluate("(next) => getComputedStyle(next).position") == "static"
    for place in ("queue", "day", "search", "trail"):
        page.evaluate("(place) => { location.hash = place; }", place)
        page.wait_for_selector(f"[data-place={place}][aria-current]")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), place


def test_what_lies_over_the_page_is_put_away_when_somebody_turns_to_something_else(
    held_centre: Centre, sign_in: SignIn
) -> None:
    raised = alert(50_056)
    page = sign_in("kim")
    shown(page, held_centre, raised)
    opened, focused = "details:is(.menu, .filters)[open]", "() => document.activeElement.parentElement.className"
    for name in ("menu", "filters"):
        for turn in (lambda: page.click(".detail h2"), lambda: page.focus("#list")):
            page.click(f".{name} summary")
            assert page.locator(opened).count() == 1
            turn()
            assert page.locator(opened).count() == 0
        page.click(f".{name} summary")
        page.keyboard.press("Tab")
        page.keyboard.press("Escape")
        assert page.locator(opened).count() == 0
        assert page.evaluate(focused) == name
        assert raised.alert_id in page.url


def test_the_day_asks_for_nothing_to_be_tried_again_while_the_page_is_cut_off_and_is_read_when_it_is_back(
    held_centre: Centre, sign_in: SignIn
) -> None:
    cable = Cable(int(held_centre.url.rpartition(":")[2]))
    try:
        page = sign_in("kim", url=cable.url)
        cable.cut()
        page.wait_for_selector("#notice.lost")
        with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/day")):
            page.click("[data-place=day]")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert page.locator(".toast").count() == 0
        cable.mend()
        with page.expect_event("requestfinished", lambda request: request.url.endswith("/api/day")):
            page.wait_for_selector(".dot.live")
        page.wait_for_selector(".tiles")
    finally:
        cable.close()


def test_an_alert_that_the_console_has_not_read_yet_is_not_called_over(held_centre: Centre, sign_in: SignIn) -> None:
    raised = alert(50_057)
    page = sign_in("kim")
    shown(page, held_centre, raised)
    stream: list[Route] = []
    page.route("**/api/stream**", lambda route: stream.append(route))
    page.route(f"**/{raised.alert_id}", lambda route: route.fulfill(status=404, body="there is no such alert\n"))
    with page.expect_response(f"**/{raised.alert_id}"):
        page.reload()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.inner_text(".detail") == "Reading…"
    assert page.locator(".toast").count() == 0
    page.unroute(f"**/{raised.alert_id}")
    stream[0].continue_()
    page.unroute("**/api/stream**")  # which a page asks for again when it hears nothing for 12 s
    page.wait_for_selector(".next.claim")
    page.evaluate("() => { location.hash = 'queue/a-none'; }")
    page.wait_for_selector(".detail :text('no longer held')")


def test_the_next_free_alert_is_found_from_every_tab(held_centre: Centre, sign_in: SignIn) -> None:
    raised = alert(50_058)
    page = sign_in("lee")
    held_centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    for tab in ("mine", "expired", "done"):
        page.click(f"[data-tab={tab}]")
        page.keyboard.press("n")
        page.wait_for_selector(".next.claim")
        assert page.get_attribute("[data-tab=open]", "aria-pressed") == "true"
        page.keyboard.press("Escape")
        page.wait_for_selector(".detail .nothing")


def test_a_page_that_has_only_a_part_of_the_queue_yet_does_not_call_it_live(sign_in: SignIn) -> None:
    assert sign_in("kim").evaluate(PARTS) == ["catching-up", "live"]


def test_a_page_that_cannot_begin_says_that_it_is_loading_and_begins_as_soon_as_it_can(sign_in: SignIn) -> None:
    page = sign_in("kim")
    for path in ("**/api/me", "**/i18n/en.json"):
        page.route(path, lambda route: route.abort("connectionreset"))
        with page.expect_event("requestfailed"):
            page.reload()
        assert "Loading…" in page.inner_text("main")
        page.unroute(path)
        page.wait_for_selector(".dot.live")
        assert "Loading…" not in page.inner_text("main")


def test_an_alert_that_was_opened_without_a_connection_is_read_when_it_is_back(
    held_centre: Centre, sign_in: SignIn
) -> None:
    raised = alert(50_061)
    cable = Cable(int(held_centre.url.rpartition(":")[2]))
    try:
        page = sign_in("kim", url=cable.url)
        held_centre.raise_alerts([raised])
        wait_for(page, raised.alert_id)
        cable.cut()
        page.wait_for_selector(".dot.lost")
        page.evaluate("(id) => { location.hash = `queue/${id}`; }", raised.alert_id)
        page.wait_for_selector(".toast.bad")
        cable.mend()
        page.wait_for_selector(".next.claim")
    finally:
        cable.close()


def test_who_holds_j_down_reads_where_they_stop_and_no_toast_is_shown_twice(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("lee")
    raised = [alert(50_070 + number) for number in range(10)]
    held_centre.raise_alerts(raised)
    wait_for(page, *(one.alert_id for one in raised))
    page.fill(".head input", "W5007")
    page.keyboard.press("Escape")
    before = views_of(held_centre, "lee")
    page.evaluate(HELD_DOWN)
    page.wait_for_selector(".next.claim")
    assert len(views_of(held_centre, "lee")) - len(before) <= 2
    intercept(page, "**/claim", lambda route: route.fulfill(status=429, headers={"Retry-After": "1"}))
    for _ in range(3):
        page.keyboard.press("c")
        page.wait_for_selector(".detail:not(.busy)")
    page.wait_for_selector(".toast.bad")
    assert page.locator(".toast.bad").count() == 1


def test_keys_are_what_stands_on_them_whatever_caps_lock_or_a_korean_layout_makes_of_them(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("kim")
    shown(page, held_centre, alert(50_082))
    press = "(of) => { document.body.dispatchEvent(new KeyboardEvent('keydown', { ...of, bubbles: true })); }"
    page.evaluate(press, {"key": "ㅊ", "code": "KeyC"})
    page.wait_for_selector(".outcomes")
    page.evaluate(press, {"key": "G", "code": "KeyG"})  # caps lock
    page.wait_for_selector(".next.claim")
    page.evaluate(press, {"key": "ㅇ", "code": "KeyD"})
    page.wait_for_selector(".tiles")
    page.evaluate(press, {"key": "Q", "code": "KeyQ", "shiftKey": True})
    assert page.locator(".tiles").count() == 1
    page.evaluate(press, {"key": "Q", "code": "KeyQ"})
    page.wait_for_selector("#list")


def test_the_list_of_keys_names_the_audit_trail_for_those_who_have_it(held_centre: Centre, sign_in: SignIn) -> None:
    raised = goods_alert(1)
    held_centre.raise_alerts([raised])
    for user, has_it in (("sup", True), ("kim", False)):
        page = sign_in(user)
        wait_for(page, raised.alert_id)
        page.keyboard.press("?")
        assert ("audit trail" in page.inner_text("dialog.help")) is has_it


def test_the_list_of_keys_names_them_on_a_page_that_is_zoomed_in(sign_in: SignIn) -> None:
    page = sign_in("kim", width=640, height=400)
    page.keyboard.press("?")
    assert all(page.locator("dialog.help dt").all_inner_texts())


def test_a_page_that_changed_its_language_looks_at_an_alert_once(held_centre: Centre, sign_in: SignIn) -> None:
    raised = alert(50_081)
    page, other = sign_in("kim"), sign_in("lee")
    shown(page, held_centre, raised)
    for language in ("ko", "en", "ko", "en"):
        page.click(".menu summary")
        page.select_option(".menu select >> nth=0", language)
        page.wait_for_selector(f"html[lang={language}] .next.claim")
    before = views_of(held_centre, "kim").count(raised.decision.decision_id)
    wait_for(other, raised.alert_id)
    open_alert(other, raised.alert_id)
    other.keyboard.press("c")
    page.wait_for_selector(".next.theirs")
    page.evaluate("() => fetch('/api/me')")
    assert views_of(held_centre, "kim").count(raised.decision.decision_id) - before == 1


def clock_of(text: str) -> datetime:
    """The time of day that a text names."""
    found = re.search(r"\d\d:\d\d:\d\d", text)
    assert found is not None
    return datetime.strptime(found[0], "%H:%M:%S")  # noqa: DTZ007 - only compared with another of its kind


def test_an_address_that_is_none_does_no_harm_and_the_clock_is_the_console_s(
    held_centre: Centre, sign_in: SignIn
) -> None:
    cable = Cable(int(held_centre.url.rpartition(":")[2]))
    try:
        page = sign_in("kim", url=cable.url)
        page.evaluate("() => { location.hash = 'queue/%E0%A4%A'; }")  # an error on the page fails the test
        page.wait_for_selector(".detail .nothing")
        page.add_init_script("{ const real = Date.now; Date.now = () => real() + 3 * 3_600_000; }")
        page.reload()
        page.wait_for_selector(".dot.live")
        page.wait_for_selector(".clock:not(:empty)")
        cable.cut()
        page.wait_for_selector("#notice.lost")
        since, now = (clock_of(page.inner_text(place)) for place in ("#notice", ".clock"))
        assert now - since < timedelta(minutes=1)
    finally:
        cable.close()


def test_a_clock_that_is_a_day_ahead_calls_nothing_expired_though_no_news_came_yet(
    held_centre: Centre, sign_in: SignIn
) -> None:
    raised = alert(50_095)
    page = sign_in("kim")
    shown(page, held_centre, raised)
    page.add_init_script("{ const real = Date.now; Date.now = () => real() + 86_400_000; }")
    page.route("**/api/stream**", lambda _: None)
    page.reload()
    page.wait_for_selector(".detail .next")
    assert page.locator(".next.claim").count() == 1


def test_a_clock_that_is_put_back_ends_no_session_under_who_writes(sign_in: SignIn) -> None:
    page = sign_in("kim")
    with page.expect_response("**/api/ping"):
        page.keyboard.press("Shift")
    page.evaluate("""() => {
      const [clock, run] = [Date.now.bind(Date), performance.now.bind(performance)];
      Date.now = () => clock() - 86_400_000;
      performance.now = () => run() + 61_000;
    }""")
    with page.expect_request("**/api/ping"):
        page.keyboard.press("Shift")


def test_what_is_of_another_day_is_told_with_its_date_and_a_title_that_hears_of_nothing_says_so(
    held_centre: Centre, sign_in: SignIn
) -> None:
    raised = alert(50_096, minutes_left=3 * 24 * 60)
    cable = Cable(int(held_centre.url.rpartition(":")[2]))
    try:
        page = sign_in("kim", url=cable.url)
        shown(page, held_centre, raised)
        at = raised.decision.lodged_at - timedelta(hours=23, minutes=55)
        filed = record(result_on(raised, "clear", inspected_at=at, officer="lee"), DESK)
        filed.timestamp -= 24 * 3_600_000 + 5 * 60_000
        held_centre.aside(lambda: held_centre.border.lodge("inspection-results", [filed]))
        page.wait_for_selector(".next.over")
        assert re.search(r"Filed at [A-Z][a-z]{2} \d+, [\d:]{8}\. Nothing found", page.inner_text(".next"))
        page.wait_for_function("() => !document.title.startsWith('(?)')")
        cable.cut()
        page.wait_for_selector("#notice.lost")
        page.wait_for_function("() => document.title === '(?) Queue · borderflow'")
        assert re.search(r"since \d\d:\d\d:\d\d\.", page.inner_text("#notice"))
        page.evaluate("() => { window.borderflow.live.skew += 86_400_000; }")  # the night passes
        page.wait_for_function("() => /since [A-Z][a-z]{2} \\d+, /.test(document.getElementById('notice').innerText)")
    finally:
        cable.close()


def test_in_many_tabs_of_one_browser_only_those_that_are_seen_hold_a_connection(
    held_centre: Centre, sign_in: SignIn
) -> None:
    tabs = [sign_in("kim")]
    for _ in range(7):  # a browser has six connections to one address
        tabs[-1].evaluate(TURNED_TO, False)
        tabs.append(tabs[0].context.new_page())
        tabs[-1].goto(held_centre.url)
        tabs[-1].wait_for_selector(".dot.live")
    raised = alert(50_092)
    held_centre.raise_alerts([raised])
    wait_for(tabs[-1], raised.alert_id)
    assert not tabs[0].evaluate("(id) => window.borderflow.live.rows.has(id)", raised.alert_id)
    tabs[0].evaluate(TURNED_TO, True)
    wait_for(tabs[0], raised.alert_id)
    tabs[0].wait_for_selector(".dot.live")


def test_on_a_telephone_the_focus_follows_into_an_alert_and_back(held_centre: Centre, sign_in: SignIn) -> None:
    raised = alert(50_091)
    page = sign_in("kim", width=360, height=740)
    held_centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    page.focus("#list")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".detail .next")
    focused = "() => document.activeElement.id || document.activeElement.className.split(' ')[0]"
    assert page.evaluate(focused) == "detail"
    page.click(".back")
    page.wait_for_selector(".row")
    assert page.evaluate(focused) == "list"


def test_a_new_alert_of_priority_1_is_in_the_title_and_said_on_every_place(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page = sign_in("kim")
    page.click("[data-place=day]")
    page.wait_for_selector(".tiles")
    raised = alert(50_101, minutes_left=20, layer="mandatory")
    assert raised.priority == 1
    held_centre.raise_alerts([raised, alert(50_102)])
    page.wait_for_selector("#toasts[aria-live] .toast:has-text('Priority 1: Inspect parcel from CN')")
    page.wait_for_function("() => /^\\(\\d+\\) Day · borderflow$/.test(document.title)")
    assert page.locator(".toast").count() == 1
