"""Do the intervals of `borderflow simulate` hold the truth? `python -m load.bench.estimator`

Worlds where the truth is known are lodged, decided, inspected and archived; candidate policies drawn at random are
simulated on each; the seizure rate that each would have had is compared with the 95% interval that the archive alone
gives. Some results are missing, and half of the candidates draw their audit samples anew.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from agents.epoch import epoch_ms
from agents.risk.policy import Policy, read_policy
from load.bench.history import Made, make_history
from load.inspectors import Inspector
from load.world import START
from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.times import LATEST
from streams.archive.views import connect
from streams.policies import built_in_policy
from streams.simulate.candidates import Candidate
from streams.simulate.choices import files_of
from streams.simulate.run import Question, simulate

METHODS: Final = ("seizure_rate", "horvitz_thompson", "self_normalised")
MISS_RATE: Final = 0.1
DIRT: Final = 0.1
"""Half of this share of inspections brings no outcome: not inspected, or passed on."""


def drawn_policy(base: Policy, dice: Random, number: int) -> Policy:
    """A policy with capacity, layers and rules drawn at random."""
    settings: dict[str, Any] = msgspec.to_builtins(base)
    settings["version"] = f"drawn-{number}"
    settings["draw_key"] = base.draws if number % 2 else f"own-{number}"
    settings["capacity_share"] = round(10 ** dice.uniform(-2.3, -1.2), 4)
    settings["layers"] = {
        "exploration": round(dice.uniform(0.02, 0.4), 3), "surge": round(dice.uniform(0, 0.3), 3),
        "profile": round(dice.uniform(0, 0.2), 3), "anomaly": round(dice.uniform(0, 0.05), 3),
    }  # fmt: skip
    settings["surge"]["worth"] = round(dice.uniform(0.0, 8.0), 2)
    settings["surge"]["patrol_worth"] = round(dice.uniform(0.0, 8.0), 2)
    settings["profile"]["hit_rate"] = round(dice.uniform(0.05, 0.8), 2)
    settings["anomaly"]["at_least"] = round(dice.uniform(0.9, 0.999), 3)
    settings["controller"]["window_items"] = dice.choice((500, 2000, 8000))
    settings["cold_start"]["exploration"] = max(0.45, settings["layers"]["exploration"])
    return read_policy(settings)


def one_world(seed: int, count: int, items: int, days: int, warm_days: int) -> list[dict[str, Any]]:
    """Rows of one world: `count` candidates, what each would have found and what is estimated."""
    dice, base = Random(seed), built_in_policy()  # noqa: S311 - a benchmark's dice
    candidates = [Candidate(f"{seed}-{n}", drawn_policy(base, dice, n)) for n in range(count)]
    with tempfile.TemporaryDirectory(prefix="borderflow-estimator-") as held:
        root, chosen = Path(held) / "archive", Path(held) / "chosen"
        made = make_history(root, items=items, days=days, seed=seed, miss_rate=MISS_RATE, dirt=DIRT)
        reader = ArchiveReader(Catalogue.of(root))
        question = Question(candidates=candidates, since_ms=epoch_ms(START + timedelta(days=warm_days)),
                            until_ms=epoch_ms(LATEST), warm_ms=0)  # fmt: skip
        found = simulate(reader, question, chosen)
        truth = would_seize(reader, made, seed)
        rows = []
        for candidate, assessed in zip(candidates, found.candidates, strict=True):
            table = pq.read_table(files_of(chosen, candidate.name), columns=["decision_id", "certain", "chance"])
            seized = np.array([truth[one] for one in table.column("decision_id").to_pylist()])
            share = np.where(table.column("certain").to_numpy(), 1.0, table.column("chance").to_numpy())
            rate = float((share * seized).sum() / share.sum())
            row = {"seed": seed, "policy": candidate.policy.policy_version, "coverage": assessed.coverage, "true": rate,
                   "unknown_share": assessed.estimate.unknown_share, "draws": assessed.estimate.draws}  # fmt: skip
            for method in METHODS:
                figure = getattr(assessed.estimate, method)
                value = figure.low if figure.value is None else figure.value
                row |= {method: value, f"{method}_low": figure.low, f"{method}_high": figure.high,
                        f"{method}_covers": figure.low - 1e-9 <= rate <= figure.high + 1e-9}  # fmt: skip
            rows.append(row)
    return rows


def would_seize(reader: ArchiveReader, made: Made, seed: int) -> dict[str, bool]:
    """By decision id, whether an inspection would have ended in a seizure."""
    inspector = Inspector(made.truth, seed, miss_rate=MISS_RATE)
    db = connect(reader.catalogue, "decisions")
    decided = db.execute("SELECT decision_id, item_id FROM decisions").fetchall()
    db.close()
    return {decision: inspector.would_seize(decision, item) for decision, item in decided}


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By method: how often its interval held the truth, how wide it was, how far off the estimate."""
    return [
        {
            "method": method,
            "covered": sum(row[f"{method}_covers"] for row in rows),
            "policies": len(rows),
            "median_width": median(row[f"{method}_high"] - row[f"{method}_low"] for row in rows),
            "mean_error": sum(abs(row[method] - row["true"]) for row in rows) / len(rows),
        }
        for method in METHODS
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit code 1 when the intervals in use hold the truth for fewer than 90% of the policies."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.estimator", description=__doc__)
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--policies", type=int, default=10, help="candidates in each world")
    parser.add_argument("--items", type=int, default=30_000, help="items of each world")
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--warm-days", type=int, default=6, help="first days that are not assessed")
    parser.add_argument("--seed", type=int, default=100, help="seed of the first world")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    console, rows = Console(highlight=False), list[dict[str, Any]]()
    for seed in range(options.seed, options.seed + options.worlds):
        rows += one_world(seed, options.policies, options.items, options.days, options.warm_days)
        held = sum(row["seizure_rate_covers"] for row in rows)
        console.print(f"world {seed}: {held} of {len(rows)} intervals hold the true seizure rate so far")
    made = summary(rows)
    table = Table("estimate", "95% interval holds the truth", "median width", "mean error", title="Candidate policies")
    for one in made:
        table.add_row(one["method"], f"{one['covered']} of {one['policies']}", f"{one['median_width']:.3f}",
                      f"{one['mean_error']:.4f}")  # fmt: skip
    console.print(table)
    if options.json is not None:
        options.json.write_text(json.dumps({"rows": rows, "summary": made}, indent=1))
    return int(made[0]["covered"] < 0.9 * len(rows))


if __name__ == "__main__":
    raise SystemExit(main())
