"""How well borderflow targets: `python -m load.bench.targeting --data FILE... | --world SEED...`.

Everything runs through the deciders that the stream hosts; there is no second implementation. Needs the optional
extra `bench` for the baselines and the plots.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agents.risk.policy import Policy, read_policy
from load.bench import targeting_cdd, targeting_world
from load.bench.targeting_report import CDD_COLUMNS, WORLD_COLUMNS, html, table
from load.bench.targeting_strategies import baselines

POLICY = Path(__file__).parents[2] / "streams" / "policies" / "default.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 when it ran."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.targeting", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, default=[], metavar="FILE", help="CSV files, in order")
    parser.add_argument("--world", nargs="+", type=int, default=[], metavar="SEED", help="seeds of the drifting world")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.01, 0.02, 0.05, 0.10])
    parser.add_argument("--views", nargs="+", choices=targeting_cdd.VIEWS, default=list(targeting_cdd.VIEWS))
    parser.add_argument("--draws", type=int, default=5, help="draws of view unseen-tuple")
    parser.add_argument("--strategies", nargs="+", help="names; by default all")
    parser.add_argument("--days", type=int, default=120, help="days of the world")
    parser.add_argument("--items", type=int, default=2000, help="items a day of the world")
    parser.add_argument("--quiet", type=float, default=0.25, help="share of quiet schemes in the world")
    parser.add_argument("--policy", type=Path, default=POLICY, help="selection policy of the world")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--html", type=Path, help="write the report here")
    options = parser.parse_args(arguments)
    if not options.data and not options.world:
        parser.error("give --data or --world")
    console = Console()
    cdd: list[dict[str, Any]] = []
    world: list[dict[str, Any]] = []
    scores: list[tuple[float, bool]] = []
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        if options.data:
            cdd = run_data(options, bar)
        if options.world:
            policy = read_policy(yaml.safe_load(options.policy.read_text(encoding="utf-8")))
            for seed in options.world:
                world += run_world(seed, policy, options, bar, scores)
    if cdd:
        console.print(table(cdd, CDD_COLUMNS, "Customs Declaration Dataset"))
    if world:
        console.print(table(world, WORLD_COLUMNS, "Drifting world"))
    if options.json:
        options.json.write_text(json.dumps({"rows": [*cdd, *world]}, indent=1) + "\n", encoding="utf-8")
    if options.html:
        options.html.write_text(html(cdd, world, reliability(scores)), encoding="utf-8")
    return 0


def run_data(options: Any, bar: Progress) -> list[dict[str, Any]]:
    """Rows of the data set, one per view, strategy and rate."""
    rows = []
    for view in options.views:
        draws = range(options.draws if view == "unseen-tuple" else 1)
        shelves = [targeting_cdd.Shelf(options.data, view, draw) for draw in draws]
        weeks = sum(1 for shelf in shelves for _ in shelf.weeks())
        exact = view != "no-exact-tuple"
        for rate in options.rates:
            for name in _names(options):
                task = bar.add_task(f"{view} {rate:.0%} {name}", total=weeks)
                done = []
                for shelf in shelves:
                    if name == "borderflow":
                        done.append(targeting_cdd.run_borderflow(shelf, rate, exact, lambda t=task: bar.advance(t)))  # type: ignore[misc]
                    else:
                        strategy = baselines([name])[0]
                        done.append(
                            targeting_cdd.run_baseline(strategy, shelf, rate, exact, lambda t=task: bar.advance(t))  # type: ignore[misc]
                        )
                rows.append(targeting_cdd.row(view, name, rate, done))
                bar.remove_task(task)
    return rows


def run_world(
    seed: int, policy: Policy, options: Any, bar: Progress, scores: list[tuple[float, bool]]
) -> list[dict[str, Any]]:
    """Rows of one world, one per strategy and kind of scheme."""
    task = bar.add_task(f"world {seed}", total=options.days)

    def tell(what: str, done: int, total: int) -> None:
        bar.update(task, description=f"world {seed} {what}", completed=done, total=total)

    run, world, examples = targeting_world.run_borderflow(
        seed, options.days, options.items, policy, options.quiet, tell
    )
    scores += run.scores
    coverage = policy.capacity_share
    rows = []
    if "borderflow" in _names(options):
        rows += targeting_world.measure(run, world, examples, seed, coverage)
    for strategy in baselines([name for name in _names(options) if name != "borderflow"]):
        other = targeting_world.run_baseline(strategy, examples, world.truth, seed, coverage, tell)
        rows += targeting_world.measure(other, world, examples, seed, coverage)
    bar.remove_task(task)
    return rows


def reliability(scores: list[tuple[float, bool]]) -> list[tuple[float, float, int]]:
    """(Mean score, share of finds, inspections) by twentieth of the score, where at least 20 were inspected."""
    bands: dict[int, list[tuple[float, bool]]] = {}
    for score, found in scores:
        bands.setdefault(min(int(score * 20), 19), []).append((score, found))
    return [
        (sum(score for score, _ in band) / len(band), sum(found for _, found in band) / len(band), len(band))
        for _, band in sorted(bands.items())
        if len(band) >= 20
    ]


def _names(options: Any) -> list[str]:
    return options.strategies or ["borderflow", *[strategy.name for strategy in baselines()]]


if __name__ == "__main__":
    sys.exit(main())
