"""The console's gate: who is asking, whether they may, how often, and what browsers are told about the answer.

Everything but the login page is refused without a session (401), whatever the path; what changes something needs the
session's CSRF token besides a cookie that browsers send to this site alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

from streams.console.accounts import Accounts, Role, User
from streams.console.sessions import Limiter, Session, Sessions
from streams.defects import DefectError

if TYPE_CHECKING:
    from streams.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE: Final = "borderflow_session"
SESSION: Final = web.RequestKey("session", Session)
USER: Final = web.RequestKey("user", User)
PUBLIC: Final = ("/login",)
"""Paths, and what is below them, that need no session."""
_NO_TOKEN: Final = b'{"error":"token"}'
"""What the page is told whose token is of another session: it asks for that of this one and repeats the request."""
_BODY_S: Final = 20.0
"""A request's body is waited for so long."""

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def only(*roles: Role) -> Callable[[Handler], Handler]:
    """Refuse (403) who has none of these roles."""

    def decorate(handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if request[USER].role not in roles:
                raise web.HTTPForbidden(text="your role may not do this\n")
            return await handler(request)

        return guarded

    return decorate


class Guard:
    """The middleware. `sign_in_page` answers a browser that comes without a session."""

    def __init__(
        self, settings: Settings, accounts: Accounts, sessions: Sessions, sign_in_page: Callable[[], web.Response]
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._sign_in_page = sign_in_page
        self._proxy_header = settings.console_proxy_header
        self._proxies = {one.strip() for one in settings.console_proxy_addresses.split(",")}
        self._secure = bool(settings.console_tls_cert_file or settings.console_proxy_header)
        self._tls = bool(settings.console_tls_cert_file)
        self.requests = Limiter(per_s=20.0, burst=200.0)
        self._entries = Limiter(per_s=0.5, burst=100.0)

    @property
    def through_proxy(self) -> bool:
        """Whether a proxy signs people in."""
        return bool(self._proxy_header)

    def give_cookie(self, response: web.StreamResponse, session: Session) -> None:
        """Hand a session to the browser."""
        response.set_cookie(COOKIE, session.token, httponly=True, samesite="Strict", secure=self._secure, path="/")

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the request, answer it, and add the headers to any answer."""
        try:
            response = await self._answer(request, handler)
        except web.HTTPException as answer:
            answer.headers.update(self._told(answer.headers))
            raise
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # aiohttp logs its text, which may be about a person
            raise DefectError("a request failed", error) from None
        if not response.prepared:
            response.headers.update(self._told(response.headers))
        return response

    def headers(self) -> dict[str, str]:
        """What every answer carries; for handlers that send their headers themselves."""
        return {**_HEADERS, **({"Strict-Transport-Security": "max-age=31536000"} if self._tls else {})}

    def _told(self, given: object) -> dict[str, str]:
        return {name: value for name, value in self.headers().items() if name not in given}  # type: ignore[operator]

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        changes = request.method not in ("GET", "HEAD")
        if changes and not _same_origin(request):
            raise web.HTTPForbidden(text="this request comes from another site\n")
        if request.path in PUBLIC or request.path.startswith(tuple(f"{path}/" for path in PUBLIC)):
            return await handler(request)
        fresh: Session | None = None
        name = self._named_by_proxy(request)
        # Pages ask by themselves; what they post, they post because somebody does something.
        session = self._sessions.find(request.cookies.get(COOKIE, ""), active=changes)
        user = self._accounts.still(session) if session is not None else None
        if session is not None and user is None:
            self._sessions.end(session.token)
            session = None
        if name is not None and (session is None or session.user != name):
            user = self._accounts.find(name)
            if user is None:
                raise web.HTTPForbidden(text="this user may not use the console\n")
            if not self._entries.allows(name):  # a program that keeps no cookie has a new session with every request
                raise web.HTTPTooManyRequests(text="too many sessions\n", headers={"Retry-After": "5"})
            session = fresh = self._sessions.open(name, user.password, user.role)
        if session is None or user is None or (self._proxy_header and name is None):
            return self._unauthorised(request)
        if not self.requests.allows(session.token):
            raise web.HTTPTooManyRequests(text="too many requests\n", headers={"Retry-After": "5"})
        if changes and request.headers.get("X-CSRF-Token") != session.csrf:
            raise web.HTTPForbidden(body=_NO_TOKEN, content_type="application/json")
        request[SESSION], request[USER] = session, user
        response = await handler(request)
        if fresh is not None and not response.prepared:
            self.give_cookie(response, fresh)
        return response

    def _named_by_proxy(self, request: web.Request) -> str | None:
        """Who the proxy says is asking. One that lets what a client said stand beside its own word names nobody."""
        if not self._proxy_header or request.remote not in self._proxies:
            return None
        named = request.headers.getall(self._proxy_header, [])
        return named[0] or None if len(named) == 1 else None

    def _unauthorised(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/" and request.method == "GET":
            page = self._sign_in_page()
            page.set_status(401)
            return page
        raise web.HTTPUnauthorized(text="sign in first\n")


async def body_of(request: web.Request) -> bytes:
    """The body, which must not take for ever (408)."""
    try:
        async with asyncio.timeout(_BODY_S):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the request did not end in time\n") from None


def _same_origin(request: web.Request) -> bool:
    """Whether the request comes from a page of this site, as browsers say; programs say nothing and have no cookie."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host
