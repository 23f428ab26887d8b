"""What the console's addresses answer, to whom. No broker: what is sent is folded at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientPayloadError, ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition

from schemas.codec import encode
from schemas.decisions import AlertRaised
from schemas.documents import examples
from schemas.inspections import InspectionWithdrawn
from streams.console.accounts import Role, User, hashed
from streams.console.filing import Desk
from streams.console.following import Following
from streams.console.pages import build_application
from streams.console.reading import UnreadError
from streams.console.server import Console
from streams.partitioning import partition_of
from streams.settings import Settings
from streams.wire import FetchedRecord
from tests.border import result_on
from tests.browser.centre import DESK, PASSWORD, alert

HASH = hashed(PASSWORD)
THERE = "KRPUS-SEA"


class DeskAtHand(Desk):
    """A desk whose records come back at once."""

    async def _send(self, topic: str, key: str, event: msgspec.Struct, ce_id: str, at_ms: int) -> None:
        self._cases.fold(event, at_ms)


class Visitor:
    """A signed-in user of a console."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self._client = client
        self._csrf = ""

    async def sign_in(self, user: str) -> None:
        await self._client.post("/login", data={"user": user, "password": PASSWORD})
        self._csrf = (await self.get("/api/me"))["csrf"]

    async def status(self, path: str) -> int:
        return (await self._client.get(path)).status

    async def get(self, path: str) -> Any:
        return await (await self._client.get(path)).json()

    async def post(self, path: str, said: dict[str, Any] | None = None) -> Any:
        answer = await self._client.post(path, json=said or {}, headers={"X-CSRF-Token": self._csrf})
        assert answer.status == 200, await answer.text()
        return await answer.json()

    async def refused(self, path: str, said: dict[str, Any], status: int = 422) -> Any:
        answer = await self._client.post(path, json=said, headers={"X-CSRF-Token": self._csrf})
        assert answer.status == status, await answer.text()
        return await answer.json()

    async def stream(self) -> ClientResponse:
        """An event stream, open."""
        return await self._client.get("/api/stream")

    async def posted(self, path: str, body: bytes) -> int:
        """The status of the answer to these bytes."""
        return (await self._client.post(path, data=body, headers={"X-CSRF-Token": self._csrf})).status


class Office:
    """A console that follows nothing, and its visitors."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._clients: list[TestClient[Any, Any]] = []
        self._application = build_application(console)
        self._server = TestServer(self._application)

    async def visitor(self, user: str) -> Visitor:
        client = TestClient(self._server)
        self._clients.append(client)
        await client.start_server()
        visitor = Visitor(client)
        await visitor.sign_in(user)
        return visitor

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self.console.stop()


def user(name: str, role: Role, *points: str) -> User:
    return User(name=name, role=role, control_points=points, password=HASH)


def at_the_office(folder: Path, act: Callable[[Office], Awaitable[None]]) -> None:
    people = (user("kim", "officer", DESK), user("lee", "officer", THERE), user("ana", "analyst", "*"))
    people += (user("sup", "supervisor", "*"),)

    async def run() -> None:
        settings = Settings(console_trail_file=str(folder / "trail.jsonl"))
        console = Console(settings, people)
        console.desk = DeskAtHand(settings, console.cases, lambda _topic, _partition: 0)
        office = Office(console)
        try:
            await act(office)
        finally:
            await office.close()

    asyncio.run(run())


def test_who_files_on_an_alert_that_was_passed_on_sees_it_and_undoes_it(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        raised = alert(1)
        office.console.cases.raise_alert(raised, msgspec.json.encode(raised))
        path = f"/api/alerts/{raised.alert_id}"
        kim, lee = await office.visitor("kim"), await office.visitor("lee")
        assert await lee.status(path) == 403
        assert await lee.refused(f"{path}/claim", {}, 403) == {"error": "other-point"}
        await kim.post(f"{path}/claim")
        await kim.post(f"{path}/result", {"outcome": "passed-on", "method": "none", "passed_to": THERE})
        await lee.post(f"{path}/claim")
        filed = await lee.post(f"{path}/result", {"outcome": "clear", "method": "physical"})
        assert (filed["row"]["s"], filed["row"]["outBy"]) == ("filed", "lee")
        assert await lee.status(path) == 200
        undone = await lee.post(f"{path}/undo")
        assert (undone["row"]["s"], undone["row"]["to"], undone["row"]["toBy"]) == ("open", THERE, "kim")
        assert await lee.status(path) == 200

    at_the_office(tmp_path, act)


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [("clear", {"method": "physical"}), ("passed-on", {"method": "none", "passed_to": THERE})],
)
def test_who_files_a_changed_report_because_no_answer_came_is_told_that_the_first_one_arrived(
    tmp_path: Path, outcome: str, fields: dict[str, str]
) -> None:
    async def act(office: Office) -> None:
        raised = alert(1)
        office.console.cases.raise_alert(raised, msgspec.json.encode(raised))
        path = f"/api/alerts/{raised.alert_id}"
        kim = await office.visitor("kim")
        await kim.post(f"{path}/claim")
        said = {"outcome": outcome, **fields, "request": "1"}
        for _ in range(2):  # the answer was lost, and the same is sent again
            assert (await kim.post(f"{path}/result", said))["row"]["outBy"] == "kim"
        changed = {**said, "note": "the seal was broken", "request": "2"}
        told = await kim.refused(f"{path}/result", changed, 409)
        assert told == {"error": "filed-before", "outcome": outcome}

    at_the_office(tmp_path, act)


def test_who_files_on_what_another_filed_is_told_who(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        raised = alert(1)
        office.console.cases.raise_alert(raised, msgspec.json.encode(raised))
        path = f"/api/alerts/{raised.alert_id}"
        kim, lee = await office.visitor("kim"), await office.visitor("lee")
        await kim.post(f"{path}/claim")
        await kim.post(f"{path}/result", {"outcome": "passed-on", "method": "none", "passed_to": THERE})
        await lee.post(f"{path}/claim")
        found = {"outcome": "clear", "method": "physical"}
        await lee.post(f"{path}/result", found)
        told = await kim.refused(f"{path}/result", found, 409)
        assert told == {"error": "already-filed", "by": "lee"}

    at_the_office(tmp_path, act)


def test_of_more_streams_than_a_user_may_hold_the_oldest_ends_and_nobody_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.console.api._STREAMS", 2)

    async def act(office: Office) -> None:
        kim, ana = await office.visitor("kim"), await office.visitor("ana")
        others = await ana.stream()
        first, *later = [await kim.stream() for _ in range(3)]
        with pytest.raises(ClientPayloadError):
            await first.content.read()
        office.console.cases.raise_alert(raised := alert(1), b"{}")
        await office.console.feed.changed()
        for stream in (others, *later):
            await stream.content.readuntil(raised.alert_id.encode())
        await office.console.feed.stop()

    at_the_office(tmp_path, act)


class ShelfAtHand:
    """Records that a test put there."""

    def __init__(self, **values: bytes) -> None:
        self._values = values

    async def record(self, topic: str, partition: int, offset: int) -> FetchedRecord | None:
        value = self._values.get(topic.replace("-", "_"))
        return None if value is None else FetchedRecord(topic, partition, offset, 0, b"key", value, [])


class ShelfOutOfReach:
    """Brokers that take too long."""

    async def record(self, topic: str, partition: int, offset: int) -> FetchedRecord | None:
        raise UnreadError


def with_more(value: bytes, *places: str) -> bytes:
    """The JSON with a field that no type knows at its top and at these places."""
    document = msgspec.json.decode(value)
    document["contact_name"] = "HONG GILDONG"
    for place in places:
        inner = document
        for name in place.split("."):
            inner = inner[int(name) if name.isdecimal() else name]
        inner["mobile_number"] = "010-1234"
    return msgspec.json.encode(document)


@pytest.mark.parametrize(
    ("topic", "example", "places", "kept"),
    [
        ("express-cargo", "maximal.json", ["consignee"], "EX7300112233"),
        ("manifests", "two-consignments-by-sea.json", ["consignments.0", "consignments.0.consignee"], "MSNU26KR0412"),
        ("passengers", "maximal.json", ["document"], "XX123-20260302-BKKICN"),
    ],
)
def test_what_no_type_knows_is_shown_to_nobody(
    tmp_path: Path, topic: str, example: str, places: list[str], kept: str
) -> None:
    raised = alert(1)
    origin = msgspec.structs.replace(raised.decision.origin, topic=topic, index=0)
    decision = msgspec.structs.replace(raised.decision, origin=origin)
    raised = msgspec.structs.replace(raised, decision=decision)

    async def act(office: Office) -> None:
        lodged = with_more(examples(topic, 1)[example], *places)
        made = with_more(encode(decision), "origin")
        office.console.shelf = ShelfAtHand(**{topic.replace("-", "_"): lodged, "decisions": made})  # type: ignore[assignment]
        office.console.cases.raise_alert(raised, with_more(encode(raised), "filtered.item.cargo"))
        path = f"/api/alerts/{raised.alert_id}"
        for name in ("ana", "kim"):
            visitor = await office.visitor(name)
            shown = await visitor.get(f"{path}/lodgement")
            assert kept in str(shown)
            for answer in (shown, await visitor.get("/api/decisions/0/0"), await visitor.get(path)):
                assert "HONG" not in str(answer)
                assert "010-1234" not in str(answer)
            if topic == "manifests":
                assert len(shown["lodgement"]["consignments"]) == 1

    at_the_office(tmp_path, act)


def test_a_record_that_the_brokers_are_slow_to_give_is_not_called_gone(tmp_path: Path) -> None:
    raised = alert(1)
    origin = msgspec.structs.replace(raised.decision.origin, topic="express-cargo")
    decision = msgspec.structs.replace(raised.decision, origin=origin)
    raised = msgspec.structs.replace(raised, decision=decision)

    async def act(office: Office) -> None:
        office.console.cases.raise_alert(raised, encode(raised))
        kim = await office.visitor("kim")
        for path in (f"/api/alerts/{raised.alert_id}/lodgement", "/api/decisions/0/0"):
            office.console.shelf = ShelfOutOfReach()  # type: ignore[assignment]
            assert (await kim.status(path), await kim.get(path)) == (503, {"error": "unread"})
        office.console.shelf = ShelfAtHand()  # type: ignore[assignment]
        assert await kim.get(f"/api/alerts/{raised.alert_id}/lodgement") == {"lodgement": None}

    at_the_office(tmp_path, act)


@pytest.mark.parametrize("place", ["0/9223372036854775808", f"0/{'9' * 5000}", "99999/0", "0/%D9%A3", "0/-1"])
def test_a_place_that_no_log_can_have_is_not_looked_for(tmp_path: Path, place: str) -> None:
    async def act(office: Office) -> None:
        office.console.shelf = ShelfOutOfReach()  # type: ignore[assignment]
        assert await (await office.visitor("ana")).status(f"/api/decisions/{place}") == 404

    at_the_office(tmp_path, act)


@pytest.mark.parametrize(
    "body",
    [b"[" * 30_000, b'{"outcome":' + b"[" * 20_000 + b"]" * 20_000 + b"}", b'{"text":"\xff"}', b"[]", b"text", b"\0"],
)
def test_what_is_no_json_object_is_refused_as_such(tmp_path: Path, body: bytes) -> None:
    raised = alert(1)

    async def act(office: Office) -> None:
        office.console.cases.raise_alert(raised, encode(raised))
        kim = await office.visitor("kim")
        for path in ("/api/search", f"/api/alerts/{raised.alert_id}/result", "/api/criteria/CR-1/feedback"):
            assert await kim.posted(path, body) == 400

    at_the_office(tmp_path, act)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [("quantity", -5, "out-of-bounds"), ("outcome", "lost", "unknown-code"), ("categories", [7], "wrong-type")],
)
def test_a_refused_result_says_which_field_and_why_in_words_that_the_page_has(
    tmp_path: Path, field: str, value: object, why: str
) -> None:
    raised = alert(1)

    async def act(office: Office) -> None:
        office.console.cases.raise_alert(raised, encode(raised))
        kim, path = await office.visitor("kim"), f"/api/alerts/{raised.alert_id}"
        await kim.post(f"{path}/claim")
        said = {"outcome": "seizure", "method": "physical", "categories": ["drugs"], "severity": 1, field: value}
        told = await kim.refused(f"{path}/result", said)
        assert (told["field"].partition("[")[0], told["why"]) == (field, why)
        assert str(value) not in told["detail"]
        cleared = await kim.refused(f"{path}/result", {"outcome": "clear", "method": "none"})
        assert (cleared["field"], cleared["why"]) == ("method", "missing-field")

    at_the_office(tmp_path, act)


def test_claim_stands_after_a_passing_on_by_a_clock_that_is_ahead(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        raised, ahead_ms = alert(1), 5_000
        cases = office.console.cases
        case = cases.raise_alert(raised, msgspec.json.encode(raised))
        assert case is not None
        sent = datetime.now(UTC)
        passed_on = result_on(raised, "passed-on", method="none", passed_to=THERE, inspected_at=sent)
        cases.fold(passed_on, int(sent.timestamp() * 1000) + ahead_ms)
        lee = await office.visitor("lee")
        claimed = await lee.post(f"/api/alerts/{raised.alert_id}/claim")
        assert claimed["row"]["by"] == "lee"

    at_the_office(tmp_path, act)


def test_search_finds_own_decisions_on_a_consignee_who_is_busier_elsewhere(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        for number in range(240):
            decision = alert(number, control_point=DESK if number == 0 else THERE).decision
            subject = decision.subject if number % 2 else "c:1208155555"
            origin = msgspec.structs.replace(decision.origin, sent_ms=1000 + number)
            value = encode(msgspec.structs.replace(decision, subject=subject, origin=origin))
            office.console.traffic.take(FetchedRecord("decisions", 0, number, 0, b"key", value, []))

        async def found(name: str) -> list[tuple[str, int]]:
            visitor = await office.visitor(name)
            answer = await visitor.post("/api/search", {"text": "c:1208155555"})
            return [(one["cp"], one["offset"]) for one in answer["found"]]

        assert await found("kim") == [(DESK, 0)]
        assert await found("lee") == [(THERE, 238 - 2 * n) for n in range(100)]
        assert await found("ana") == await found("lee")

    at_the_office(tmp_path, act)


async def found_by(visitor: Visitor, text: str) -> list[str]:
    """The lodgements of the decisions that a search finds."""
    return sorted(one["lodgement"] for one in (await visitor.post("/api/search", {"text": text}))["found"])


def test_search_for_one_traveller_or_bill_finds_no_other_of_the_same_number(tmp_path: Path) -> None:
    lodged = [
        ("passengers/KE932/P1", "KE932/P1"), ("passengers/KE931/P1", "KE931/P1"), ("manifests/M-1/HB-7", "M-1"),
        ("manifests/M-2/HB-7", "M-2"), ("manifests/M-3/HB%2F8", "M-3"), ("express-cargo/W%2F9", "W/9"),
    ]  # fmt: skip

    async def act(office: Office) -> None:
        for number, (item_id, lodgement) in enumerate(lodged):
            made = alert(number).decision
            origin = msgspec.structs.replace(made.origin, lodgement_id=lodgement)
            value = encode(msgspec.structs.replace(made, item_id=item_id, origin=origin))
            office.console.traffic.take(FetchedRecord("decisions", 0, number, 0, b"key", value, []))
        ana = await office.visitor("ana")
        for text, found in (
            ("KE932/P1", ["KE932/P1"]), ("passengers/KE931/P1", ["KE931/P1"]), ("M-1/HB-7", ["M-1"]),
            ("manifests/M-2/HB-7", ["M-2"]), ("HB-7", ["M-1", "M-2"]), ("HB/8", ["M-3"]), ("M-3/HB%2F8", ["M-3"]),
            ("W/9", ["W/9"]), ("express-cargo/W%2F9", ["W/9"]), ("M-2", ["M-2"]), ("other/HB-7", []),
        ):  # fmt: skip
            assert await found_by(ana, text) == found, text

    at_the_office(tmp_path, act)


def test_a_search_says_when_there_may_be_more_than_it_shows(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        ana = await office.visitor("ana")
        for number in range(100):
            made = msgspec.structs.replace(alert(number).decision, subject="c:1208155555")
            office.console.traffic.take(FetchedRecord("decisions", 0, number, 0, b"key", encode(made), []))
            if number in (98, 99):
                told = await ana.post("/api/search", {"text": "c:1208155555"})
                assert (len(told["found"]), told["more"]) == (number + 1, number == 99)

    at_the_office(tmp_path, act)


def test_related_alerts_of_other_control_points_take_no_room_of_those_that_are_seen(tmp_path: Path) -> None:
    def of_one_consignee(number: int, point: str) -> AlertRaised:
        raised = alert(number, control_point=point, minutes_left=60 + number)
        item = raised.filtered.item
        assert item.cargo is not None
        cargo = msgspec.structs.replace(item.cargo, consignee="c:1")
        filtered = msgspec.structs.replace(raised.filtered, item=msgspec.structs.replace(item, cargo=cargo))
        return msgspec.structs.replace(raised, filtered=filtered)

    async def act(office: Office) -> None:
        mine = [of_one_consignee(number, DESK) for number in (0, 99)]
        for raised in (*mine, *(of_one_consignee(number, THERE) for number in range(1, 31))):
            office.console.cases.raise_alert(raised, encode(raised))
        kim = await office.visitor("kim")
        shown = await kim.get(f"/api/alerts/{mine[0].alert_id}")
        assert [one["row"]["id"] for one in shown["related"]] == [mine[1].alert_id]

    at_the_office(tmp_path, act)


def test_an_undo_that_came_after_a_correction_is_not_called_one(tmp_path: Path) -> None:
    class Overtaken(DeskAtHand):
        """A desk whose withdrawals come after a correction by another system."""

        async def _send(self, topic: str, key: str, event: msgspec.Struct, ce_id: str, at_ms: int) -> None:
            if isinstance(event, InspectionWithdrawn):
                at = datetime.now(UTC)
                corrected = result_on(raised, "clear", result_id="r-2", corrects=event.result_id, inspected_at=at)
                self._cases.fold(corrected, at_ms)
            await super()._send(topic, key, event, ce_id, at_ms)

    raised = alert(1)

    async def act(office: Office) -> None:
        console = office.console
        console.desk = Overtaken(console.settings, console.cases, lambda _topic, _partition: 0)
        console.cases.raise_alert(raised, encode(raised))
        kim, path = await office.visitor("kim"), f"/api/alerts/{raised.alert_id}"
        await kim.post(f"{path}/claim")
        await kim.post(f"{path}/result", {"outcome": "seizure", "method": "physical", "categories": ["drugs"]})
        assert await kim.refused(f"{path}/undo", {}, 409) == {"error": "not-undone"}
        assert (await kim.get(path))["row"]["out"] == "clear"

    at_the_office(tmp_path, act)


def test_what_is_pressed_while_brokers_are_silent_is_refused_and_takes_no_effect_later(tmp_path: Path) -> None:
    silent_s, sent = [11.0], []

    class Producer:
        """Takes what it is given, and never hears of it again."""

        async def send_and_wait(self, topic: str, value: bytes, **_: Any) -> None:
            sent.append(topic)
            raise KafkaConnectionError

        async def stop(self) -> None:
            """Nothing to stop."""

    raised = alert(1)

    async def act(office: Office) -> None:
        console = office.console
        console.desk = Desk(console.settings, console.cases, lambda _topic, _partition: 0, lambda *_: silent_s[0])
        console.desk._producer = Producer()
        console.cases.raise_alert(raised, encode(raised))
        kim, path = await office.visitor("kim"), f"/api/alerts/{raised.alert_id}/claim"
        assert (await kim.refused(path, {}, 503))["error"] == "silent"
        assert not sent
        silent_s[0] = 9.0
        assert (await kim.refused(path, {}, 503))["error"] == "brokers"
        assert sent == ["casework"]

    at_the_office(tmp_path, act)


def test_what_goes_to_a_broker_that_is_away_is_refused_although_the_others_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = TopicPartition("casework", partition_of(DESK, 6))
    silent: dict[TopicPartition, float | None] = {away: 30.0, TopicPartition("inspection-results", 0): None}
    monkeypatch.setattr("streams.console.following.silent_s", lambda _, at: silent.get(at, 0.1))
    following = Following(Settings(), {"casework": print, "inspection-results": print}, 0, failed=print)
    following.positions = {
        (topic, n): 0 for topic, count in (("casework", 6), ("inspection-results", 1)) for n in range(count)
    }
    assert following.silent_for_s("casework", DESK) == 0.0  # not begun
    following._consumer, following._task = "a consumer", "its task"  # type: ignore[assignment]
    near = next(point for point in (THERE, "KRICN-T1", "KRICN-T2") if partition_of(point, 6) != away.partition)
    said = {
        (topic, key): following.silent_for_s(topic, key)
        for topic in ("casework", "inspection-results")
        for key in (DESK, near)
    }
    assert said == {
        ("casework", DESK): 30.0, ("casework", near): 0.1,
        ("inspection-results", DESK): 0.0, ("inspection-results", near): 0.0,
    }  # fmt: skip


def test_of_a_long_trail_the_latest_lines_are_shown(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        sup = await office.visitor("sup")
        with office.console.trail_path.open("rb") as file:
            first = file.readline()
        for shown in (0, 3_000):
            with office.console.trail_path.open("ab") as file:
                file.writelines([first] * shown)
            lines = (await sup.get("/api/trail"))["lines"]
            assert len(lines) == (200 if shown else 1)
            assert {line["entry"]["what"] for line in lines} == {"signed-in"}

    at_the_office(tmp_path, act)
