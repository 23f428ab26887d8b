"""Who may use the console: users with a role and control points, in a file, passwords as Argon2id hashes.

The file is read again when it changes, so a user who is removed or gets another password is out at the next request.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Meta

if TYPE_CHECKING:
    from streams.console.sessions import Session

log = structlog.get_logger("borderflow.console")

Role = Literal["officer", "analyst", "supervisor", "wall"]
EVERYWHERE = "*"
LEAST_PASSWORD = 10
"""Characters that a password has at least."""

_HASHER = PasswordHasher()  # Argon2id with the parameters of RFC 9106 that the library recommends
_NOBODY = _HASHER.hash("nobody has this password")
_CHECKS = 2
"""Passwords are checked so many at a time: each takes 64 MB, and a thread that what officers press needs too."""


class AccountsError(ValueError):
    """The file of users cannot be used; the message names the file and what is wrong with it."""


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One person. `control_points` holds `*` for all. `password` is a hash, empty for who comes through a proxy."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    role: Role
    control_points: Annotated[tuple[str, ...], Meta(min_length=1)]
    password: str = ""

    @property
    def everywhere(self) -> bool:
        """Whether all control points are this user's."""
        return EVERYWHERE in self.control_points

    def serves(self, *control_points: str | None) -> bool:
        """Whether any of these control points is one of this user's."""
        return self.everywhere or any(point in self.control_points for point in control_points)

    @property
    def handles(self) -> bool:
        """Whether this user claims alerts, files results and sees names."""
        return self.role in ("officer", "supervisor")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    users: tuple[User, ...] = ()


class Accounts:
    """The users of one file, or those given (`extra`: the demo's)."""

    def __init__(self, path: Path | None, extra: tuple[User, ...] = ()) -> None:
        """Read the file. Raises `AccountsError`; later a file that cannot be read changes nothing."""
        self._path = path
        self._extra = {user.name: user for user in extra}
        self._stamp: tuple[int, int] | None = None
        self._users: dict[str, User] = {}
        self._checks = asyncio.Semaphore(_CHECKS)
        self._refresh()

    def find(self, name: str) -> User | None:
        """A user by name."""
        self._refresh()
        return self._users.get(name)

    def still(self, session: Session) -> User | None:
        """The user of a session; None when they have another password or role than when it began."""
        user = self.find(session.user)
        same = user is not None and (user.password, user.role) == (session.password, session.role)
        return user if same else None

    async def check(self, name: str, password: str) -> User | None:
        """The user of this name, when the password is theirs. An unknown name takes as long as a wrong password."""
        user = self.find(name)
        held = user.password if user is not None and user.password else _NOBODY
        async with self._checks:
            good = await asyncio.to_thread(_fits, held, password)
        return user if good and user is not None and user.password else None

    def _refresh(self) -> None:
        if self._path is None:
            self._users = self._extra
            return
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)  # two writings may have one time
        except FileNotFoundError:
            stamp = (0, 0)
        if stamp == self._stamp:
            return
        try:
            users = read_users(self._path)
        except (AccountsError, OSError) as error:
            if self._stamp is None:
                raise
            if isinstance(error, AccountsError):
                self._stamp = stamp  # somebody is writing it, or wrote it wrong: it is read again when it changes
            log.error("the file of users cannot be read; those it had before stay", file=str(self._path))
            return
        self._stamp = stamp
        self._users = {**{user.name: user for user in users}, **self._extra}


def hashed(password: str) -> str:
    """The Argon2id hash of a password. Raises `AccountsError` for a short one."""
    if len(password) < LEAST_PASSWORD:
        raise AccountsError(f"a password needs at least {LEAST_PASSWORD} characters")
    return _HASHER.hash(password)


def read_users(path: Path) -> tuple[User, ...]:
    """The users of a file, none when there is no file. Raises `AccountsError`."""
    try:
        users = msgspec.json.decode(path.read_bytes(), type=_File).users
    except FileNotFoundError:
        return ()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AccountsError(f"{path}: {error}") from None
    names = [user.name for user in users]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise AccountsError(f"{path}: {twice} stands in it twice")
    return users


def write_users(path: Path, users: tuple[User, ...]) -> None:
    """Replace the file in one step, readable by its owner alone."""
    text = msgspec.json.format(msgspec.json.encode(_File(users)), indent=2) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, written = tempfile.mkstemp(dir=path.parent, prefix=".users-")
    try:
        with os.fdopen(handle, "wb") as file:  # mkstemp: mode 0600
            file.write(text)
        os.replace(written, path)
    except BaseException:
        Path(written).unlink(missing_ok=True)
        raise


def _fits(held: str, password: str) -> bool:
    try:
        return _HASHER.verify(held, password)
    except (VerificationError, InvalidHashError):
        return False
