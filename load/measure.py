"""`borderflow load`: lodges a simulated world at a fixed rate on running brokers and says how fast decisions come."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from load.ahead import Ahead
from load.clock import SimulatedTime, first_number
from load.desk import Lodged
from load.driver import Driver
from load.inspectors import Inspector
from load.ledger import Ledger, quantiles, selection_faults
from load.world import World

REPORT_S = (3.0, 9.0)
"""Wall seconds that simulated officers take to report back, at least and at most."""
WARM_UP = 0.25
"""Coverage is counted after this share of the run."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """What to lodge. `rate` in items per second; `duration_s` None goes on until Ctrl-C."""

    client_options: Mapping[str, Any]
    rate: float
    duration_s: float | None
    time: SimulatedTime
    seed: int = 1
    dirt: float = 0.0
    officers: bool = True
    capacity_share: float = 0.02
    drain_s: float = 30.0


def run_load(plan: LoadPlan, console: Console) -> dict[str, Any]:
    """Lodge, show progress, wait for what is in flight; the summary. Raises the client's errors."""
    planned = plan.time
    world = World(
        plan.seed,
        items_per_day=planned.items_per_day,
        start=planned.start,
        dirt=plan.dirt,
        keep=200_000,
        first_number=first_number(datetime.now(UTC)),
    )
    pace = plan.rate / planned.items_per_day * 86_400
    inspector = None
    if plan.officers:
        least, most = (timedelta(seconds=seconds * pace) for seconds in REPORT_S)
        inspector = Inspector(world.truth, plan.seed, delay=(least, most), dirt=plan.dirt)
    warm_up = timedelta(seconds=(plan.duration_s or 60.0) * WARM_UP * pace)
    ahead = Ahead(world.lodgements())
    driver = Driver(
        plan.client_options,
        ahead,
        plan.rate,
        Ledger(plan.capacity_share, planned.start + warm_up),
        inspector=inspector,
        duration_s=plan.duration_s,
        drain_s=plan.drain_s,
    )
    try:
        asyncio.run(_run(driver, ahead, console))
    finally:
        ahead.close()
    return {**driver.sent.summary(), **driver.ledger.summary()}


async def _run(driver: Driver, ahead: Ahead[Lodged], console: Console) -> None:
    """Run to the end; the first Ctrl-C stops lodging, the second gives up what is in flight."""
    give_up = asyncio.Event()

    def asked() -> None:
        if driver.phase == "lodging":
            ahead.close()
        else:
            give_up.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    running = asyncio.create_task(driver.run(give_up))
    with Live(progress(driver), console=console, auto_refresh=False, transient=True) as live:
        while not running.done():
            await asyncio.wait({running}, timeout=0.5 if console.is_terminal else 5.0)
            live.update(progress(driver), refresh=console.is_terminal)
            if not console.is_terminal and not running.done():
                console.print(line(driver), highlight=False, soft_wrap=True)
    running.result()


def line(driver: Driver) -> str:
    """The run so far, in one line."""
    sent, ledger = driver.sent, driver.ledger
    latency = quantiles(ledger.decision_latency)
    waiting = max(0, sent.items - ledger.decided_items - ledger.dead_items)
    return (
        f"{driver.phase}: sent {sent.items:,} ({sent.achieved_rate:,.0f}/s), decided {ledger.decided_items:,}, "
        f"dead-lettered {ledger.dead_items:,}, in flight {waiting:,}, "
        f"alerts {ledger.alerts:,}, event to decision p50 {_ms(latency['p50'])} p99 {_ms(latency['p99'])}"
    )


def progress(driver: Driver) -> Table:
    """The run so far, for a terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_row(line(driver))
    return table


def report(summary: Mapping[str, Any]) -> Table:
    """The final table."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for label, key in (
        ("sent", "sent"), ("acknowledged", "lodged"), ("decided", "decided"), ("dead-lettered", "dead_lettered"),
        ("missing", "missing"), ("doubled", "doubled"), ("redelivered", "redelivered"), ("alerts", "alerts"),
        ("results", "results_sent"), ("of other lodgers", "strays"),
    ):  # fmt: skip
        table.add_row(label, f"{summary[key]:,}")
    table.add_row("rate intended / achieved", f"{summary['intended_rate']:,.0f} / {summary['achieved_rate']:,.0f} /s")
    table.add_row("decided per second", f"{summary['items_per_second']:,.0f}")
    for label, key in (
        ("event to decision", "decision_latency_ms"), ("event to alert", "latency_ms"),
        ("driver's own lag", "driver_lag_ms"),
    ):  # fmt: skip
        values = summary[key]
        table.add_row(
            f"{label}, p50 / p99 / p99.9", " / ".join(_ms(values[name]) for name in ("p50", "p99", "p999"))
        )  # fmt: skip
    table.add_row("coverage / capacity", f"{summary['coverage']:.2%} / {summary['capacity_share']:.2%}")
    return table


def complaints(summary: Mapping[str, Any]) -> list[str]:
    """What is wrong with a run, in sentences; empty when every item has exactly one end."""
    said = []
    if summary["missing"]:
        said.append(f"{summary['missing']:,} items have neither a decision nor a dead letter")
    if summary["doubled"]:
        said.append(f"{summary['doubled']:,} items were decided more than once, or decided and refused")
    said += selection_faults(summary)
    if summary["send_failures"]:
        said.append(f"{summary['send_failures']:,} items were not acknowledged by the brokers")
    return said


def doubts(summary: Mapping[str, Any]) -> list[str]:
    """The complaints, and whether latencies are the driver's own: with any of them, figures are not those of a run."""
    late = ["the driver itself fell behind its schedule"] if summary["driver_fell_behind"] else []
    return complaints(summary) + late


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
