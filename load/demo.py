"""`borderflow demo`: the whole loop on this machine, from a broker to officers who report back, and a live view of it.

It starts the parts as a user would, with `borderflow` commands as processes of their own (load/children.py); the
simulated world, the officers, the account and the view run here. Simulated time runs faster than the wall clock: an
item's event time is simulated, its `ce_time` is real, so latencies are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.live import Live

from load.ahead import Ahead
from load.children import PATIENCE_S, ChildFailedError, Children, free_port
from load.clock import MARGIN, first_number, simulated_time
from load.datasets.cdd import Declarations, dataset_files
from load.demo_feed import Feed
from load.demo_summary import failures, print_report
from load.demo_view import DemoSnapshot, plain_line, screen
from load.desk import Lodged
from load.driver import LINGER_S, Driver
from load.inspectors import Inspector
from load.ledger import Ledger
from load.truth import Truth
from load.world import START, World

KNOWLEDGE = Path(__file__).with_name("demo_data")
"""Criteria and risk information that are published before anything is lodged; not with a data set."""
SCHEMES = 6
"""Smuggling schemes at a time; fewer and larger ones than a real border has can be learnt within a minute."""
REPORT_S = (4.0, 12.0)
"""Wall seconds that officers take, at least and at most; in simulated time, whatever the pace makes of it."""
REPORT_D = (timedelta(days=3), timedelta(days=9))
"""The same in simulated time, at most: an alert is remembered for 30 days."""
WARM_UP = (15.0, 0.25)
"""Coverage is counted after so many seconds, or this share of the run when that is shorter."""
FRAMES_PER_S = 2.5
PLAIN_EVERY_S = 5.0
PICTURE = (110, 32)
"""Columns and lines of the live view in a picture."""
DRAIN_S = 120.0
"""Seconds that may pass at the end until all is decided; on a slow machine there is a backlog."""
ARCHIVE_S = 3600.0
"""Seconds that writing the archive may take; it stops by itself when something is wrong."""
PARTITIONS = 2
"""Partitions of a topic on the embedded broker, for each worker; fewer and fuller batches, as above."""
BACKLOG = timedelta(days=730)
"""How much simulated time a demo without end has before it would overtake the wall clock."""


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """What to show. `rate` in items per second; `hours_per_s` simulated hours in a second of the wall clock.

    `brokers` is an existing cluster, None for the embedded broker. `client_options` turns the environment of the
    processes into options of a Kafka client. `check_history` is asked, once an existing cluster has the topics, whether
    it keeps records from this time on; it raises what the user is to be told when it does not. `console` also serves
    the officers' page, and opens it where there is a display. `archive`
    is a folder that all records are kept in at the end.
    """

    rate: float = 600.0
    duration_s: float | None = None
    hours_per_s: float = 2.0
    seed: int = 7
    dirt: float = 0.01
    workers: int = 1
    capacity_share: float = 0.02
    dataset: Path | None = None
    brokers: str | None = None
    json_file: Path | None = None
    picture: Path | None = None
    archive: Path | None = None
    console: bool = True
    environment: Mapping[str, str]
    client_options: Callable[[Mapping[str, str]], Mapping[str, Any]]
    check_history: Callable[[Mapping[str, str], datetime], None]


@dataclass(frozen=True, slots=True)
class _Traffic:
    lodgements: Iterator[Lodged]
    truth: Truth
    start: datetime
    pace: float
    """Simulated seconds in a second of the wall clock."""


class Demo:
    """One run. `run` returns the process's exit code."""

    def __init__(self, plan: DemoPlan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._feed = Feed(plan.duration_s, plan.brokers or "embedded broker")
        self._driver: Driver | None = None
        self._latest: DemoSnapshot | None = None

    def run(self) -> int:
        """Start everything, run, stop everything, report."""
        signal.signal(signal.SIGTERM, _interrupt)
        logs = Path(tempfile.mkdtemp(prefix="borderflow-demo-"))
        try:
            with Children(self._plan.environment, logs) as children:
                summary = self._run(children, logs)
        except ChildFailedError as error:
            self._console.print(f"{error}\nall logs: {logs}", style="red", markup=False, highlight=False)
            return 1
        except KeyboardInterrupt:
            lodged = "anything was lodged" if self._driver is None else "what was lodged could be told of"
            self._console.print(f"stopped before {lodged}")
            return 130
        shutil.rmtree(logs, ignore_errors=True)
        if self._plan.json_file is not None:
            self._plan.json_file.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))
        if self._plan.picture is not None and self._latest is not None:
            self._draw(self._plan.picture, self._latest)
        print_report(summary, self._console)
        return 1 if failures(summary) else 0

    def _run(self, children: Children, folder: Path) -> dict[str, Any]:
        traffic = self._traffic()
        names = self._start(children, traffic.start)
        if self._plan.console:
            self._open_console(children, folder)
        used_before = [children.cpu_seconds(name) for name in names]
        driver, ahead = self._prepare(traffic, children.environment)
        self._driver = driver
        asyncio.run(self._lodge(driver, ahead, children))
        used = sum(children.cpu_seconds(name) for name in names) - sum(used_before)
        summary = {**driver.sent.summary(), **driver.ledger.summary()}
        summary["worker_us_per_item"] = used / max(1, summary["lodged"]) * 1e6
        summary["worker_cores"] = used / max(1e-9, driver.sent.ended - driver.sent.began)
        for name in names:
            children.stop(name)
        if self._plan.archive is not None:
            with self._doing(f"archiving every record into {self._plan.archive}"):
                children.run("archive", "archive", "--once", "--dir", str(self._plan.archive), timeout_s=ARCHIVE_S)
        return summary

    # -- before

    def _traffic(self) -> _Traffic:
        plan, now = self._plan, datetime.now(UTC)
        if plan.dataset is not None:
            declarations = Declarations(dataset_files(plan.dataset))
            first, last = declarations.rows[0].day, declarations.rows[-1].day
            days = (last - first).days + 1
            if plan.brokers is not None:  # a cluster deletes what is older than its retention
                shift, run = now.date() - last - timedelta(days=1), f"{int(now.timestamp())}-"
                declarations = Declarations(dataset_files(plan.dataset), shift, run)
                first += shift
            pace = plan.rate / (len(declarations) / days) * 86_400
            start = datetime.combine(first, datetime.min.time(), UTC)
            return _Traffic(declarations.lodgements(), declarations.truth, start, pace)
        per_day = max(1, math.ceil(plan.rate * 24 / plan.hours_per_s))
        if plan.brokers is not None:
            time_plan = simulated_time(plan.rate, plan.duration_s, now)
            start, per_day = time_plan.start, time_plan.items_per_day
        elif plan.duration_s is None:
            start = (now - BACKLOG).replace(hour=0, minute=0, second=0, microsecond=0)
        else:
            start = START
        world = World(
            plan.seed,
            items_per_day=per_day,
            start=start,
            slots=SCHEMES,
            dirt=plan.dirt,
            keep=200_000,
            first_number=0 if plan.brokers is None else first_number(now),
        )
        until = None if plan.brokers is not None and plan.duration_s is None else now - MARGIN
        return _Traffic(world.lodgements(until), world.truth, start, plan.rate / per_day * 86_400)

    def _start(self, children: Children, first: datetime) -> list[str]:
        plan = self._plan
        if plan.brokers is None:
            with self._doing("starting the broker"):
                children.environment["BORDERFLOW_PARTITIONS"] = str(PARTITIONS * plan.workers)
                bootstrap = children.start_broker()
            self._feed.at(f"embedded broker, {bootstrap}")
            self._console.print(
                f"from another terminal: BORDERFLOW_BROKERS={bootstrap} borderflow doctor",
                highlight=False,
                soft_wrap=True,
            )
        with self._doing("creating topics"):
            # 1: an existing cluster has topics that differ from their declarations, in partitions for example.
            children.run("topics", "topics", "create", content_with=(0,) if plan.brokers is None else (0, 1))
        if plan.brokers is not None:
            plan.check_history(children.environment, first)
        if plan.dataset is None:
            with self._doing("publishing criteria and risk information"):
                children.run(
                    "criteria", "criteria", "publish", "--new-only", "--accept-load", str(KNOWLEDGE / "criteria.yaml")
                )
                children.run(
                    "risk-info", "risk-info", "publish", "--new-only", str(KNOWLEDGE / "risk_information.yaml")
                )
        ports: dict[str, int] = {}
        with self._doing("starting the worker: four steps in one consumer group"):
            for number in range(1, plan.workers + 1):
                name = f"worker-{number}"
                ports[name] = free_port()
                children.start(name, "worker", BORDERFLOW_WEB_PORT=str(ports[name]))
            for name, port in ports.items():
                children.wait_ready(name, port)
        return list(ports)

    def _open_console(self, children: Children, folder: Path) -> None:
        """Serve the officers' page, and say how to get in: a one-time address, and a password made up for this demo."""
        announced = folder / "console-address"
        with self._doing("starting the console"):
            children.start(
                "console", "console", "--port", "0", "--demo-users", "--open-browser", "--announce", str(announced),
                BORDERFLOW_CONSOLE_TRAIL_FILE=str(folder / "console-trail.jsonl"),
                BORDERFLOW_CONSOLE_SIMULATED_TIME="true",
            )  # fmt: skip
            deadline = time.monotonic() + PATIENCE_S
            while not announced.exists() or not announced.read_text().endswith("\n"):
                children.check()
                if time.monotonic() > deadline:
                    raise ChildFailedError(f"the console was not there in {PATIENCE_S:.0f} s")
                time.sleep(0.1)
        once, *more = announced.read_text().splitlines()
        self._feed.console = once
        self._console.print("the officers' page:", once, *more, highlight=False, soft_wrap=True, sep="\n  ")

    def _prepare(self, traffic: _Traffic, environment: Mapping[str, str]) -> tuple[Driver, Ahead[Lodged]]:
        plan = self._plan
        warm_up_s = WARM_UP[0] if plan.duration_s is None else min(WARM_UP[0], WARM_UP[1] * plan.duration_s)
        ledger = Ledger(plan.capacity_share, traffic.start + timedelta(seconds=warm_up_s * traffic.pace))
        least, most = (min(timedelta(seconds=s * traffic.pace), d) for s, d in zip(REPORT_S, REPORT_D, strict=True))
        ahead = Ahead(traffic.lodgements)
        driver = Driver(
            plan.client_options(environment),
            ahead,
            plan.rate,
            ledger,
            inspector=Inspector(traffic.truth, plan.seed, delay=(least, most), dirt=plan.dirt),
            duration_s=plan.duration_s,
            drain_s=DRAIN_S,
            linger_s=LINGER_S,
            on_alert=self._feed.alerted,
            on_result=self._feed.reported,
        )
        return driver, ahead

    # -- while it runs

    async def _lodge(self, driver: Driver, ahead: Ahead[Lodged], children: Children) -> None:
        """Lodge until the end, or until asked to stop: first what is in flight is waited for, then it is given up."""
        give_up = asyncio.Event()

        def asked() -> None:
            if driver.phase == "lodging":
                self._feed.news = "stopping: waiting for what is in flight (Ctrl-C again gives up)"
                ahead.close()
            else:
                give_up.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked)
        self._feed.begin()
        running = asyncio.create_task(driver.run(give_up))
        watching = asyncio.create_task(self._watch(children))
        shown = asyncio.create_task(self._show(driver, running))
        done, _ = await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching in done:
            running.cancel()
        watching.cancel()
        await asyncio.gather(running, watching, return_exceptions=True)
        await shown
        for task in done:
            task.result()

    async def _watch(self, children: Children) -> None:
        while True:
            children.check()
            await asyncio.sleep(0.5)

    async def _show(self, driver: Driver, running: asyncio.Task[Any]) -> None:
        phases = {"lodging": "running", "draining": "draining", "done": "done"}
        if not self._console.is_terminal:
            due = time.monotonic() + PLAIN_EVERY_S
            while not running.done():
                await asyncio.sleep(0.2)
                if time.monotonic() >= due:
                    due += PLAIN_EVERY_S
                    self._feed.phase = phases.get(driver.phase, driver.phase)
                    shot = self._frame(driver)
                    self._console.print(plain_line(shot), soft_wrap=True, highlight=False)
            return
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while not running.done():
                self._feed.phase = phases.get(driver.phase, driver.phase)
                shot = self._frame(driver)
                live.update(screen(shot, self._console.width, self._console.height), refresh=True)
                await asyncio.sleep(1 / FRAMES_PER_S)

    def _frame(self, driver: Driver) -> DemoSnapshot:
        shot = self._feed.snapshot(driver)
        if driver.phase == "lodging":
            self._latest = shot
        return shot

    def _draw(self, picture: Path, shot: DemoSnapshot) -> None:
        """Write one frame of the live view as an SVG file."""
        width, height = PICTURE
        console = Console(record=True, width=width, height=height, file=io.StringIO(), force_terminal=True)
        console.print(screen(shot, width, height))
        console.save_svg(str(picture), title="borderflow demo")

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        if not self._console.is_terminal:
            yield
            self._console.print(f"{what}: {time.monotonic() - began:.1f} s", highlight=False)
            return
        with self._console.status(what):
            yield


def run_demo(plan: DemoPlan, console: Console | None = None) -> int:
    """Run the demo; the exit code: 0 when every item lodged has exactly one decision or dead letter, else 1."""
    return Demo(plan, console or Console()).run()


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
