"""The console's gate: who gets in, for how long, how often, and whom it believes. No broker is needed for any of it."""

from __future__ import annotations

import asyncio
import io
import json
import resource
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web
from aiohttp.test_utils import TestClient, TestServer
from msgspec import structs
from multidict import CIMultiDict

from streams.console.accounts import Accounts, AccountsError, User, hashed, read_users, write_users
from streams.console.guard import COOKIE
from streams.console.pages import build_application
from streams.console.server import Console, check_listening, raise_file_limit, runner_of
from streams.console.sessions import LONGEST_S, ONE_TIME_S, Limiter, Sessions
from streams.settings import Settings, SettingsError

PASSWORD = "a password of these tests"  # noqa: S105 - of no use anywhere else
SECRET = hashed(PASSWORD)
KIM = User(name="kim", role="officer", control_points=("KRICN-EXP",), password="")

Visit = Callable[[TestClient], Awaitable[None]]  # type: ignore[type-arg]  # aiohttp's client of any request


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def visit(tmp_path: Path, what: Visit, users: tuple[User, ...], **settings: str) -> list[dict[str, object]]:
    """Run `what` against a console that follows nothing; the lines of its audit trail."""
    trail = tmp_path / "trail.jsonl"

    async def run() -> None:
        console = Console(Settings(console_trail_file=str(trail), **settings), users)  # type: ignore[arg-type]
        async with TestClient(TestServer(build_application(console))) as client:
            await what(client)
        await console.stop()

    asyncio.run(run())
    return [json.loads(line)["entry"] for line in trail.read_text().splitlines()]


def test_the_proxy_is_believed_from_its_own_address_only(tmp_path: Path) -> None:
    async def named(client: TestClient) -> None:  # type: ignore[type-arg]
        answer = await client.get("/api/me", headers={"X-User": "kim"})
        assert (answer.status, (await answer.json())["user"]) == (200, "kim")
        assert (await client.get("/api/me")).status == 401  # its cookie alone opens nothing
        assert (await client.get("/api/me", headers={"X-User": "nobody"})).status == 403
        assert (await client.post("/login", data={"user": "kim", "password": PASSWORD})).status == 403
        again = await client.get("/login?refused=ended", headers={"X-User": "kim"})  # where a page goes that was idle
        assert (again.status, again.url.path) == (200, "/")

    async def forged(client: TestClient) -> None:  # type: ignore[type-arg]
        assert (await client.get("/api/me", headers={"X-User": "kim"})).status == 401

    async def said_twice(client: TestClient) -> None:  # type: ignore[type-arg]
        both = CIMultiDict([("X-User", "kim"), ("X-User", "lee")])  # the client's word, and the proxy's beside it
        assert (await client.get("/api/me", headers=both)).status == 401

    visit(tmp_path, said_twice, (KIM,), console_proxy_header="X-User")
    visit(tmp_path, named, (KIM,), console_proxy_header="X-User")
    visit(tmp_path, forged, (KIM,), console_proxy_header="X-User", console_proxy_addresses="192.0.2.7")


def test_a_program_behind_the_proxy_that_keeps_no_cookie_does_not_fill_the_memory(tmp_path: Path) -> None:
    async def ask(client: TestClient) -> None:  # type: ignore[type-arg]
        told = [(await client.get("/api/me", headers={"X-User": "kim"})).status for _ in range(250)]
        assert told[:100] == [200] * 100  # the screens of a whole hall begin at once
        assert told.count(429) > 100

    visit(tmp_path, ask, (KIM,), console_proxy_header="X-User")


def test_a_whole_shift_signs_in_from_one_address(tmp_path: Path) -> None:
    async def shift(client: TestClient) -> None:  # type: ignore[type-arg]
        said = {"user": "kim", "password": PASSWORD}
        told = [await client.post("/login", data=said, allow_redirects=False) for _ in range(20)]
        assert {one.headers["Location"] for one in told} == {"/"}
        # Good ones make no room for guesses.
        wrong = [await client.post("/login", data=said | {"password": "x"}, allow_redirects=False) for _ in range(24)]
        assert [one.headers["Location"] for one in wrong[:8]] == ["/login?refused=1"] * 8
        assert "/login?refused=often" in {one.headers["Location"] for one in wrong}

    visit(tmp_path, shift, (User(name="kim", role="officer", control_points=("*",), password=hashed(PASSWORD)),))


def test_who_guesses_passwords_is_slowed_down_and_no_guess_is_written_down(tmp_path: Path) -> None:
    async def guess(client: TestClient) -> None:  # type: ignore[type-arg]
        told: list[str] = []
        while "/login?refused=often" not in told and len(told) < 40:  # a place becomes free every 15 seconds
            said = {"user": "kim" if told else PASSWORD, "password": f"guess {len(told)}"}
            answer = await client.post("/login", data=said, allow_redirects=False)
            told.append(answer.headers["Location"])
        assert told[:8] == ["/login?refused=1"] * 8
        assert told[-1] == "/login?refused=often"
        last = await client.post("/login", data={"user": "kim", "password": PASSWORD}, allow_redirects=False)
        assert last.headers["Location"] == "/login?refused=often"

    kim = User(name="kim", role="officer", control_points=("*",), password=hashed(PASSWORD))
    lines = visit(tmp_path, guess, (kim,))
    assert {line["what"] for line in lines} == {"sign-in-refused", "sign-in-limited"}
    assert "guess" not in json.dumps(lines)
    assert PASSWORD not in json.dumps(lines)  # not even when it was typed where the name belongs


def test_lists_of_names_cannot_be_tried_against_pseudonyms(tmp_path: Path) -> None:
    ann = User(name="ann", role="analyst", control_points=("*",), password=SECRET)

    async def try_names(client: TestClient) -> None:  # type: ignore[type-arg]
        await client.post("/login", data={"user": "ann", "password": PASSWORD})
        headers = {"X-CSRF-Token": (await (await client.get("/api/me")).json())["csrf"]}
        tried = [await client.post("/api/search", json={"text": f"M{n:08}"}, headers=headers) for n in range(80)]
        assert [one.status for one in tried[:60]] == [200] * 60
        assert tried[-1].status == 429

    assert sum(line["what"] == "search" for line in visit(tmp_path, try_names, (ann,))) < 80


def test_a_request_that_goes_wrong_is_told_by_its_place_and_not_by_what_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: io.StringIO
) -> None:
    def stumble(*_: object) -> None:
        raise KeyError("HONG GILDONG")

    async def search(client: TestClient) -> None:  # type: ignore[type-arg]
        await client.post("/login", data={"user": "kim", "password": PASSWORD})
        headers = {"X-CSRF-Token": (await (await client.get("/api/me")).json())["csrf"]}
        answer = await client.post("/api/search", json={"text": "HONG GILDONG"}, headers=headers)
        assert answer.status == 500
        assert "HONG" not in await answer.text()

    monkeypatch.setattr(Console, "find_decisions", stumble)
    visit(tmp_path, search, (User(name="kim", role="officer", control_points=("*",), password=SECRET),))
    assert "HONG" not in written.getvalue()
    assert "a request failed: KeyError at tests/unit/test_console_gate.py" in written.getvalue()


def test_guesses_from_many_addresses_take_neither_the_memory_nor_the_threads_of_what_officers_press(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, checking, most = threading.Event(), [], []

    def fits(_held: str, _password: str) -> bool:  # takes 64 MB for as long as it runs
        checking.append(1)
        most.append(len(checking))
        go_on.wait(10)
        checking.pop()
        return False

    monkeypatch.setattr("streams.console.accounts._fits", fits)

    async def run() -> None:
        accounts = Accounts(None)
        guesses = [asyncio.create_task(accounts.check("nobody", "a guess")) for _ in range(64)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            await asyncio.to_thread(lambda: None)  # as what is pressed is noted in the trail
        go_on.set()
        assert await asyncio.gather(*guesses) == [None] * 64

    asyncio.run(run())
    assert max(most) <= 2


def test_who_guesses_on_and_on_fills_no_trail(tmp_path: Path) -> None:
    async def guess(client: TestClient) -> None:  # type: ignore[type-arg]
        for _ in range(60):
            await client.post("/login", data={"user": "nobody", "password": "a guess"}, allow_redirects=False)

    told = [line["what"] for line in visit(tmp_path, guess, (KIM,))]
    assert told.count("sign-in-limited") < 12


def test_a_page_whose_session_ended_is_in_again_when_its_user_signed_in_in_another_tab(tmp_path: Path) -> None:
    kim = User(name="kim", role="officer", control_points=("*",), password=SECRET)

    async def look(client: TestClient) -> None:  # type: ignore[type-arg]
        ended = "/login?refused=ended"
        assert (await client.get(ended, allow_redirects=False)).status == 200
        await client.post("/login", data={"user": "kim", "password": PASSWORD})
        answer = await client.get(ended, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (302, "/")
        assert (await client.get("/login", allow_redirects=False)).status == 200  # somebody else may sign in over it

    visit(tmp_path, look, (kim,))


def test_a_page_that_has_the_token_of_another_session_is_told_so(tmp_path: Path) -> None:
    kim = User(name="kim", role="officer", control_points=("*",), password=SECRET)

    async def act(client: TestClient) -> None:  # type: ignore[type-arg]
        tokens = []
        for _ in range(2):
            await client.post("/login", data={"user": "kim", "password": PASSWORD})
            tokens.append((await (await client.get("/api/me")).json())["csrf"])
        old = await client.post("/api/ping", headers={"X-CSRF-Token": tokens[0]})
        assert (old.status, await old.json()) == (403, {"error": "token"})
        assert "default-src 'none'" in old.headers["Content-Security-Policy"]
        assert (await client.post("/api/ping", headers={"X-CSRF-Token": tokens[1]})).status == 204

    visit(tmp_path, act, (kim,))


def test_who_guesses_at_a_name_does_not_keep_its_owner_out_nor_others_at_the_same_address(tmp_path: Path) -> None:
    kim, lee = (User(name=name, role="officer", control_points=("*",), password=SECRET) for name in ("kim", "lee"))

    async def run() -> None:
        console = Console(Settings(console_trail_file=str(tmp_path / "trail.jsonl")), (kim, lee))
        async with TestServer(build_application(console)) as server:

            async def signs_in(name: str, password: str, address: str) -> str:
                connector = TCPConnector(local_addr=(address, 0))
                async with ClientSession(connector=connector) as client:
                    said = {"user": name, "password": password}
                    answer = await client.post(server.make_url("/login"), data=said, allow_redirects=False)
                    return answer.headers["Location"]

            guesses = [await signs_in("kim", "a guess", "127.0.0.77") for _ in range(12)]
            assert guesses[-1] == "/login?refused=often"
            assert await signs_in("kim", PASSWORD, "127.0.0.5") == "/"
            assert await signs_in("lee", PASSWORD, "127.0.0.77") == "/"
        await console.stop()

    asyncio.run(run())


def test_another_password_ends_the_sessions_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "users.json"

    def kim(password: str) -> User:
        return User(name="kim", role="officer", control_points=("*",), password=hashed(password))

    lee = User(name="lee", role="officer", control_points=("*",), password=hashed(PASSWORD))
    write_users(path, (kim(PASSWORD), lee))

    async def sign_in(client: TestClient, user: str, password: str) -> dict[str, str]:  # type: ignore[type-arg]
        answer = await client.post("/login", data={"user": user, "password": password}, allow_redirects=False)
        client.session.cookie_jar.clear()  # each request says whose it is
        return {"Cookie": f"{COOKIE}={answer.cookies[COOKIE].value}"}

    async def change(client: TestClient) -> None:  # type: ignore[type-arg]
        old, other = await sign_in(client, "kim", PASSWORD), await sign_in(client, "lee", PASSWORD)
        stream = await client.get("/api/stream", headers=old)
        assert stream.status == 200
        write_users(path, (kim("a new password"), lee))
        assert b"event: ended" in await asyncio.wait_for(stream.content.read(), 60)
        for _ in range(2):
            assert (await client.get("/api/me", headers=old)).status == 401
        new = await sign_in(client, "kim", "a new password")
        assert [(await client.get("/api/me", headers=one)).status for one in (new, other)] == [200, 200]
        write_users(path, (lee,))
        assert (await client.get("/api/me", headers=new)).status == 401

    visit(tmp_path, change, (), console_users_file=str(path))


def test_every_answer_carries_the_policy_that_lets_in_no_other_site_and_no_inline_script(tmp_path: Path) -> None:
    async def look(client: TestClient) -> None:  # type: ignore[type-arg]
        for path in ("/", "/login", "/api/me", "/nowhere"):
            policy = (await client.get(path)).headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy

    visit(tmp_path, look, (KIM,))


def test_the_files_of_the_page_travel_compressed_to_who_takes_that_and_once(tmp_path: Path) -> None:
    async def read(client: TestClient) -> None:  # type: ignore[type-arg]
        plain = await client.get("/login/login.js", headers={"Accept-Encoding": "identity"})
        packed = await client.get("/login/login.js", headers={"Accept-Encoding": "gzip, br"})
        assert await plain.read() == await packed.read()  # the client unpacks it
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
        again = await client.get("/login/login.js", headers={"If-None-Match": packed.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")

    visit(tmp_path, read, (KIM,))


async def unfinished(port: int, said: bytes) -> bytes:
    """The first line that the console answers to a request that never ends; nothing when it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    answer = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    return answer


def test_a_request_that_never_ends_does_not_keep_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.console.server._SILENT_S", 0.1)
    monkeypatch.setattr("streams.console.guard._BODY_S", 0.1)

    async def run() -> None:
        settings = Settings(console_trail_file=str(tmp_path / "trail.jsonl"))
        console = Console(settings, (KIM,))
        runner = runner_of(build_application(console), settings)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        assert await unfinished(port, b"") == b""
        assert await unfinished(port, b"POST /login HTTP/1.1\r\nHost: x\r\n") == b""
        headers = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nuser"
        assert (await unfinished(port, headers)).startswith(b"HTTP/1.1 408 ")
        await runner.cleanup()
        await console.stop()

    asyncio.run(run())


def test_a_console_holds_more_connections_than_services_are_given_files_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1024
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nfoo"),
        ("multipart/form-data", b"--x"),
        ("application/x-www-form-urlencoded; charset=nope", b"user=a&password=b"),
        ("application/x-www-form-urlencoded", b"user=\xff&password=\xff"),
        ("application/x-www-form-urlencoded", b"user=%ED%A0%80&password=%ED%A0%80"),
        ("application/json", b"[" * 30_000),
    ],
)
def test_what_is_no_form_signs_nobody_in(tmp_path: Path, kind: str, body: bytes) -> None:
    async def post(client: TestClient) -> None:  # type: ignore[type-arg]
        said = await client.post("/login", data=body, headers={"Content-Type": kind}, allow_redirects=False)
        assert (said.status, said.headers["Location"]) == (302, "/login?refused=1")
        many = await client.post("/login", data="&".join(f"a{n}=b" for n in range(99)), allow_redirects=False)
        assert many.status == 400

    visit(tmp_path, post, (KIM,))


def test_a_session_ends_when_idle_and_after_a_shift_and_watching_the_queue_is_not_activity() -> None:
    clock = Clock()
    sessions = Sessions(600.0, clock)
    token = sessions.open("kim").token
    clock.now += 599
    assert sessions.find(token, active=False) is not None  # the stream's own look
    clock.now += 2
    assert sessions.find(token) is None
    token, began = sessions.open("kim").token, clock.now
    while sessions.find(token) is not None:
        clock.now += 500
    assert LONGEST_S < clock.now - began <= LONGEST_S + 500


def test_a_page_that_asks_by_itself_is_idle_and_one_at_which_somebody_is_is_not(tmp_path: Path) -> None:
    clock = Clock()

    async def run() -> None:
        console = Console(Settings(console_trail_file=str(tmp_path / "trail.jsonl")), (KIM,))
        console.sessions = Sessions(600.0, clock)
        async with TestClient(TestServer(build_application(console))) as client:
            session = console.sessions.open("kim")
            assert (await client.post("/api/ping")).status == 401
            client.session.cookie_jar.update_cookies({COOKIE: session.token})
            for _ in range(3):
                clock.now += 500
                ping = await client.post("/api/ping", headers={"X-CSRF-Token": session.csrf})
                assert ping.status == 204
            assert (await client.post("/api/ping")).status == 403
            clock.now += 500
            assert {(await client.get(path)).status for path in ("/api/day", "/api/me")} == {200}
            clock.now += 101
            assert (await client.get("/api/day")).status == 401
        await console.stop()

    asyncio.run(run())


def test_a_screen_on_the_wall_stays_signed_in_while_it_shows_something() -> None:
    clock = Clock()
    sessions = Sessions(600.0, clock)
    screen, officer = (sessions.open("w", "", role).token for role in ("wall", "officer"))
    for _ in range(2 * int(LONGEST_S / 500)):
        clock.now += 500
        assert sessions.find(screen, active=False) is not None
    assert sessions.find(officer) is None
    clock.now += 601
    sessions.open("kim")
    assert len(sessions) == 1


def test_a_screen_on_the_wall_opens_nothing_and_another_role_is_another_session(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    screen = User(name="hall", role="wall", control_points=("*",), password=SECRET)
    write_users(path, (screen,))

    async def look(client: TestClient) -> None:  # type: ignore[type-arg]
        await client.post("/login", data={"user": "hall", "password": PASSWORD})
        me = await (await client.get("/api/me")).json()
        assert (me["role"], me["handles"]) == ("wall", False)
        assert (await client.get("/api/day")).status == 200
        for asked in ("/api/alerts/a-1", "/api/alerts/a-1/lodgement", "/api/decisions/0/0", "/api/trail"):
            assert (await client.get(asked)).status == 403
        for acted in ("/api/search", "/api/alerts/a-1/claim", "/api/alerts/a-1/result", "/api/criteria/C/feedback"):
            assert (await client.post(acted, json={}, headers={"X-CSRF-Token": me["csrf"]})).status == 403
        write_users(path, (structs.replace(screen, role="officer"),))
        assert (await client.get("/api/me")).status == 401

    visit(tmp_path, look, (), console_users_file=str(path))


def test_a_one_time_address_opens_one_session_and_not_for_ever() -> None:
    clock = Clock()
    sessions = Sessions(600.0, clock)
    once, old = sessions.one_time("kim"), sessions.one_time("kim")
    assert [sessions.redeem(once), sessions.redeem(once)] == ["kim", None]
    clock.now += ONE_TIME_S + 1
    assert sessions.redeem(old) is None


def test_a_limit_lets_through_what_it_says_and_recovers() -> None:
    clock = Clock()
    limit = Limiter(per_s=1.0, burst=3.0, clock=clock)
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    clock.now += 1
    assert [limit.allows("a"), limit.allows("a")] == [True, False]


def test_a_user_who_is_taken_out_of_the_file_is_out_and_the_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    write_users(path, (User(name="kim", role="officer", control_points=("*",), password=hashed(PASSWORD)),))
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text()
    assert read_users(path)[0].password.startswith("$argon2id$")
    accounts = Accounts(path)
    assert asyncio.run(accounts.check("kim", PASSWORD)) is not None
    assert asyncio.run(accounts.check("kim", "another password")) is None
    assert asyncio.run(accounts.check("lee", PASSWORD)) is None
    write_users(path, ())
    assert accounts.find("kim") is None
    with pytest.raises(AccountsError, match="at least"):
        hashed("short")


def test_a_half_written_file_of_users_changes_nobody_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    write_users(path, (User(name="kim", role="officer", control_points=("*",), password=SECRET),))
    whole = path.read_bytes()
    accounts = Accounts(path)
    for text in (whole[:40], b"", b'{"users": [{"name": 7}]}'):
        path.write_bytes(text)
        assert accounts.find("kim") is not None
        with pytest.raises(AccountsError):
            Accounts(path)
    path.write_bytes(whole.replace(b"kim", b"lee"))
    assert accounts.find("lee") is not None
    assert accounts.find("kim") is None


def test_a_file_of_users_that_could_not_be_opened_is_read_as_soon_as_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    write_users(path, (User(name="kim", role="officer", control_points=("*",), password=SECRET),))
    accounts = Accounts(path)
    write_users(path, ())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert accounts.find("kim") is not None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert accounts.find("kim") is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "console.example"])  # noqa: S104 - refused
def test_beyond_this_machine_the_console_wants_tls_or_a_proxy(host: str) -> None:
    with pytest.raises(SettingsError, match="not loopback"):
        check_listening(Settings(console_host=host))
    check_listening(Settings(console_host=host, console_proxy_header="X-User"))
