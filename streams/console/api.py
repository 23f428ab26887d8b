"""What the page asks of the console, as JSON. What shows personal data or changes something is in the trail first."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from schemas.casework import CriterionFeedbackGiven
from schemas.codec import Undecodable, codec_for
from streams.console.accounts import User
from streams.console.cases import Case
from streams.console.day import centres_day
from streams.console.detail import detail_of
from streams.console.filing import RefusedError, id_of
from streams.console.guard import COOKIE, SESSION, USER, Guard, body_of, only
from streams.console.reading import UnreadError, as_read, without_personal_fields
from streams.console.server import Console
from streams.console.sessions import Limiter
from streams.console.traffic import MOST_FOUND
from streams.wire import Record

_LODGED: Final = ("manifests", "express-cargo", "passengers")
_RESULT_FIELDS: Final = (
    "method", "outcome", "categories", "severity", "quantity", "quantity_unit", "reason", "passed_to", "note",
)  # fmt: skip
_TRAIL_LINES: Final = 200
_TRAIL_LINE: Final = 2_048
"""More bytes than a line of the trail has: of a trail of years its end is read, and nobody waits for the rest."""
_STREAMS: Final = 64
"""Event streams that one user may hold: desks, and the screens of a whole hall that share a user."""


def add_api(app: web.Application, console: Console, guard: Guard) -> None:
    """Add the routes below /api."""
    api = Api(console, guard)
    acting = only("officer", "supervisor")
    reading = only("officer", "supervisor", "analyst")
    route = app.router
    route.add_get("/api/me", api.me)
    route.add_get("/api/stream", api.stream)
    route.add_post("/api/ping", api.ping)
    route.add_get("/api/alerts/{alert}", reading(api.alert))
    route.add_get("/api/alerts/{alert}/lodgement", reading(api.lodgement))
    route.add_post("/api/alerts/{alert}/claim", acting(api.claim))
    route.add_post("/api/alerts/{alert}/give-up", acting(api.give_up))
    route.add_post("/api/alerts/{alert}/result", acting(api.result))
    route.add_post("/api/alerts/{alert}/undo", acting(api.undo))
    route.add_post("/api/criteria/{criterion}/feedback", reading(api.feedback))
    route.add_get("/api/day", api.day)
    route.add_post("/api/search", reading(api.search))
    route.add_get("/api/decisions/{partition:[0-9]{1,4}}/{offset:[0-9]{1,18}}", reading(api.decision))
    route.add_get("/api/trail", only("supervisor")(api.trail))


class Api:
    """The handlers."""

    def __init__(self, console: Console, guard: Guard) -> None:
        self._console = console
        self._guard = guard
        self._streams: dict[str, list[web.Request]] = {}  # by user, the oldest first
        # Whoever searches learns which pseudonym a name has: as fast as people look, not as fast as lists are tried.
        self._searches = Limiter(per_s=0.2, burst=60.0)

    async def me(self, request: web.Request) -> web.Response:
        """Who is signed in, and what the page needs to know of the installation."""
        user, console = request[USER], self._console
        points = {
            name: {"title": held.title or name, "streams": list(held.streams), "mine": user.serves(name)}
            for name, held in console.policy.control_points.items()
        }
        return _json(
            {
                "user": user.name, "role": user.role, "handles": user.handles, "csrf": request[SESSION].csrf,
                "points": points, "policy": console.policy.version, "proxy": self._guard.through_proxy,
                "simulated": console.settings.console_simulated_time, "now": _now_ms(),
            }
        )  # fmt: skip

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The live queue (streams/console/feed.py)."""
        user, token = request[USER], request.cookies.get(COOKIE, "")
        after = request.query.get("after") or request.headers.get("Last-Event-ID", "")
        response = web.StreamResponse(
            headers={**self._guard.headers(), "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)

        def still() -> User | None:
            session = self._console.sessions.find(token, active=False)
            return None if session is None else self._console.accounts.still(session)

        held = self._streams.setdefault(user.name, [])
        held.append(request)
        # The newest is let in: old ones may be of lines that broke, which takes a quarter of an hour to be noticed.
        if len(held) > _STREAMS and (oldest := held.pop(0).transport) is not None:
            oldest.abort()
        try:
            with contextlib.suppress(ConnectionResetError):  # the page left
                await self._console.feed.serve(response, user, after or "", still)
        finally:
            if request in held:
                held.remove(request)
        return response

    async def ping(self, _request: web.Request) -> web.Response:
        """Keys are pressed or a pointer moves: somebody is there. It is the request that counts (see `Guard`)."""
        return web.Response(status=204)

    async def alert(self, request: web.Request) -> web.Response:
        """One alert in full."""
        case = self._case(request)
        await self._note(request, "alert-viewed", decision=case.decision_id)
        return _json(self._detail(request, case))

    async def lodgement(self, request: web.Request) -> web.Response:
        """The item of an alert as it was lodged, as far as its type knows the fields."""
        case = self._case(request)
        origin = msgspec.json.decode(case.raw)["decision"]["origin"]
        await self._note(request, "lodgement-viewed", decision=case.decision_id)
        return await self._lodged(request, origin)

    async def claim(self, request: web.Request) -> web.Response:
        """Claim an alert."""
        case = self._case(request)
        await self._note(request, "claim", decision=case.decision_id)
        return await self._done(request, case, self._console.desk.claim(case, request[USER].name))

    async def give_up(self, request: web.Request) -> web.Response:
        """Let go of an alert; supervisors also of somebody else's."""
        case, user = self._case(request), request[USER]
        await self._note(request, "give-up", decision=case.decision_id)
        giving = self._console.desk.give_up(case, user.name, any_claim=user.role == "supervisor")
        return await self._done(request, case, giving)

    async def result(self, request: web.Request) -> web.Response:
        """File what became of an alert."""
        case, said = self._case(request), await _body(request)
        fields: dict[str, Any] = {name: said[name] for name in _RESULT_FIELDS if name in said}
        once = _request_of(said)
        await self._note(request, "result", decision=case.decision_id, outcome=str(fields.get("outcome", ""))[:16])
        return await self._done(request, case, self._console.desk.report(case, request[USER].name, fields, once))

    async def undo(self, request: web.Request) -> web.Response:
        """Take one's own result back."""
        case = self._case(request)
        await self._note(request, "undo", decision=case.decision_id)
        return await self._done(request, case, self._console.desk.withdraw(case, request[USER].name))

    async def feedback(self, request: web.Request) -> web.Response:
        """Tell the author of a criterion what it does."""
        user, said = request[USER], await _body(request)
        point = str(said.get("cp", ""))
        if not user.serves(point) or point not in self._console.policy.control_points:
            raise _refused(RefusedError(422, "field", field="cp", why="unknown-code"))
        fields = {
            "event": "CriterionFeedbackGiven",
            "feedback_id": id_of("fb", user.name, request.match_info["criterion"], _request_of(said)),
            "criterion_id": request.match_info["criterion"],
            "criterion_version": said.get("version"),
            "control_point": point,
            "verdict": said.get("verdict"),
            "given_at": datetime.now(UTC),
            "decision_id": said.get("decision") or None,
            "officer": user.name,
            "note": said.get("note") or None,
        }
        await self._note(request, "feedback", criterion=request.match_info["criterion"][:96])
        try:
            kept = {name: value for name, value in fields.items() if value is not None}
            event: CriterionFeedbackGiven = codec_for("casework").decode(msgspec.json.encode(kept))
            await self._console.desk.tell_author(event)
        except Undecodable as error:
            raise _refused(
                RefusedError(422, "field", field=error.field, why=error.reason, detail=error.detail)
            ) from None
        except RefusedError as error:
            raise _refused(error) from None
        return _json({})

    async def day(self, request: web.Request) -> web.Response:
        """The centre's day."""
        console = self._console
        console.learning.forget_before(_now_ms() - 86_400_000)
        return _json(
            centres_day(
                console.traffic, console.learning, console.criteria.latest, console.capacity_of, _now_ms(),
                request[USER].serves,
            )
        )  # fmt: skip

    async def search(self, request: web.Request) -> web.Response:
        """Recent decisions on a waybill, manifest, consignee or document. Posted: names belong in no address."""
        text = str((await _body(request)).get("text", "")).strip()[:200]
        if len(text) < 3:
            return _json({"found": [], "searched": False})
        if not self._searches.allows(request[USER].name):
            raise web.HTTPTooManyRequests(text="too many searches\n", headers={"Retry-After": "5"})
        found = self._console.find_decisions(text, request[USER])
        await self._note(request, "search", found=len(found))
        for one in found:
            case = self._console.cases.on(one["decision_id"])
            one["alert"] = case.alert_id if case is not None else None
        kept, more = len(self._console.traffic), len(found) == MOST_FOUND
        return _json({"found": found, "searched": True, "kept": kept, "more": more})

    async def decision(self, request: web.Request) -> web.Response:
        """One decision as it was made, with the item as it was lodged."""
        partition, offset = int(request.match_info["partition"]), int(request.match_info["offset"])
        record = await self._record("decisions", partition, offset)
        decision = as_read(record) if record is not None else None
        if decision is None:
            raise web.HTTPNotFound(text="the record is gone from its topic\n")
        if not request[USER].serves(decision.get("control_point")):
            raise _refused(RefusedError(403, "other-point"))
        await self._note(request, "decision-viewed", decision=str(decision.get("decision_id", ""))[:96])
        criteria = [self._console.criteria.text(one, None) for one in decision.get("criteria", ())]
        lodged = await self._read_lodged(request, decision["origin"])
        return _json({"decision": decision, "criteria": criteria, "lodgement": lodged})

    async def trail(self, _request: web.Request) -> web.Response:
        """The latest lines of the audit trail, newest first."""
        lines = _last_lines(self._console.trail_path)
        return _json({"lines": [msgspec.json.decode(line) for line in reversed(lines)]})

    # -- shared

    def _case(self, request: web.Request) -> Case:
        case = self._console.cases.find(request.match_info["alert"])
        if case is None:
            raise web.HTTPNotFound(text="there is no such alert, or its time is long over\n")
        if not request[USER].serves(*case.seen_by):
            raise _refused(RefusedError(403, "other-point"))
        return case

    def _detail(self, request: web.Request, case: Case) -> dict[str, Any]:
        console = self._console
        return detail_of(case, request[USER], console.cases, console.learning, console.criteria, _now_ms())

    async def _done(self, request: web.Request, case: Case, action: Any) -> web.Response:
        try:
            await action
        except RefusedError as error:
            raise _refused(error) from None
        return _json(self._detail(request, case))

    async def _lodged(self, request: web.Request, origin: dict[str, Any]) -> web.Response:
        return _json({"lodgement": await self._read_lodged(request, origin)})

    async def _read_lodged(self, request: web.Request, origin: dict[str, Any]) -> Any:
        topic = str(origin.get("topic"))
        if topic not in _LODGED:
            return None
        record = await self._record(topic, origin["partition"], origin["offset"])
        document = as_read(record, origin.get("index", 0)) if record is not None else None
        return document if request[USER].handles else without_personal_fields(document, topic)

    async def _record(self, topic: str, partition: int, offset: int) -> Record | None:
        try:
            return await self._console.shelf.record(topic, partition, offset)
        except UnreadError:
            raise _refused(RefusedError(503, "unread")) from None

    async def _note(self, request: web.Request, what: str, **about: Any) -> None:
        await self._console.note(request[USER].name, request[SESSION].mark, what, **about)


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _refused(error: RefusedError) -> web.HTTPException:
    body = msgspec.json.encode({**error.about, "error": error.code})
    kinds = {403: web.HTTPForbidden, 409: web.HTTPConflict, 422: web.HTTPUnprocessableEntity}
    kind = kinds.get(error.status, web.HTTPServiceUnavailable)
    return kind(body=body, content_type="application/json")


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(await body_of(request) or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise web.HTTPBadRequest(text="expected JSON\n") from None
    if not isinstance(said, dict):
        raise web.HTTPBadRequest(text="expected a JSON object\n")
    return said


def _request_of(said: dict[str, Any]) -> str:
    """The page's id of a request, the same when it is sent again; one of its own for a page that gives none."""
    return str(said.get("request", ""))[:64] or secrets.token_hex(8)


def _last_lines(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        begin = max(0, file.seek(0, os.SEEK_END) - _TRAIL_LINES * _TRAIL_LINE)
        file.seek(begin)
        lines = file.read().splitlines()
    return lines[1 if begin else 0 :][-_TRAIL_LINES:]  # the first may be the rest of one


def _now_ms() -> int:
    return int(time.time() * 1000)
