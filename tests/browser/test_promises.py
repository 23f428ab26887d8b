"""What the console promises: nothing missed or doubled, nothing slow, nothing open, nothing executed; for everybody."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest

from schemas.casework import AlertClaimed
from schemas.decisions import Reason
from schemas.items import CriterionHit
from schemas.knowledge import CriterionPublished
from tests.border import parcel as filtered_parcel
from tests.browser.cable import Cable
from tests.browser.centre import DESK, Centre, alert, centre
from tests.browser.conftest import SignIn
from tests.browser.test_queue import open_alert, wait_for
from tests.integration.border import parcel, record_of
from tests.integration.harbour import PATIENCE_S, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.broker, pytest.mark.timeout(400)]

SCRIPT = "<img src=x onerror='window.owned=1'><script>window.owned=1</script>\"'"
DRAWN = "() => document.getAnimations().every((one) => one.playState === 'finished')"
FRAMES = """async () => {
  const list = document.getElementById("list");
  const end = performance.now() + 2000;
  let frames = 0;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    list.scrollTop = (list.scrollTop + 400) % (list.scrollHeight - list.clientHeight);
    frames += 1;
  }
  return frames / 2;
}"""


# -- nothing missed, nothing twice


def test_500_alerts_of_half_a_minute_without_a_connection_are_there_once(held_centre: Centre, sign_in: SignIn) -> None:
    cable = Cable(int(held_centre.url.rpartition(":")[2]))
    try:
        page = sign_in("kim", url=cable.url)
        cable.cut()
        page.wait_for_selector(".dot.lost")
        raised = [alert(number) for number in range(10_000, 10_500)]
        began = time.monotonic()
        held_centre.raise_alerts(raised)
        held_centre.raise_alerts(raised[:50])  # redelivered, as after a crash
        page.wait_for_timeout(max(0.0, 30.0 - (time.monotonic() - began)) * 1000)
        assert "connection" in page.inner_text("#notice").lower()
        cable.mend()
        page.wait_for_selector(".dot.live")
        ids = [one.alert_id for one in raised]
        page.wait_for_function("(ids) => ids.every((id) => window.borderflow.live.rows.has(id))", arg=ids)
        held = page.evaluate("() => [...window.borderflow.live.rows.values()].map((row) => row.id)")
        assert sorted(one for one in held if one in set(ids)) == sorted(ids)
    finally:
        cable.close()


def test_a_console_that_hears_nothing_of_the_brokers_says_so_and_since_when(
    held_centre: Centre, sign_in: SignIn
) -> None:
    page, pressed = sign_in("kim"), alert(11_002)
    held_centre.raise_alerts([pressed])
    wait_for(page, pressed.alert_id)
    open_alert(page, pressed.alert_id)
    page.wait_for_selector(".next.claim")
    with held_centre.mute_broker():
        page.wait_for_selector(".dot.stale")
        assert re.search(r"Since \d\d:\d\d:\d\d.* heard nothing from the brokers", page.inner_text("#notice"))
        page.keyboard.press("c")
        page.wait_for_selector(".toast.bad:has-text('The brokers do not answer')")
    page.wait_for_selector(".dot.live")
    page.wait_for_selector(".next.claim")
    assert not page.inner_text("#notice")
    raised = alert(11_000)
    held_centre.raise_alerts([raised])
    page.wait_for_function("(id) => window.borderflow.live.rows.has(id)", arg=raised.alert_id)


def test_an_empty_queue_says_when_the_latest_item_was_decided(held_centre: Centre, sign_in: SignIn) -> None:
    page = sign_in("kim")
    held_centre.publish("decisions", [alert(11_001).decision])
    page.fill(".left input[type=search]", "no alert has this text")
    page.wait_for_selector(".decided:text('The latest item of all was decided at')")


# -- nothing slow


def test_5000_open_alerts_scroll_at_30_frames_a_second(held_centre: Centre, sign_in: SignIn) -> None:
    held_centre.raise_alerts([alert(number) for number in range(20_000, 25_000)])
    page = sign_in("kim")
    page.wait_for_function("() => window.borderflow.live.rows.size >= 5000")
    page.wait_for_selector("[id^=row-]")
    measured: list[float] = []
    while max(measured, default=0) < 30 and len(measured) < 20:  # what else runs on the machine takes frames away
        measured.append(page.evaluate(FRAMES))
    print(f"frames a second: {', '.join(f'{one:.0f}' for one in measured)}")  # noqa: T201 - a measured figure
    assert page.locator(".row").count() < 100  # only what is seen is in the page
    assert max(measured) >= 30


# -- nothing open


def routes() -> list[tuple[str, str]]:
    """Every route that the console has, as its source says."""
    source = "".join(path.read_text() for path in (ROOT / "streams" / "console").glob("*.py"))
    found = re.findall(r"add_(get|post)\(\"([^\"]+)\"", source)
    return [(method.upper(), re.sub(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", "1", path)) for method, path in found]


def answer_of(url: str, method: str = "GET", **headers: str) -> int:
    """The status of a request."""
    try:
        with urlopen(Request(url, b"{}" if method == "POST" else None, headers, method=method), timeout=60) as page:  # noqa: S310 - the console of this test
            return int(page.status)
    except HTTPError as error:
        return error.code


def test_without_a_session_every_route_but_login_is_refused(held_centre: Centre) -> None:
    asked = routes()
    assert ("POST", "/api/alerts/1/result") in asked
    assert len(asked) >= 18
    for method, path in asked:
        status = answer_of(held_centre.url + path, method)
        if path.startswith("/login"):
            assert status in (200, 403, 404), path
        else:
            assert status in (401, 403), path
    for path in ("/api/", "/nowhere", "/static/../accounts.py", "/.env"):
        assert answer_of(held_centre.url + path) in (401, 403), path


def test_an_action_without_the_session_s_token_or_from_another_site_is_refused(
    held_centre: Centre, sign_in: SignIn
) -> None:
    raised = alert(30_001)
    page = sign_in("kim")
    held_centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    path = f"/api/alerts/{raised.alert_id}/claim"
    status = page.evaluate("(path) => fetch(path, {method: 'POST', body: '{}'}).then((a) => a.status)", path)
    assert status == 403
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    headers = {"Cookie": f"{cookie['name']}={cookie['value']}"}
    assert answer_of(held_centre.url + path, "POST", **headers, Origin="https://elsewhere.example") == 403


def test_an_officer_sees_no_other_control_point_and_an_analyst_no_names(held_centre: Centre, sign_in: SignIn) -> None:
    elsewhere = alert(30_101, control_point="KRPUS-SEA")
    mine = alert(30_102)
    held_centre.publish("alerts", [elsewhere], key="KRPUS-SEA")
    held_centre.raise_alerts([mine])
    officer, analyst = sign_in("kim"), sign_in("ana")
    wait_for(analyst, elsewhere.alert_id, mine.alert_id)
    wait_for(officer, mine.alert_id)
    status = officer.evaluate("(id) => fetch(`/api/alerts/${id}`).then((a) => a.status)", elsewhere.alert_id)
    assert status == 403
    told = "(id) => fetch(`/api/alerts/${id}`).then((a) => a.text())"
    assert "A CONSIGNEE" in officer.evaluate(told, mine.alert_id)
    assert "A CONSIGNEE" not in analyst.evaluate(told, mine.alert_id)


# -- nothing executed


def test_script_in_every_free_text_field_shows_as_text(held_centre: Centre, sign_in: SignIn) -> None:
    code = "<img src=x onerror=owned=1>"
    made = filtered_parcel(
        30_201,
        at=datetime.now(UTC).replace(microsecond=0),
        criteria=(CriterionHit(criterion_id="CR-XSS", version=1, title=SCRIPT, action="direct", category=code),),
    )
    assert made.item.cargo is not None
    goods = msgspec.structs.replace(made.item.cargo.goods, description=SCRIPT)
    cargo = msgspec.structs.replace(
        made.item.cargo, consignee_name=SCRIPT, shipper_name=SCRIPT, carrier=code, bill=code, goods=goods
    )
    made = msgspec.structs.replace(made, item=msgspec.structs.replace(made.item, cargo=cargo))
    reasons = (Reason(code="criterion", text=SCRIPT), Reason(code=code, text=SCRIPT, weight=0.4))
    raised = msgspec.structs.replace(alert(30_201, filtered=made, reasons=reasons), headline=SCRIPT)
    published = CriterionPublished(
        criterion_id="CR-XSS", version=1, title=SCRIPT, streams=("express-cargo",), condition='hs4 == "8517"',
        action="direct", valid_from=datetime(2020, 1, 1, tzinfo=UTC), author=SCRIPT,
    )  # fmt: skip
    held_centre.publish("criteria", [published], key="CR-XSS")
    held_centre.raise_alerts([raised])
    page = sign_in("kim")
    wait_for(page, raised.alert_id)
    open_alert(page, raised.alert_id)
    page.keyboard.press("c")
    page.wait_for_selector(".outcomes")
    page.keyboard.press("1")
    page.fill("#note", SCRIPT)
    page.click("button.primary.clear")
    page.wait_for_selector(".next.undo")
    shown = page.inner_text(".detail")
    assert shown.count("<img src=x onerror=") >= 5
    page.evaluate("() => { location.hash = 'search'; }")
    page.fill("input[type=search]", SCRIPT)
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert page.evaluate("() => window.owned") is None
    assert page.locator("img[src=x]").count() == 0


# -- for everybody


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "wall"), (390, "dark")])
def test_no_page_has_a_barrier_that_axe_finds(
    held_centre: Centre, sign_in: SignIn, browser: Browser, width: int, theme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
    raised, theirs = alert(31_000 + width, minutes_left=16), alert(31_010 + width, minutes_left=15.5)
    held_centre.raise_alerts([raised, theirs])
    at = datetime.now(UTC)
    claim = AlertClaimed(
        claim_id=f"cl-{theirs.alert_id}", decision_id=theirs.decision.decision_id, control_point=DESK, officer="lee",
        claimed_at=at, until=at + timedelta(hours=1),
    )  # fmt: skip
    held_centre.publish("casework", [claim])
    # The page's own policy lets nobody's script in, so the examiner is let in by the browser.
    page = sign_in("sup", width=width, bypass_csp=True)
    page.evaluate("(theme) => localStorage.setItem('theme', theme)", theme)
    page.reload()
    wait_for(page, raised.alert_id)
    page.wait_for_selector(".row.theirs")
    found: dict[str, Any] = {}

    def examine(name: str) -> None:
        page.wait_for_function(DRAWN)
        for one in axe.run(page, options=rules).response["violations"]:
            found[f"{name}: {one['id']}"] = [node["target"] for node in one["nodes"]][:3]

    examine("queue")
    page.click(".filters summary")
    examine("filters")
    page.click(".filters summary")
    open_alert(page, raised.alert_id)
    page.keyboard.press("c")
    page.wait_for_selector(".outcomes")
    page.keyboard.press("3")
    examine("alert")
    for place, there in (("day", ".tiles"), ("search", "#search"), ("trail", "tbody tr")):
        page.evaluate("(place) => { location.hash = place; }", place)
        page.wait_for_selector(there)
        examine(place)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    page.goto(f"{held_centre.url}/login")
    page.context.clear_cookies()
    page.goto(f"{held_centre.url}/login")
    page.wait_for_selector("#password")
    examine("login")
    assert not found, json.dumps(found, indent=1)


def test_the_page_speaks_korean_and_every_word_is_in_both_catalogues(held_centre: Centre, sign_in: SignIn) -> None:
    folder = ROOT / "streams" / "console" / "static" / "i18n"
    english, korean = (json.loads((folder / f"{name}.json").read_text()) for name in ("en", "ko"))
    assert english.keys() == korean.keys()
    fields = re.compile(r"\{(\w+)\}")
    differing = [key for key in english if set(fields.findall(english[key])) != set(fields.findall(korean[key]))]
    assert not differing
    page = sign_in("kim", locale="ko-KR", timezone_id="Asia/Seoul")
    assert page.get_attribute("html", "lang") == "ko"
    assert korean["place.queue"] in page.inner_text("nav")
    raised = alert(31_500)
    held_centre.raise_alerts([raised])
    wait_for(page, raised.alert_id)
    open_alert(page, raised.alert_id)
    page.wait_for_selector(".detail .next")
    seoul = raised.deadline + timedelta(hours=9)
    assert f"{seoul:%H:%M}" in page.inner_text(".detail")


# -- the loop


@pytest.fixture(scope="module")
def working_centre(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    """A centre with a worker behind it."""
    with centre(tmp_path_factory.mktemp("working-centre"), worker=True) as running:
        yield running


def test_a_seizure_filed_here_moves_the_model_and_is_a_reason_for_the_subject_s_next_item(
    working_centre: Centre, sign_in: SignIn, tmp_path: Path
) -> None:
    listed = tmp_path / "watchlist.yaml"
    listed.write_text(
        "entry_id: WL-9\nversion: 1\nkind: watchlist\nstreams: [express-cargo]\n"
        'party_identifiers: ["P000000007"]\nvalid_from: "2020-01-01T00:00:00Z"\n'
    )
    working_centre.border.run("risk-info", "publish", str(listed))
    page = sign_in("sup", url=working_centre.url)
    first = lodged(working_centre, 9001)
    opened(page, first)
    before = model_version(page)
    page.keyboard.press("c")
    page.wait_for_selector(".outcomes")
    page.keyboard.press("3")
    page.click(".ticks label:has-text('Drugs')")
    page.click("button.primary.seizure")
    page.wait_for_selector(".next.undo")
    until = time.monotonic() + PATIENCE_S
    while learnt(working_centre) < 0 or model_version(page) <= before:
        assert time.monotonic() < until, "nothing was learnt"
        page.wait_for_timeout(500)
    second = lodged(working_centre, 9002)
    opened(page, second)
    assert "1 seizure in 1 inspection" in page.inner_text(".reasons")


def model_version(page: Page) -> int:
    """What the day's page shows."""
    return int(page.evaluate("() => fetch('/api/day').then((a) => a.json()).then((day) => day.model_version)"))


def learnt(at: Centre) -> float:
    """The offset up to which the worker has learnt from results; -1 when there were none."""
    return at.border.counted("worker-1", "borderflow_follower_offset").get('{topic="labelled-examples"}', -1.0)


def lodged(at: Centre, number: int) -> str:
    """Lodge a parcel for the listed consignee now; its waybill."""
    now = datetime.now(UTC).replace(microsecond=0)
    made = parcel(number, 7, lodged_at=now, eta=now + timedelta(hours=8), control_point=DESK)
    at.aside(lambda: at.border.lodge("express-cargo", [record_of(made, made.waybill, now)]))
    return made.waybill


def opened(page: Page, waybill: str) -> None:
    """Open the alert of a parcel."""
    found = page.wait_for_function(
        "(ref) => [...window.borderflow.live.rows.values()].find((row) => row.ref.includes(ref))?.id",
        arg=waybill,
        timeout=PATIENCE_S * 1000,
    )
    open_alert(page, str(found.json_value()))
