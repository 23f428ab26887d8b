"""How well borderflow targets: `python -m load.bench.targeting --data FILE... | --world SEED...`.

Everything runs through the deciders that the stream hosts; there is no second implementation. Needs the optional
extra `bench` for the baselines and the plots. The JSON file holds `rows` (the figures), `series` and `details` (what
the plots are made of); it is written after every strategy, and `--resume` takes finished ones from it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agents.risk.policy import Policy, read_policy
from load.bench import targeting_cdd, targeting_world
from load.bench.targeting_cdd import bands
from load.bench.targeting_report import CDD_COLUMNS, WORLD_COLUMNS, html, table
from load.bench.targeting_strategies import baselines

SLOW = ("XGBoost weekly", "LightGBM weekly", "XGBoost + 10% random", "LightGBM + 10% random", "River ARF")
"""Strategies that get `--slow-draws` draws of view unseen-tuple."""
LEVELS = ("borderflow", "River ARF")
"""Strategies that see outcome rates at the level of the whole declaration; to the others no-exact-tuple is full."""
WORLD_ROW = WORLD_COLUMNS[:8]

POLICY = Path(__file__).parents[2] / "streams" / "policies" / "default.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 when it ran."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.targeting", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, default=[], metavar="FILE", help="CSV files, in order")
    parser.add_argument("--world", nargs="+", type=int, default=[], metavar="SEED", help="seeds of the drifting world")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.01, 0.02, 0.05, 0.10])
    parser.add_argument("--views", nargs="+", choices=targeting_cdd.VIEWS, default=list(targeting_cdd.VIEWS))
    parser.add_argument("--draws", type=int, default=5, help="draws of view unseen-tuple")
    parser.add_argument("--slow-draws", type=int, default=5, help="draws for boosted trees and the forest")
    parser.add_argument("--strategies", nargs="+", help="names; by default all")
    parser.add_argument("--days", type=int, default=60, help="days of the world")
    parser.add_argument("--items", type=int, default=4000, help="items a day of the world")
    parser.add_argument("--kinds", nargs="+", choices=list(targeting_world.KINDS), default=["surge", "quiet"],
                        help="worlds of each seed, by kind of scheme; mixed has a quarter quiet ones")  # fmt: skip
    parser.add_argument("--policy", type=Path, default=POLICY, help="selection policy of the world")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--html", type=Path, help="write the report here")
    parser.add_argument("--resume", action="store_true", help="take what is finished in the --json file as it is")
    options = parser.parse_args(arguments)
    if not options.data and not options.world:
        parser.error("give --data or --world")
    if options.resume and not options.json:
        parser.error("--resume needs --json")
    known = ("borderflow", *[strategy.name for strategy in baselines()])
    if wrong := [name for name in options.strategies or () if name not in known]:
        parser.error(f"--strategies: no strategy {wrong[0]!r}; there are {', '.join(known)}")
    needed = [name.partition(" ")[0].lower() for name in _names(options) if name.startswith(("XGBoost", "LightGBM"))]
    for name in ["matplotlib"] * bool(options.html) + needed:
        if find_spec(name) is None:  # hours of work would end there
            parser.error(f"{name} is missing: pip install 'borderflow[bench]'")
    console = Console()
    found = Findings(options.json, options.resume)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    scores: list[tuple[float, bool]] = []
    with bar:
        if options.data:
            run_data(options, bar, found)
        if options.world:
            policy = read_policy(yaml.safe_load(options.policy.read_text(encoding="utf-8")))
            for seed in options.world:
                for kind in options.kinds:
                    if not found.has_world(seed, kind):
                        found.add_world(run_world(seed, kind, policy, options, bar, scores))
    cdd, world = found.of("view"), found.of("seed")
    draws = {(one["view"], one["strategy"]): one["draws"] for one in found.series}
    if cdd:
        shown = [{**one, "draws": draws[one["view"], one["strategy"]]} for one in cdd]
        console.print(table(shown, (*CDD_COLUMNS, "draws"), "Customs Declaration Dataset"))
    if world:
        console.print(table(found.details, WORLD_COLUMNS, "Drifting world"))
    found.write()
    if options.html:
        options.html.write_text(html(cdd, found.series, found.details, bands(scores)), encoding="utf-8")
    return 0


class Findings:
    """What is found so far, and the file that keeps it."""

    def __init__(self, path: Path | None, resume: bool) -> None:
        self._path = path
        self.rows: list[dict[str, Any]] = []
        self.series: list[dict[str, Any]] = []
        self.details: list[dict[str, Any]] = []
        if resume and path is not None and path.exists():
            held = json.loads(path.read_text(encoding="utf-8"))
            self.rows, self.series, self.details = held["rows"], held["series"], held["details"]

    def of(self, key: str) -> list[dict[str, Any]]:
        """Rows of the data set (`view`) or of the worlds (`seed`)."""
        return [one for one in self.rows if key in one]

    def has(self, view: str, strategy: str, rate: float) -> bool:
        """Whether this row is finished."""
        wanted = (view, strategy, rate)
        return any((one["view"], one["strategy"], one["rate"]) == wanted for one in self.series)

    def add_data(self, row: dict[str, Any], series: dict[str, Any]) -> None:
        """Keep one row of the data set."""
        self.rows.append(row)
        self.series.append(series)
        self.write()

    def repeat(self, view: str, strategy: str, rate: float, other: str) -> None:
        """Keep a finished row for another view, in which the strategy sees the same."""
        wanted = (view, strategy, rate)
        row, series = (
            next(one for one in kept if (one.get("view"), one["strategy"], one.get("rate")) == wanted)
            for kept in (self.rows, self.series)
        )
        self.add_data({**row, "view": other}, {**series, "view": other})

    def has_world(self, seed: int, kind: str) -> bool:
        """Whether all rows of this world are there: they are added at once."""
        return any((one["seed"], one["kind"]) == (seed, kind) for one in self.details)

    def add_world(self, details: list[dict[str, Any]]) -> None:
        """Keep the rows of one world."""
        self.details += details
        self.rows += [{name: one[name] for name in WORLD_ROW} for one in details]
        self.write()

    def write(self) -> None:
        """Write the file, if there is one."""
        if self._path is not None:
            held = {"rows": self.rows, "series": self.series, "details": self.details}
            self._path.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def run_data(options: Any, bar: Progress, found: Findings) -> None:
    """Rows of the data set, one per view, strategy and rate."""
    names = _names(options)
    todo = [
        (view, rate, name)
        for view in options.views
        for rate in options.rates
        for name in names
        if not found.has(view, name, rate)
    ]
    whole = bar.add_task("data set", total=len(todo))
    for view in options.views:
        shelves: list[targeting_cdd.Shelf] = []
        exact = view != "no-exact-tuple"
        for rate, name in [(rate, name) for in_view, rate, name in todo if in_view == view]:
            if not exact and name not in LEVELS and found.has("full", name, rate):
                found.repeat("full", name, rate, view)
                bar.advance(whole)
                continue
            draws = 1 if view != "unseen-tuple" else options.slow_draws if name in SLOW else options.draws
            shelves += [targeting_cdd.Shelf(options.data, view, draw) for draw in range(len(shelves), draws)]
            weeks = sum(1 for shelf in shelves[:draws] for _ in shelf.weeks())
            task = bar.add_task(f"{view} {rate:.0%} {name}", total=weeks)
            done = [_run_data(name, shelf, rate, exact, bar, task) for shelf in shelves[:draws]]
            found.add_data(targeting_cdd.row(view, name, rate, done), targeting_cdd.series(view, name, rate, done))
            bar.remove_task(task)
            bar.advance(whole)


def _run_data(
    name: str, shelf: targeting_cdd.Shelf, rate: float, exact: bool, bar: Progress, task: TaskID
) -> targeting_cdd.Weeks:
    def tell() -> None:
        bar.advance(task)

    if name == "borderflow":
        return targeting_cdd.run_borderflow(shelf, rate, exact, tell)
    return targeting_cdd.run_baseline(baselines([name])[0], shelf, rate, exact, tell)


def run_world(
    seed: int, kind: str, policy: Policy, options: Any, bar: Progress, scores: list[tuple[float, bool]]
) -> list[dict[str, Any]]:
    """Rows of one world, one per strategy."""
    task = bar.add_task(f"world {seed} {kind}", total=options.days)

    def tell(what: str, done: int, total: int) -> None:
        bar.update(task, description=f"world {seed} {kind} {what}", completed=done, total=total)

    run, world, examples = targeting_world.run_borderflow(seed, options.days, options.items, policy, kind, tell)
    scores += run.scores
    coverage = policy.capacity_share
    rows = []
    if "borderflow" in _names(options):
        rows += targeting_world.measure(run, world, examples, seed, coverage, kind)
    for strategy in baselines([name for name in _names(options) if name != "borderflow"]):
        other = targeting_world.run_baseline(strategy, examples, world.truth, seed, coverage, tell)
        rows += targeting_world.measure(other, world, examples, seed, coverage, kind)
    bar.remove_task(task)
    return rows


def _names(options: Any) -> list[str]:
    return options.strategies or ["borderflow", *[strategy.name for strategy in baselines()]]


if __name__ == "__main__":
    sys.exit(main())
