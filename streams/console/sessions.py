"""Sessions of the console: who is signed in, for how long, and how often anybody may ask.

In memory: a restart signs everybody out, and nothing that could be stolen lies on a disk.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streams.console.accounts import Role

LONGEST_S: Final = 12 * 3600.0
"""A session ends after this, however busy it was: a shift and a little more."""
ONE_TIME_S: Final = 3600.0
"""A one-time address works within this after the start."""
_BUCKETS: Final = 10_000


@dataclass(slots=True)
class Session:
    """One signed-in browser. `csrf` must come back with every request that changes something.

    `password` is the hash of the user's password when it began, `role` their role: with others the session is over.
    """

    token: str
    user: str
    password: str = field(repr=False)
    role: Role
    csrf: str
    began: float
    seen: float

    @property
    def mark(self) -> str:
        """What the audit trail calls this session: enough to tell it from others, useless for getting in."""
        return sha256(self.token.encode()).hexdigest()[:12]


class Sessions:
    """Opens, finds and ends sessions. `idle_s` in which nobody did anything ends one.

    Nobody does anything at a screen on the wall: its session ends when it has shown nothing for so long.
    """

    def __init__(self, idle_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._idle_s = idle_s
        self._clock = clock
        self._open: dict[str, Session] = {}
        self._one_time: dict[str, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, user: str, password: str = "", role: Role = "officer") -> Session:
        """A new session for a user of this role whose password has this hash."""
        self._sweep()
        now = self._clock()
        session = Session(secrets.token_urlsafe(32), user, password, role, secrets.token_urlsafe(32), now, now)
        self._open[session.token] = session
        return session

    def find(self, token: str, *, active: bool = True) -> Session | None:
        """The open session of a token. `active` False looks without counting as activity."""
        session = self._open.get(token)
        if session is None:
            return None
        now = self._clock()
        if self._is_over(session, now):
            del self._open[token]
            return None
        if active or session.role == "wall":
            session.seen = now
        return session

    def end(self, token: str) -> None:
        """Sign out."""
        self._open.pop(token, None)

    def one_time(self, user: str) -> str:
        """A token that opens one session for `user`, once."""
        token = secrets.token_urlsafe(24)
        self._one_time[token] = (user, self._clock() + ONE_TIME_S)
        return token

    def redeem(self, token: str) -> str | None:
        """The user of a one-time token, which is worthless from then on."""
        user, until = self._one_time.pop(token, ("", 0.0))
        return user if user and self._clock() <= until else None

    def _sweep(self) -> None:
        now = self._clock()
        for token in [token for token, one in self._open.items() if self._is_over(one, now)]:
            del self._open[token]

    def _is_over(self, session: Session, now: float) -> bool:
        longest_s = math.inf if session.role == "wall" else LONGEST_S
        return now - session.seen > self._idle_s or now - session.began > longest_s


class Limiter:
    """Token buckets by key: `burst` at once, `per_s` after that."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, key: str, cost: float = 1.0) -> bool:
        """Take from the bucket of `key`; False when it is empty."""
        now = self._clock()
        left, at = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        allowed = left >= cost
        self._buckets[key] = (left - cost if allowed else left, now)
        while len(self._buckets) > _BUCKETS:  # the key that was longest not seen
            del self._buckets[next(iter(self._buckets))]
        return allowed

    def give_back(self, key: str) -> None:
        """Put back what `allows` took, for what turned out to be in order."""
        if (held := self._buckets.get(key)) is not None:
            left, at = held
            self._buckets[key] = (min(self._burst, left + 1.0), at)
