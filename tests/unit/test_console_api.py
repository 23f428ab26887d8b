"""What the console's addresses answer, to whom. No broker: what is sent is folded at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer

from streams.console.accounts import Role, User, hashed
from streams.console.filing import Desk
from streams.console.pages import build_application
from streams.console.server import Console
from streams.settings import Settings
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


class Office:
    """A console that follows nothing, and its visitors."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._clients: list[TestClient[Any, Any]] = []
        self._application = build_application(console)
        self._server = TestServer(self._application)

    async def visitor(self, user: str) -> Visitor:
        client = TestClient(self._server, cookie_jar=CookieJar(unsafe=True))  # unsafe: of an address without a name
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
