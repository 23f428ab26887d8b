"""Memory and latency under load for long: `python -m load.bench.soak --minutes 20`.

Lodges in open loop at a fixed rate, with officers who report back, and samples every worker: memory, processor time,
decided items. The simulated calendar runs so fast that the run spans `--days`: states reach their horizons (a day of
subjects, 35 days of decisions) and must stop growing. Use Apache Kafka for this (`python -m tests.real_kafka` starts a
node): the embedded broker keeps everything in memory and slows down as it fills.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from load.ahead import Ahead
from load.bench.border import Border
from load.bench.latency import told
from load.driver import Driver
from load.inspectors import Inspector
from load.ledger import Ledger
from load.measure import doubts
from load.world import World
from streams.policies import load_policy

SAMPLE_S = 10.0


class Sampler(threading.Thread):
    """Notes memory and processor time of workers until told to stop. `samples`: one object a sample."""

    def __init__(self, border: Border, names: list[str]) -> None:
        super().__init__(daemon=True)
        self._border = border
        self._names = names
        self._done = threading.Event()
        self._began = time.monotonic()
        self.samples: list[dict[str, Any]] = []

    def run(self) -> None:
        """Sample."""
        while not self._done.wait(SAMPLE_S):
            self.samples.append(
                {
                    "seconds": round(time.monotonic() - self._began, 1),
                    "memory_mb": [round(self._border.memory_mb(name), 1) for name in self._names],
                    "cpu_s": [round(self._border.cpu_seconds(name), 2) for name in self._names],
                    "decided": self._border.decided(*self._names),
                }
            )

    def stop(self) -> None:
        """End."""
        self._done.set()
        self.join()


def slope_mb_per_hour(samples: list[dict[str, Any]]) -> float:
    """Least-squares growth of all workers' memory over the second half of the run."""
    half = samples[len(samples) // 2 :]
    if len(half) < 3:
        return 0.0
    hours = [one["seconds"] / 3600 for one in half]
    return statistics.linear_regression(hours, [sum(one["memory_mb"]) for one in half]).slope


def soak(workers: int, rate: float, minutes: float, days: float, start_days_ago: float) -> dict[str, Any]:
    """One run; samples and the account of the lodged items."""
    per_day = max(1, round(rate * minutes * 60 / days))
    pace = rate / per_day * 86_400
    with Border(partitions=4 * workers) as border:
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        for name in names:
            border.start(name)
        for name in names:
            border.ready(name)
        world = World(1, items_per_day=per_day, start=midnight(start_days_ago), keep=50_000)
        inspector = Inspector(world.truth, 1, delay=(timedelta(seconds=4 * pace), timedelta(seconds=12 * pace)))
        ahead = Ahead(world.lodgements())
        driver = Driver(
            border.settings.client_options(), ahead, rate, Ledger(load_policy().capacity_share, world.start),
            inspector=inspector, duration_s=minutes * 60, drain_s=60.0,
        )  # fmt: skip
        sampler = Sampler(border, names)
        sampler.start()
        try:
            asyncio.run(driver.run())
        finally:
            ahead.close()
            sampler.stop()
        account = {**driver.sent.summary(), **driver.ledger.summary()}
        for name in names:
            border.stop(name)
    return {
        "workers": workers,
        "rate": rate,
        "minutes": minutes,
        "days": days,
        "broker": "BORDERFLOW_BROKERS" if os.environ.get("BORDERFLOW_BROKERS") else "embedded",
        "slope_mb_per_hour": round(slope_mb_per_hour(sampler.samples), 2),
        "samples": sampler.samples,
        **{name: account[name] for name in ("lodged", "decided", "dead_lettered", "missing", "doubled", "latency_ms")},
        "wrong": doubts(account),
    }


def midnight(days_ago: float) -> datetime:
    """Where the simulated calendar begins."""
    now = datetime.now(UTC)
    return (now - timedelta(days=days_ago)).replace(hour=0, minute=0, second=0, microsecond=0)


def draw(figures: dict[str, Any], path: Path) -> None:
    """Memory and decided items over the run, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    samples = figures["samples"]
    minutes = [one["seconds"] / 60 for one in samples]
    figure, memory = pyplot.subplots(figsize=(8, 3.4), layout="constrained")
    for number in range(figures["workers"]):
        memory.plot(minutes, [one["memory_mb"][number] for one in samples], label=f"worker {number + 1}")
    memory.set(xlabel="minutes", ylabel="resident memory, MB", ylim=(0, None))
    memory.set_title(
        f"{figures['rate']:g} items/s for {figures['minutes']:g} minutes, {figures['days']:g} days of events"
    )
    memory.legend(loc="lower right")
    figure.savefig(path)


def main() -> int:
    """Run, print, and write what was asked for. Exit code 1 when the run does not add up."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.soak", description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=300.0, help="items a second")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--days", type=float, default=10.0, help="days of event time that the run spans")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="an SVG file")
    asked = parser.parse_args()
    if asked.minutes * 60 < 3 * SAMPLE_S:
        parser.error(f"--minutes: memory is looked at every {SAMPLE_S:.0f} s; {asked.minutes:g} are too few")
    figures = soak(asked.workers, asked.rate, asked.minutes, asked.days, asked.days + 2)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")
    first, last = figures["samples"][0], figures["samples"][-1]
    console = Console(highlight=False)
    console.print(
        f"{figures['lodged']:,} items, missing {figures['missing']}, doubled {figures['doubled']}; memory "
        f"{sum(first['memory_mb']):,.0f} MB at first, {sum(last['memory_mb']):,.0f} MB at last, "
        f"{figures['slope_mb_per_hour']:+,.1f} MB an hour over the second half; event to alert p50 / p99 / p99.9 "
        f"{told(figures['latency_ms'])}"
    )
    for sentence in figures["wrong"]:
        console.print(f"[red]{sentence}[/]")
    if asked.plot:
        draw(figures, asked.plot)
    return int(bool(figures["wrong"]))


if __name__ == "__main__":
    raise SystemExit(main())
