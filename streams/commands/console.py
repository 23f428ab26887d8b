"""`borderflow console`: the border control centre's page, and who may use it."""

from __future__ import annotations

import asyncio
import dataclasses
import getpass
import secrets
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
from cyclopts import App, Parameter
from cyclopts.validators import Number

from streams.commands import CommandRefusedError, loud_stop
from streams.settings import Settings
from streams.stopping import told_to_stop_loop

if TYPE_CHECKING:
    from streams.console.accounts import Role, User
    from streams.console.server import Console

app = App(name="console", help="Serve the border control centre's page.")
users = App(name="users", help="Who may use the console.")
app.command(users)

ROLES = ("officer", "analyst", "supervisor", "wall")


@app.default
def console(
    *,
    port: Annotated[
        int | None,
        Parameter(help="Port to listen on; BORDERFLOW_CONSOLE_PORT unless given.", validator=Number(gte=0, lte=65_535)),
    ] = None,
    demo_users: Annotated[
        bool,
        Parameter(
            negative="", help="Officer, analyst and supervisor with a password made up now, and a one-time address."
        ),
    ] = False,
    announce: Annotated[
        Path | None,
        Parameter(help="Write the address to this file instead of the terminal."),
    ] = None,
    open_browser: Annotated[bool, Parameter(negative="", help="Open the address when there is a display.")] = False,
) -> int:
    """Serve until SIGTERM or Ctrl-C. All other settings come from BORDERFLOW_CONSOLE_* (docs/settings.md).

    Exit code 1 when it had to stop: brokers away, a topic that it could not follow. Start it again.
    """
    from streams.audit.chain import AuditError
    from streams.console.accounts import AccountsError, User, hashed
    from streams.console.server import serve
    from streams.logging import configure_logging
    from streams.reports.page import write_whole

    settings = Settings.from_environment()
    if port is not None:
        settings = dataclasses.replace(settings, console_port=port)
    configure_logging(settings.log_level)
    password = "-".join(secrets.token_hex(2) for _ in range(3))
    made_up: tuple[User, ...] = ()
    if demo_users:
        secret = hashed(password)
        made_up = tuple(User(name=role, role=role, control_points=("*",), password=secret) for role in _roles())
    elif not settings.console_proxy_header and not Path(settings.console_users_file).is_file():
        raise CommandRefusedError(
            f"BORDERFLOW_CONSOLE_USERS_FILE: there are no users in {settings.console_users_file}: "
            "borderflow console users add NAME --role officer --control-points KRICN-EXP"
        )

    async def told(running: Console, bound: int) -> None:
        scheme = "https" if settings.console_tls_cert_file else "http"
        address = f"{scheme}://{settings.console_host}:{bound}/"
        lines = [f"console: {address}"]
        if demo_users:
            once = f"{address}login/once/{running.sessions.one_time('supervisor')}"
            lines = [once, f"or {address} as officer, analyst or supervisor with the password {password}"]
            address = once
        if announce is not None:
            write_whole(announce, "".join(f"{line}\n" for line in lines).encode(), private=True)
        else:
            print(*lines, sep="\n", flush=True)  # noqa: T201 - the command's answer
        if open_browser and _display():
            await asyncio.to_thread(webbrowser.open, address)

    log = structlog.get_logger("borderflow.console")

    async def run() -> int:
        return await serve(settings, told_to_stop_loop(log), told, made_up)

    try:
        with loud_stop(log, "the console stops"):
            return asyncio.run(run())
    except (AccountsError, AuditError) as error:
        raise CommandRefusedError(str(error)) from None


@users.command(name="list")
def list_users() -> None:
    """Show who may use the console."""
    for one in _held()[1]:
        print(f"{one.name:<24} {one.role:<11} {', '.join(one.control_points)}")  # noqa: T201 - the command's answer


@users.command
def add(
    name: str,
    *,
    role: Annotated[str, Parameter(help="officer, supervisor, analyst or wall.")],
    control_points: Annotated[str, Parameter(help="Control points, separated by commas; * for all.")],
    password_file: Annotated[
        Path | None, Parameter(help="File that holds the password; asked for in the terminal unless given.")
    ] = None,
    no_password: Annotated[
        bool, Parameter(negative="", help="For people whom a proxy signs in: without a password.")
    ] = False,
) -> None:
    """Add a user, or change one."""
    import msgspec

    from streams.console.accounts import EVERYWHERE, AccountsError, User, hashed, write_users
    from streams.topology import read_policy

    path, held = _held()
    if role not in ROLES:
        raise CommandRefusedError(f"--role: {role!r} is none of {', '.join(ROLES)}")
    points = tuple(point.strip() for point in control_points.split(",") if point.strip())
    known = read_policy(Settings.from_environment()).control_points
    for point in points:
        if point != EVERYWHERE and point not in known:
            raise CommandRefusedError(f"--control-points: {point!r} is not in the policy; there are {', '.join(known)}")
    try:
        secret = "" if no_password else hashed(_password(password_file))
        fields = {"name": name, "role": role, "control_points": points, "password": secret}
        user = msgspec.convert(fields, User)
    except (AccountsError, msgspec.ValidationError) as error:
        raise CommandRefusedError(str(error)) from None
    write_users(path, (*(one for one in held if one.name != name), user))


@users.command
def remove(name: str) -> None:
    """Remove a user; their sessions end with the next request."""
    from streams.console.accounts import write_users

    path, held = _held()
    if all(one.name != name for one in held):
        raise CommandRefusedError(f"{path}: there is no user {name}")
    write_users(path, tuple(one for one in held if one.name != name))


def _held() -> tuple[Path, tuple[User, ...]]:
    from streams.console.accounts import AccountsError, read_users

    path = Path(Settings.from_environment().console_users_file)
    try:
        return path, read_users(path)
    except AccountsError as error:
        raise CommandRefusedError(str(error)) from None


def _password(file: Path | None) -> str:
    if file is not None:
        return file.read_text().rstrip("\n")
    if not sys.stdin.isatty():
        raise CommandRefusedError("--password-file: needed where there is no terminal to ask in")
    first = getpass.getpass("password: ")
    if getpass.getpass("again: ") != first:
        raise CommandRefusedError("the two passwords differ")
    return first


def _roles() -> tuple[Role, ...]:
    return ("officer", "analyst", "supervisor")


def _display() -> bool:
    import os

    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
