"""The console's pages: signing in and out, and the files of the page, which are read once and sent from memory."""

from __future__ import annotations

import gzip
from hashlib import sha256
from importlib import resources
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from streams.console.accounts import User
from streams.console.api import add_api
from streams.console.guard import COOKIE, SESSION, Guard, body_of
from streams.console.server import Console
from streams.console.sessions import Limiter

_TYPES: Final = {
    "html": "text/html", "css": "text/css", "js": "text/javascript", "json": "application/json", "svg": "image/svg+xml",
}  # fmt: skip
_PUBLIC: Final = ("login.css", "login.js", "icon.svg")
"""What the login page needs, below /login."""


class Files:
    """The files below `static`, in memory, as they are and compressed, with their entity tags."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[bytes, bytes, str]] = {}
        root = resources.files("streams.console").joinpath("static")
        for folder, prefix in ((root, ""), (root.joinpath("i18n"), "i18n/")):
            for file in folder.iterdir():
                if file.is_file():
                    data = file.read_bytes()
                    tag = f'W/"{sha256(data).hexdigest()[:16]}"'  # weak: one for both forms
                    self._held[prefix + file.name] = (data, gzip.compress(data, mtime=0), tag)

    def answer(self, name: str, request: web.Request | None = None) -> web.Response:
        """A file. Raises 404 when there is none of the name."""
        held = self._held.get(name)
        if held is None:
            raise web.HTTPNotFound(text="there is no such page\n")
        data, packed, tag = held
        kind = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        if request is None:
            return web.Response(body=data, content_type=kind, charset="utf-8")
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            data, headers["Content-Encoding"] = packed, "gzip"
        return web.Response(body=data, content_type=kind, charset="utf-8", headers=headers)


def build_application(console: Console) -> web.Application:
    """The application of a console; nothing is bound."""
    files = Files()
    guard = Guard(console.settings, console.accounts, console.sessions, lambda: files.answer("login.html"))
    app = web.Application(middlewares=[guard.middleware], client_max_size=64 * 1024)
    # Guesses at one name from one address; at all names from it; at a name from anywhere, so wide that who guesses from
    # a few addresses cannot keep its owner out.
    here, address, everywhere = Limiter(1 / 15, burst=8), Limiter(1 / 5, burst=40), Limiter(1.0, burst=200)
    # Lines about guesses that were turned away: who is not signed in fills no disk, and pushes nothing out of sight.
    noted = Limiter(1 / 60, burst=8)

    async def home(_request: web.Request) -> web.Response:
        return files.answer("index.html")

    async def static(request: web.Request) -> web.Response:
        return files.answer(request.match_info["name"], request)

    async def login_page(request: web.Request) -> web.Response:
        # Behind a proxy nobody can sign in here: whom it names is in again. Elsewhere a page whose session ended may be
        # of a user who has signed in anew in another tab.
        if guard.through_proxy or (request.query.get("refused") == "ended" and signed_in(request)):
            raise web.HTTPFound("/")
        return files.answer("login.html")

    def signed_in(request: web.Request) -> bool:
        session = console.sessions.find(request.cookies.get(COOKIE, ""), active=False)
        return session is not None and console.accounts.still(session) is not None

    async def login_file(request: web.Request) -> web.Response:
        if request.match_info["name"] not in _PUBLIC:
            raise web.HTTPNotFound(text="there is no such page\n")
        return files.answer(request.match_info["name"], request)

    async def login(request: web.Request) -> web.Response:
        if guard.through_proxy:
            raise web.HTTPForbidden(text="people sign in at the proxy\n")
        said = await _form(request)
        name, password = said.get("user", "")[:64], said.get("password", "")[:1024]
        attempts = (here, f"{request.remote} {name}"), (address, str(request.remote)), (everywhere, name)
        if not all(limit.allows(key) for limit, key in attempts):
            if noted.allows(str(request.remote)):
                await console.note("", "", "sign-in-limited")
            raise web.HTTPFound("/login?refused=often")
        user = await console.accounts.check(name, password)
        if user is None:
            known = name if console.accounts.find(name) else ""  # what was typed may be a password
            await console.note(known, "", "sign-in-refused")
            raise web.HTTPFound("/login?refused=1")
        return await enter(user, "signed-in", *attempts)

    async def one_time(request: web.Request) -> web.Response:
        attempt = address, str(request.remote)
        if not address.allows(attempt[1]):
            raise web.HTTPFound("/login?refused=often")
        name = console.sessions.redeem(request.match_info["token"])
        user = console.accounts.find(name) if name is not None else None
        if user is None:
            raise web.HTTPFound("/login?refused=used")
        return await enter(user, "signed-in-once", attempt)

    async def enter(user: User, what: str, *attempts: tuple[Limiter, str]) -> web.Response:
        for limit, key in attempts:  # a shift that begins behind one address is not an attack
            limit.give_back(key)
        session = console.sessions.open(user.name, user.password, user.role)
        await console.note(user.name, session.mark, what)
        response = web.Response(status=303, headers={"Location": "/"})
        guard.give_cookie(response, session)
        return response

    async def logout(request: web.Request) -> web.Response:
        session = request[SESSION]
        console.sessions.end(session.token)
        await console.note(session.user, session.mark, "signed-out")
        response = web.json_response({})
        response.del_cookie(COOKIE, path="/")
        return response

    app.router.add_get("/", home)
    app.router.add_get("/static/{name:[a-z0-9/.-]+}", static)
    app.router.add_get("/login", login_page)
    app.router.add_post("/login", login)
    app.router.add_get("/login/once/{token}", one_time)
    app.router.add_get("/login/{name}", login_file)
    app.router.add_post("/logout", logout)
    add_api(app, console, guard)
    return app


async def _form(request: web.Request) -> dict[str, str]:
    text = (await body_of(request)).decode(errors="replace")
    try:
        return dict(parse_qsl(text, max_num_fields=8))
    except ValueError:
        raise web.HTTPBadRequest(text="expected the form of the sign-in page\n") from None
