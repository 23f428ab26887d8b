"""The live queue as server-sent events: what changed since a position, then what changes.

A position is `<epoch>.<seq>`: the epoch names this process, `seq` counts changes of cases. A page that comes back with
its last position gets every case that changed since, as it stands now: nothing is missed, and nothing can be there
twice because a case has one row. A page from another process, or from too long ago, gets everything anew.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from streams.console.accounts import User
from streams.console.cases import Case, Cases, live_row

_GATHER_S: Final = 0.06
"""Changes within so long travel together."""
_BEAT_S: Final = 5.0
"""A page that hears nothing for twice as long takes the connection for lost."""
PART: Final = 50
"""Rows that travel together: some 20 kB, so that a page hears of them before it takes a slow line for lost."""


class Health(msgspec.Struct, frozen=True):
    """What a page is told of the console itself, so that an empty queue can be told from one that nothing reaches.

    `silent` is for how many ms brokers have not answered, `decided` when (ms) the latest item of all was decided, 0 for
    none that this console knows.
    """

    ready: bool = True
    silent: int = 0
    decided: int = 0


class Feed:
    """Tells every connected page what changed."""

    def __init__(self, cases: Cases, health: Callable[[], Health]) -> None:
        self._cases = cases
        self._health = health
        self._changed = asyncio.Condition()
        self.epoch = secrets.token_hex(4)
        self._stopping = False

    async def changed(self) -> None:
        """Something was folded."""
        async with self._changed:
            self._changed.notify_all()

    async def stop(self) -> None:
        """Let every page go."""
        self._stopping = True
        await self.changed()

    async def serve(
        self, response: web.StreamResponse, user: User, after: str, still: Callable[[], User | None]
    ) -> None:
        """Write events until the page leaves, or `still` says that its session ended."""
        position, reset = self._resume(after)
        while not self._stopping:
            now_user = still()
            if now_user is None or now_user.control_points != user.control_points:
                await _write(response, "ended", {})
                return
            position = await self._catch_up(response, user, position, reset=reset)
            reset = False
            try:
                async with asyncio.timeout(_BEAT_S), self._changed:
                    await self._changed.wait_for(lambda seq=position: self._cases.seq > seq or self._stopping)  # type: ignore[misc]
                await asyncio.sleep(_GATHER_S)
            except TimeoutError:
                await _write(response, "beat", self._beat())

    def _resume(self, after: str) -> tuple[int, bool]:
        epoch, _, seq = after.partition(".")
        if epoch != self.epoch or not seq.isdecimal() or int(seq) < self._cases.purged or int(seq) > self._cases.seq:
            return 0, True
        return int(seq), False

    async def _catch_up(self, response: web.StreamResponse, user: User, position: int, *, reset: bool) -> int:
        # With the positions of now: while a part is written, a case may change, and its position goes beyond the mark.
        changed = [
            (case, case.seq) for case in self._cases.since(position) if user.serves(case.control_point, *case.passed)
        ]
        changed.reverse()
        latest = self._cases.seq
        now_ms = int(time.time() * 1000)
        if not changed and not reset:
            if latest > position:
                await _write(response, "beat", self._beat(), f"{self.epoch}.{latest}")
            return latest
        for begin in range(0, max(1, len(changed)), PART):
            part = changed[begin : begin + PART]
            last = begin + PART >= len(changed)
            told = {
                "rows": [self._row(case, user, now_ms) for case, _ in part],
                "reset": reset and begin == 0,
                "more": not last,
                **self._beat(),
            }
            # A page that gets everything anew moves with the last part: without it, it gets all of them again.
            seq = latest if last else part[-1][1]
            mark = f"{self.epoch}.{seq}" if last or not reset else ""
            await _write(response, "rows", told, mark)
        return latest

    def _row(self, case: Case, user: User, now_ms: int) -> dict[str, Any]:
        if not user.serves(*case.seen_by):
            return {"id": case.alert_id, "s": "gone"}  # it was passed on to here, and taken back
        return live_row(case, self._cases.claim(case, now_ms))

    def _beat(self) -> dict[str, Any]:
        told = {"now": int(time.time() * 1000), "dropped": self._cases.dropped, "unread": self._cases.unread}
        return told | msgspec.structs.asdict(self._health())


async def _write(response: web.StreamResponse, event: str, data: dict[str, Any], position: str = "") -> None:
    mark = f"id: {position}\n" if position else ""
    await response.write(f"event: {event}\n{mark}data: ".encode() + msgspec.json.encode(data) + b"\n\n")
