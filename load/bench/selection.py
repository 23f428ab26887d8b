"""What selection itself costs for one item: layers, account, bar, lane, draw, ids and the decision, without the brain.

`python -m load.bench.selection [--items N] [--profile]` prints microseconds an item, the median of several runs, and
what the controllers select. The budget is 8 microseconds on a quiet core; the ratio to decoding one item with
msgspec in the same run carries over between machines.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import random
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from agents.risk.policy import Policy, read_policy
from agents.risk.ranks import constant_look
from agents.risk.selectivity import Appraisal
from agents.selection import Selection
from agents.step import Arrival
from load.bench.timing import microseconds
from schemas.decisions import Layer, Reason
from schemas.items import CargoFacts, GoodsFacts, ItemFiltered, ItemScreened, Monitored, PriorRecord
from schemas.marks import Origin, Upstream

BATCH = 500
POINTS = ("KRICN-EXP", "KRPTK-EXP", "KRINC-EXP")
_START = datetime(2026, 1, 5, tzinfo=UTC)


class Scored:
    """An appraisal made beforehand, so that only selection is on the clock."""

    __slots__ = ("features", "flows", "learnt", "log_odds", "model_version", "surge_finds")

    def __init__(self, log_odds: float, flows: tuple[str, ...]) -> None:
        self.log_odds = log_odds
        self.flows = flows
        self.features = {"told": log_odds}
        self.learnt = 10_000
        self.surge_finds = 0.1
        self.model_version = 1

    def rank(self, busy: float) -> float:
        """As for travellers: its score."""
        return self.log_odds

    def probability(self, score: float) -> float | None:
        """As outside of the band where scores are calibrated."""
        return None

    def among(self, traffic: dict[str, float]) -> Scored:
        """Told already."""
        return self

    def look(self, worth: float, unseen: float, daily: float) -> float:
        """As for travellers."""
        return constant_look(worth, unseen)

    def below_bar(self, layer: Layer) -> float:
        """As for travellers."""
        return 1.0


class Prepared:
    """Hands out the appraisals in the order of the items."""

    def __init__(self, scored: list[Scored]) -> None:
        self._scored = iter(scored)

    def appraise(self, filtered: ItemFiltered) -> Appraisal:
        return next(self._scored)

    def explain(self, filtered: ItemFiltered, appraisal: Any, limit: int = 5) -> tuple[Reason, ...]:
        return ()


def policy() -> Policy:
    """Three express centres at 2%."""
    return read_policy(
        {"version": "bench", "control_points": {name: {"streams": ["express-cargo"]} for name in POINTS}}
    )


def parcels(count: int) -> list[Arrival[ItemFiltered]]:
    """Parcels at 50 a second over the three centres."""
    goods = GoodsFacts(hs6="851712", gross_mass_kg=1.5, value_usd=120.0, origin="CN")
    monitored = Monitored(
        arrivals_1h=1,
        arrivals_24h=1,
        value_24h_usd=120.0,
        shippers_24h=1,
        control_points_24h=1,
        first_seen_hours=0.0,
        below_threshold_24h=0,
    )
    made = []
    for number in range(count):
        at = _START + timedelta(milliseconds=20 * number)
        at_ms = int(at.timestamp() * 1000)
        cargo = CargoFacts(
            bill=f"W{number}",
            consignee=f"c:{number:032x}",
            shipper="c:1",
            consignee_name="A",
            shipper_name="B",
            carrier="KE",
            mode="express",
            departure="CN",
            goods=goods,
        )
        item = ItemScreened(
            item_id=f"express-cargo/W{number}",
            stream="express-cargo",
            control_point=POINTS[number % 3],
            lodged_at=at,
            due_at=at + timedelta(hours=6),
            subject=cargo.consignee,
            cargo=cargo,
            prior=PriorRecord(),
            profile_version=1,
            risk_information_version=1,
            origin=Origin(topic="express-cargo", partition=0, offset=number, lodgement_id=f"W{number}", sent_ms=at_ms),
            upstream=Upstream(topic="express-cargo", partition=0, offset=number),
        )
        filtered = ItemFiltered(
            item=item,
            monitored=monitored,
            anomaly=number % 97 / 97.0,
            auto_cleared=number % 4 == 0,
            criteria_version=1,
            upstream=Upstream(topic="screened", partition=0, offset=number),
        )
        made.append(Arrival(filtered, "filtered", 0, number, at_ms, at_ms))
    return made


def scores(count: int, flows: int) -> list[Scored]:
    """Log-odds of unit spread, and so many flows an item of some thousands."""
    rng = random.Random(1)  # noqa: S311  # a benchmark's input, not a secret
    return [
        Scored(rng.gauss(-4.0, 1.0), tuple(f"flow-{level}-{rng.randrange(2000)}" for level in range(flows)))
        for _ in range(count)
    ]


def run(inputs: list[Arrival[ItemFiltered]], scored: list[Scored]) -> tuple[float, int]:
    """(microseconds an item, selected) of one run over all items."""
    selection = Selection(policy(), Prepared(scored))
    state = selection.begin(0, 0)
    selected = 0
    gc.collect()
    gc.freeze()  # a worker does not hold the inputs of a whole run
    began = time.process_time()
    for start in range(0, len(inputs), BATCH):
        outcome = selection.decide(state, inputs[start : start + BATCH])
        selected += sum(output.topic == "alerts" for output in outcome.outputs)
    return (time.process_time() - began) / len(inputs) * 1e6, selected


def main() -> None:
    """Print the figures, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--items", type=int, default=60_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    inputs = parcels(asked.items)
    if asked.profile:
        scored = scores(asked.items, 0)
        profile = cProfile.Profile()
        profile.runcall(run, inputs, scored)
        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(25)
        return
    raw = msgspec.json.encode(inputs[0].event)
    decoder = msgspec.json.Decoder(ItemFiltered)
    decoding = microseconds(lambda: decoder.decode(raw))
    rows = []
    for flows in (0, 3):
        scored = scores(asked.items, flows)
        runs = [run(inputs, scored) for _ in range(asked.runs)]
        rows.append(
            {
                "flows": flows,
                "us_per_item": round(statistics.median(took for took, _ in runs), 2),
                "best_us_per_item": round(min(took for took, _ in runs), 2),
                "times_decoding": round(min(took for took, _ in runs) / decoding, 2),
                "selected_share": round(runs[0][1] / len(inputs), 4),
            }
        )
    if asked.json:
        sys.stdout.write(json.dumps({"rows": rows}) + "\n")
        return
    sys.stdout.write("flows an item | CPU us an item, median | best | times decoding the item | selected\n")
    for row in rows:
        sys.stdout.write(
            "{flows} | {us_per_item} | {best_us_per_item} | {times_decoding} | {selected_share:.2%}\n".format(**row)
        )


if __name__ == "__main__":
    main()
