"""Puts the console together: one asyncio process that follows the topics, keeps the cases and serves the pages."""

from __future__ import annotations

import asyncio
import resource
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web
from aiokafka.errors import KafkaTimeoutError

from agents.risk.policy import Policy
from schemas.codec import Undecodable, codec_for
from schemas.knowledge import CriterionPublished
from streams.audit.trail import Trail
from streams.broadcast import MODEL_LOG
from streams.console.accounts import Accounts, User
from streams.console.cases import Cases
from streams.console.day import DAY_MS, Learning
from streams.console.detail import CriteriaShelf
from streams.console.feed import Feed, Health
from streams.console.filing import Desk
from streams.console.following import Following
from streams.console.reading import Shelf
from streams.console.sessions import Sessions
from streams.console.traffic import Traffic
from streams.loopback import on_this_machine
from streams.settings import PREFIX, Settings, SettingsError
from streams.topology import read_policy
from streams.wire import Record, decoded, sent_ms

log = structlog.get_logger("borderflow.console")

_SWEEP_S: Final = 30.0
_KEEP_MS: Final = DAY_MS
"""How long a case is kept after its deadline, or its result, whichever is later."""
_CURVE_MS: Final = 30 * DAY_MS
_SILENT_S: Final = 20.0
"""A connection that makes no whole request for so long is closed."""
_PROXY_S: Final = 3600.0
"""The same for one from a proxy: it must be the proxy that closes it."""
_ANSWER_S: Final = 20.0
"""Brokers that say nothing for so long while the console starts are away: it ends. Each request alone may take longer,
and one that fails is followed by others."""
_FILES: Final = 70_000
"""An address has some 64,000 ports to connect from."""


class Console:
    """Everything that the pages show, and the parts that change it. `failed` is set when following broke."""

    def __init__(self, settings: Settings, extra_users: tuple[User, ...] = ()) -> None:
        """Read the policy and the users, open the trail; nothing is connected. Raises `SettingsError` or a sentence."""
        check_listening(settings)
        self.settings = settings
        self.policy: Policy = read_policy(settings)
        self.accounts = Accounts(None if extra_users else Path(settings.console_users_file), extra_users)
        self.sessions = Sessions(settings.console_idle_minutes * 60.0)
        self.cases = Cases(self.policy, simulated=settings.console_simulated_time)
        self.learning = Learning()
        self.criteria = CriteriaShelf()
        self.traffic = Traffic(settings.console_decisions)
        self.feed = Feed(self.cases, self.health)
        self.desk = Desk(settings, self.cases, self._position, self._silent_s)
        self.shelf = Shelf(settings)
        self.failed = asyncio.Event()
        self._secret = settings.pseudonym_secret()
        self._trail = Trail(Path(settings.console_trail_file))
        self._decode = {
            topic: codec_for(topic).decode
            for topic in ("alerts", "inspection-results", "casework", MODEL_LOG, "criteria")
        }
        self._followings: list[Following] = []
        self._work: Following | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._folded = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether what was there at the start is folded, and following goes on."""
        return bool(self._followings) and all(one.caught_up for one in self._followings) and not self.failed.is_set()

    def health(self) -> Health:
        """What pages are told of this console."""
        silent_s = self._work.silent_s if self._work is not None else 0.0
        return Health(self.ready, int(silent_s * 1000), self.traffic.latest_ms)

    @property
    def trail_path(self) -> Path:
        """Where the audit trail is."""
        return self._trail.path

    async def start(self) -> None:
        """Connect and begin to fold; returns before everything is folded.

        Raises the client's errors, and `KafkaTimeoutError` when brokers are silent for `_ANSWER_S`.
        """
        try:
            async with asyncio.timeout(_ANSWER_S) as limit:
                await self._start(lambda: limit.reschedule(asyncio.get_running_loop().time() + _ANSWER_S))
        except TimeoutError:
            raise KafkaTimeoutError(
                f"{PREFIX}BROKERS: {self.settings.brokers} did not answer for {_ANSWER_S:.0f} s as the console started"
            ) from None

    async def _start(self, heard: Callable[[], None]) -> None:
        settings, now_ms = self.settings, int(time.time() * 1000)
        simulated = settings.console_simulated_time  # records carry the calendar's time: all that is there is read
        from_ms = 0 if simulated else now_ms - int(settings.console_days * DAY_MS)
        day_ms = 0 if simulated else now_ms - DAY_MS
        curve_ms = 0 if simulated else now_ms - _CURVE_MS
        work = {"alerts": self._alert, "inspection-results": self._case_event, "casework": self._case_event}
        self._work = Following(settings, work, from_ms, failed=self._broke, folded=self._folded.set)
        self._followings = [
            self._work,
            Following(settings, {MODEL_LOG: self._learnt}, curve_ms, failed=self._broke),
            Following(settings, {"criteria": self._criterion}, 0, failed=self._broke),
            Following(settings, {"decisions": self.traffic.take}, day_ms, failed=self._broke),
        ]
        await self.desk.start()
        heard()
        for one in self._followings:
            await one.start(heard)
        self._tasks = [asyncio.create_task(self._tell()), asyncio.create_task(self._sweep())]

    async def stop(self) -> None:
        """Stop following, disconnect, close the trail."""
        await self.feed.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in self._followings:
            await one.stop()
        await self.desk.stop()
        self._trail.close()

    async def note(self, user: str, session: str, what: str, **about: Any) -> None:
        """Write to the audit trail; on the disk when this returns. What is noted holds ids, never names or texts."""
        entry = {"user": user, "session": session, "what": what, **about}
        await asyncio.to_thread(self._trail.append, entry)

    def find_decisions(self, text: str, user: User) -> list[dict[str, Any]]:
        """Recent decisions on what `text` names, as far as a user may see them."""
        return self.traffic.find(text, self._secret, user)

    def capacity_of(self, control_point: str) -> float:
        """The share of its items that a control point can inspect."""
        held = self.policy.control_points.get(control_point)
        own = held.capacity_share if held is not None else None
        return self.policy.capacity_share if own is None else own

    # -- folding

    def _position(self, topic: str, partition: int) -> int:
        return self._work.positions.get((topic, partition), 0) if self._work is not None else 0

    def _silent_s(self, topic: str, key: str) -> float:
        return self._work.silent_for_s(topic, key) if self._work is not None else 0.0

    def _alert(self, record: Record) -> None:
        if (alert := self._event(record)) is not None:
            self.cases.raise_alert(alert, record.value or b"", record.partition)

    def _case_event(self, record: Record) -> None:
        if (event := self._event(record)) is not None:
            self.cases.fold(event, sent_ms(record), record.timestamp, record.partition)

    def _learnt(self, record: Record) -> None:
        if (event := self._event(record)) is not None:
            self.learning.fold(record.offset, event, sent_ms(record))

    def _criterion(self, record: Record) -> None:
        if isinstance(event := self._event(record), CriterionPublished):
            self.criteria.fold(event)

    def _event(self, record: Record) -> Any:
        try:
            return decoded(self._decode[record.topic], record)
        except Undecodable as error:  # its dead letter is the steps' business
            if record.topic == "alerts":
                self.cases.unread += 1
            log.warning("a record is left out", topic=record.topic, offset=record.offset, reason=error.reason)
            return None

    def _broke(self, _error: BaseException) -> None:
        self.failed.set()

    async def _tell(self) -> None:
        while True:
            await self._folded.wait()
            self._folded.clear()
            await self.desk.read_on()
            await self.feed.changed()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_ms = int(time.time() * 1000)
            self.cases.sweep(now_ms, _KEEP_MS)
            self.traffic.forget_before(now_ms - DAY_MS - 3_600_000)
            self.learning.forget_before(now_ms - DAY_MS)
            await self.feed.changed()


def check_listening(settings: Settings) -> None:
    """Refuse to listen beyond this machine in plain text. Raises `SettingsError`."""
    if settings.console_tls_cert_file or settings.console_proxy_header:
        return
    host = settings.console_host
    if on_this_machine(host):
        return
    raise SettingsError(
        f"{PREFIX}CONSOLE_HOST: {host} is not loopback: set {PREFIX}CONSOLE_TLS_CERT_FILE and _KEY_FILE, or put a "
        f"proxy in front and name its header in {PREFIX}CONSOLE_PROXY_HEADER"
    )


def raise_file_limit() -> None:
    """Let this process hold more connections than one address can open: services often begin with 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def runner_of(app: web.Application, settings: Settings) -> web.AppRunner:
    """What serves the application. A proxy faces the network itself, and keeps its connections."""
    kept_s = _PROXY_S if settings.console_proxy_header else _SILENT_S
    return web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0, keepalive_timeout=kept_s)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    told: Callable[[Console, int], Awaitable[None]],
    users: tuple[User, ...] = (),
) -> int:
    """Run the console until `stop`; `told` is called once it listens. 0, or 1 when following the topics broke.

    `stop` is heard while it starts, too: it may wait for brokers that went away meanwhile. Raises the client's errors.
    """
    from streams.console.pages import build_application

    console = Console(settings, users)
    tls = None
    if settings.console_tls_cert_file:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(settings.console_tls_cert_file, settings.console_tls_key_file)
    raise_file_limit()
    runner = runner_of(build_application(console), settings)
    stopped = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(console.start())
    try:
        await asyncio.wait([stopped, starting], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return 0
        starting.result()
        await runner.setup()
        site = web.TCPSite(runner, settings.console_host, settings.console_port, ssl_context=tls)
        await site.start()
        await told(console, int(runner.addresses[0][1]))
        failed = asyncio.create_task(console.failed.wait())
        await asyncio.wait([stopped, failed], return_when=asyncio.FIRST_COMPLETED)
        failed.cancel()
        return 1 if console.failed.is_set() else 0
    finally:
        starting.cancel()
        stopped.cancel()
        await asyncio.gather(starting, stopped, return_exceptions=True)
        await console.feed.stop()
        await runner.cleanup()
        await console.stop()
