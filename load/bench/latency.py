"""Event to alert in open loop: `python -m load.bench.latency [--workers 1 3] [--partitions 2 6]`.

Finds the highest rate that workers sustain on the embedded broker (nothing lags: the 99th percentile of the run stays
under a second and the driver keeps its schedule), then measures at 10, 50 and 80% of it. Latencies count from the
intended send time (`load/driver.py`), so what waits for a slow border counts too (coordinated omission), over all that
is in between: the lodger's own 5 ms ticks and the 20 ms that it waits to fill a batch, as the demo's does,
three passes through the broker, deciding, and the reader's fetch. Each rate has a broker and workers of its own. With
`BORDERFLOW_BROKERS` set it is that cluster instead: a fresh one, and one setting at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from load.ahead import Ahead
from load.bench.border import Border
from load.clock import first_number
from load.driver import LINGER_S, Driver
from load.ledger import Ledger
from load.measure import doubts
from load.world import START, World
from streams.policies import load_policy

SHARES = (0.1, 0.5, 0.8)
STEP = 1.3
SUSTAINED_MS = 1000.0
"""A 99th percentile above it is a backlog that grows: 5% too much for a worker is a second after 20."""
WARM_S = 5.0
PER_DAY = 400_000


def lodged(border: Border, seed: int, rate: float, duration_s: float, linger_s: float = LINGER_S) -> dict[str, Any]:
    """The summary of an open-loop run."""
    number = first_number(datetime.now(UTC)) if os.environ.get("BORDERFLOW_BROKERS") else 0
    start = START + timedelta(days=seed)
    world = World(seed, items_per_day=PER_DAY, start=start, keep=1_000, first_number=number)
    ahead = Ahead(world.lodgements())
    ledger = Ledger(load_policy().capacity_share, world.start)
    driver = Driver(
        border.settings.client_options(), ahead, rate, ledger, duration_s=duration_s, drain_s=60.0, linger_s=linger_s
    )  # fmt: skip
    gc.collect()
    gc.freeze()  # the world is not to be looked through while latencies are taken
    try:
        asyncio.run(driver.run())
    finally:
        ahead.close()
    return {**driver.sent.summary(), **driver.ledger.summary()}


def sustained(run: dict[str, Any]) -> bool:
    """Whether neither the worker nor the driver fell behind."""
    return not run["missing"] and not run["driver_fell_behind"] and run["decision_latency_ms"]["p99"] < SUSTAINED_MS


@contextmanager
def running(partitions: int, names: list[str]) -> Iterator[Border]:
    """A border of its own for a measurement, with these workers warm: the embedded broker slows down as it fills."""
    with Border(partitions=partitions) as border:
        for name in names:
            border.start(name)
        for name in names:
            border.ready(name)
        lodged(border, 1, 100.0, WARM_S)
        yield border


def measure(
    console: Console,
    first: float,
    duration_s: float,
    highest: float | None,
    workers: int,
    partitions: int,
    linger_s: float,
) -> dict[str, Any]:
    """The highest sustainable rate of so many workers, and the latencies at shares of it."""
    names = [f"worker-{number}" for number in range(workers)]
    seed = 2
    if highest is None:
        rate = first
        while True:
            with running(partitions, names) as border:
                run = lodged(border, seed, rate, duration_s, linger_s)
            seed += 1
            ok = sustained(run)
            console.print(f"{rate:,.0f}/s: p50 / p99 / p99.9 {told(run['decision_latency_ms'])}, "
                          f"{'sustained' if ok else 'not sustained'}", highlight=False)  # fmt: skip
            if not ok:
                break
            highest, rate = rate, rate * STEP
        if highest is None:
            raise SystemExit(f"not even {first:g} items/s were sustained")
    rows = []
    for share in SHARES:
        with running(partitions, names) as border:
            used = sum(border.cpu_seconds(name) for name in names)
            run = lodged(border, seed, share * highest, duration_s, linger_s)
            seed += 1
            used = sum(border.cpu_seconds(name) for name in names) - used
        rows.append({
            "share": share, "rate": share * highest, "alerts": run["alerts"], "alert_ms": run["latency_ms"],
            "decision_ms": run["decision_latency_ms"], "driver_lag_ms": run["driver_lag_ms"],
            "cpu_us_per_item": used / max(1, run["lodged"]) * 1e6, "wrong": doubts(run),
        })  # fmt: skip
        for sentence in doubts(run):  # what was never decided is in no percentile
            console.print(f"[red]{share:.0%}: {sentence}[/]", highlight=False)
    return {"workers": workers, "partitions": partitions, "highest_rate": highest, "rows": rows}


def told(latency_ms: dict[str, float | None]) -> str:
    """Three percentiles, or that there was nothing."""
    found = [latency_ms[name] for name in ("p50", "p99", "p999")]
    return "none" if None in found else " / ".join(f"{one:.0f}" for one in found) + " ms"


def draw(settings: list[dict[str, Any]], file: Path) -> None:
    """Latencies at each share, and the highest rates, as one picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(3, 2), layout="constrained")
    titles = []
    for colour, one in zip(("C0", "C1", "C2", "C3", "C4", "C5"), settings, strict=False):
        title = f"{one['workers']} worker{'s'[: one['workers'] - 1]}, {one['partitions']} partitions"
        titles.append(title)
        shares = [100 * row["share"] for row in one["rows"]]
        for name, style in (("p50", "-"), ("p99", "--"), ("p999", ":")):
            shown = f"{title}: {name.replace('999', '99.9')}"
            left.plot(
                shares, [row["alert_ms"][name] for row in one["rows"]], style, color=colour, marker="o", label=shown
            )
    left.set(xlabel="% of the highest sustainable rate", ylabel="event to alert, ms", yscale="log")
    left.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), fontsize=7, ncols=len(settings), loc="outside lower center")
    bars = right.barh(titles, [one["highest_rate"] for one in settings])
    right.bar_label(bars, fmt="%.0f", padding=3)
    right.margins(x=0.15)
    right.set(xlabel="highest sustainable rate, items/s")
    figure.savefig(file)


def main() -> int:
    """Print the table; write the JSON file that was asked for. Exit code 1 when a run does not add up."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.latency", description=__doc__.split("\n\n")[0])
    parser.add_argument("--first", type=float, default=1000.0, help="the first rate to try, items a second")
    parser.add_argument("--highest", type=float, help="take this as the highest sustainable rate, do not look for it")
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of each run")
    parser.add_argument("--linger-ms", type=float, default=LINGER_S * 1000, help="how long the lodger fills a batch")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--partitions", type=int, nargs="+", default=[2])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="draw a picture (SVG or PNG; needs matplotlib)")
    asked = parser.parse_args()
    console = Console()
    settings = []
    for workers, partitions in [(workers, partitions) for partitions in asked.partitions for workers in asked.workers]:
        console.print(f"{workers} workers, {partitions} partitions of each topic", highlight=False)
        figures = measure(
            console, asked.first, asked.duration, asked.highest, workers, partitions, asked.linger_ms / 1000
        )
        settings.append(figures)
        heads = ("rate", "alerts", "event to alert p50 / p99 / p99.9", "event to decision p50 / p99 / p99.9", "CPU us")
        table = Table(*heads, title=f"highest sustainable: {figures['highest_rate']:,.0f} items/s; CPU is of an item")
        for row in figures["rows"]:
            alert, decision = (told(row[key]) for key in ("alert_ms", "decision_ms"))
            table.add_row(f"{row['rate']:,.0f} ({row['share']:.0%})", str(row["alerts"]), alert, decision,
                          f"{row['cpu_us_per_item']:.0f}")  # fmt: skip
        console.print(table)
        if asked.json:
            asked.json.write_text(json.dumps(settings, indent=2) + "\n")
    if asked.plot:
        draw(settings, asked.plot)
    return int(any(row["wrong"] for one in settings for row in one["rows"]))


if __name__ == "__main__":
    raise SystemExit(main())
