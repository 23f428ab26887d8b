"""What the first two steps cost an item: `python -m load.bench.screening [ITEMS]`.

Traffic of the simulated world through the deciders that workers host, over the codec and back, in batches of one
partition each. Microseconds of CPU an item, the best of three passes, and the ratio to decoding the same lodgements
with msgspec in the same run, which carries over between machines.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time_ns
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from agents.filtering import Filtering
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import Policy, read_policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.step import Arrival, Outcome
from load.bench.criteria import conditions, published
from load.world import World
from schemas.codec import codec_for, encode
from schemas.lodgements import ManifestLodged

BATCH = 250
PASSES = 3
POLICY = Path(__file__).parents[2] / "streams" / "policies" / "default.yaml"
STREAMS = ("manifests", "express-cargo", "passengers")


def policy() -> Policy:
    """The default policy."""
    return read_policy(yaml.safe_load(POLICY.read_text(encoding="utf-8")))


def lodged(items: int, seed: int = 7) -> dict[str, list[tuple[bytes, int]]]:
    """Encoded lodgements of some `items` items with their event times in ms, by topic."""
    records: dict[str, list[tuple[bytes, int]]] = {topic: [] for topic in STREAMS}
    count = 0
    for one in World(seed, items_per_day=20_000).lodgements():
        if isinstance(one.body, bytes):
            continue
        records[one.topic].append((encode(one.body), int(one.lodged_at.timestamp() * 1000)))
        count += len(one.body.consignments) if isinstance(one.body, ManifestLodged) else 1
        if count >= items:
            break
    return records


def encoded(outcome: Outcome) -> list[bytes]:
    """The bytes of all outputs."""
    return [encode(output.event) for output in outcome.outputs]


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What `run` returns, and the CPU microseconds it took."""
    began = process_time_ns()
    result = run()
    return result, (process_time_ns() - began) / 1000.0


def screened(step: Screening, topic: str, events: list[Any], records: list[tuple[bytes, int]]) -> Outcome:
    """All lodgements of a topic, in batches."""
    whole = Outcome()
    for at in range(0, len(events), BATCH):
        arrivals = [
            Arrival(event, topic, 0, at + n, records[at + n][1], records[at + n][1])
            for n, event in enumerate(events[at : at + BATCH])
        ]
        outcome = step.decide(None, arrivals)
        whole.outputs += outcome.outputs
        whole.refusals += outcome.refusals
    return whole


def filtered(step: Filtering, arrivals: list[Arrival[Any]]) -> Outcome:
    """All screened items of one partition, in batches."""
    state, whole = step.begin(0, 0), Outcome()
    for at in range(0, len(arrivals), BATCH):
        outcome = step.decide(state, arrivals[at : at + BATCH])
        whole.outputs += outcome.outputs
        whole.refusals += outcome.refusals
    return whole


def measure_screening(
    topic: str, records: list[tuple[bytes, int]], rules: Policy
) -> tuple[dict[str, float], list[tuple[int, bytes]]]:
    """Microseconds an item of one stream by part, and the encoded items with their event times."""
    decode, best = codec_for(topic).decode, dict[str, float]()
    for _ in range(PASSES):
        step = Screening(rules, Profiles(), RiskInformationBook(), b"benchmark")
        events, decode_us = timed(lambda: [decode(value) for value, _ in records])
        outcome, screen_us = timed(partial(screened, step, topic, events, records))
        values, encode_us = timed(partial(encoded, outcome))
        if outcome.refusals:
            raise RuntimeError(f"{len(outcome.refusals)} refused: {outcome.refusals[0]}")
        _keep_best(best, len(values), {"decode": decode_us, "decide": screen_us, "encode": encode_us})
    return best, [(output.at_ms, value) for output, value in zip(outcome.outputs, values, strict=True)]


def measure_filtering(items: list[tuple[int, bytes]], rules: Policy) -> dict[str, float]:
    """Microseconds an item by part, all streams in one partition in the order of event time."""
    decode, best = codec_for("screened").decode, dict[str, float]()
    many = CriteriaBook()
    for n, condition in enumerate(conditions(500)):
        many.fold(n, None, published(f"C{n:05d}", condition))
    for _ in range(PASSES):
        events, decode_us = timed(lambda: [decode(value) for _, value in items])
        arrivals = [Arrival(events[n], "screened", 0, n, at, at) for n, (at, _) in enumerate(items)]
        outcome, filter_us = timed(partial(filtered, Filtering(rules, CriteriaBook()), arrivals))
        _, criteria_us = timed(partial(filtered, Filtering(rules, many), arrivals))
        _, encode_us = timed(partial(encoded, outcome))
        parts = {"decode": decode_us, "decide": filter_us, "with 500 criteria": criteria_us, "encode": encode_us}
        _keep_best(best, len(items), parts)
    return best


def _keep_best(best: dict[str, float], items: int, parts: dict[str, float]) -> None:
    best["items"] = items
    for name, took in parts.items():
        best[name] = min(best.get(name, took / items), took / items)


def measure(items: int) -> dict[str, dict[str, float]]:
    """Both steps, by what is measured."""
    records, rules = lodged(items), policy()
    gc.collect()
    gc.freeze()  # the simulated world is no part of a worker: its objects shall not be collected on our time
    table: dict[str, dict[str, float]] = {}
    everything: list[tuple[int, bytes]] = []
    for topic in STREAMS:
        table[f"screening {topic}"], values = measure_screening(topic, records[topic], rules)
        everything += values
    table["filtering"] = measure_filtering(sorted(everything), rules)
    return table


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.screening", description=__doc__.split("\n\n")[0])
    parser.add_argument("items", nargs="?", type=int, default=20_000)
    items = parser.parse_args().items
    columns = ("decode", "decide", "with 500 criteria", "encode")
    shown = Table("microseconds an item", "items", *columns, "decide / decode", box=None)
    for name, best in measure(items).items():
        figures = [f"{best[column]:.1f}" if column in best else "" for column in columns]
        shown.add_row(name, f"{best['items']:.0f}", *figures, f"{best['decide'] / best['decode']:.1f}")
    console = Console(width=120)
    console.print(shown)
    console.print("A manifest's consignments are decoded while they are screened, so that is in its decide.")


if __name__ == "__main__":
    main()
