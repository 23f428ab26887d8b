"""Targeting on the drifting world: borderflow's whole loop, and every baseline, over the same lodgements.

Each seed is a world of schemes that surge, move and mutate, and another of quiet schemes: what can be found of the two,
and what it takes, are different questions, and in one world the finds of one kind hide the other's (docs/adr/0013).

borderflow runs as it runs in the stream: all four steps, item by item, each control point on its capacity, results
coming back while the day goes on; every Monday somebody promotes the passengers' model as it stands. The baselines
get more comfort: each sees a whole day of a control point at once and picks its best 2% of it. The prior records of
each are what its own inspections found: not borderflow's, in whose loop the items were screened.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from time import process_time
from typing import Any

from msgspec.structs import replace

from agents.identity import unit_hash
from agents.loop import Sent, whole_loop
from agents.risk.features import RECORD, SHIPPER_RECORD, describe, note_record
from agents.risk.policy import Policy
from agents.risk.profiles import NOTHING_KNOWN
from load.bench.targeting_strategies import Cost, Example, Strategy, pick
from load.inspectors import Inspector
from load.oracle import oracle
from load.truth import Fate
from load.world import World
from schemas.inspections import ModelPromoted
from schemas.items import ItemFiltered, PriorRecord

MISS_RATE = 0.1
KINDS = {"surge": 0.0, "quiet": 1.0, "mixed": 0.25}
"""Worlds by the share of their schemes that are quiet."""
BASE_RATE = 0.018
SLOTS = 24
BOOMS = 20
"""Schemes under way at a time, and licit surges that look like them."""
DAY = 86400.0
CHUNK = timedelta(minutes=15)
"""Items of a chunk are decided, then what has come back by its end is learnt: nothing is known before its time."""
FEW_HITS = 3
"""A scheme with fewer hits was never found."""
LATE_DAYS = 10.0
"""Schemes that begin in the last days of a run are left out of `never_found`: nobody had time."""

Tell = Callable[[str, int, int], None]
"""Progress: what, done, total."""


@dataclass(slots=True)
class Run:
    """What one strategy did with one world: inspections by item, and which of them found something."""

    strategy: str
    picked: dict[str, bool] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    scores: list[tuple[float, bool]] = field(default_factory=list)


def drifting_world(seed: int, items_per_day: int, kind: str) -> World:
    """The world of the benchmark."""
    return World(
        seed, items_per_day=items_per_day, base_rate=BASE_RATE, quiet=KINDS[kind], slots=SLOTS, booms=BOOMS
    )  # fmt: skip


def run_borderflow(
    seed: int, days: int, items_per_day: int, policy: Policy, kind: str, tell: Tell
) -> tuple[Run, World, list[Example]]:
    """The whole loop over one world. Also the items as filtered, for the baselines."""
    world = drifting_world(seed, items_per_day, kind)
    examples: list[Example] = []

    def note(topic: str, event: Any) -> Any:
        if topic == "filtered":
            examples.append(_unrecorded(event))
        return event

    loop = whole_loop(policy, b"targeting", pass_on=note)
    inspector = Inspector(world.truth, seed, miss_rate=MISS_RATE)
    run = Run("borderflow")
    waiting: dict[str, list[Sent]] = {}
    until, end = world.start + CHUNK, world.start + timedelta(days=days)

    def flush(now: datetime) -> None:
        for topic in sorted(waiting):
            before = len(examples)
            began = process_time()
            done = loop.send(topic, waiting[topic])
            run.cost.add("score", len(examples) - before, began)
            for alert in done.alerts:
                decided[alert.decision.decision_id] = alert.decision.item_id
                run.picked[alert.decision.item_id] = False
                inspector.take(alert, alert.alert_id)
        waiting.clear()
        for result in _in_turn(inspector.due(now)):
            began = process_time()
            done = loop.inspect(result)
            run.cost.add("learn", len(done.examples), began)
            for example in done.examples:
                found = example.label == 1
                run.picked[decided[example.decision_id]] = found
                run.scores.append((example.score, found))

    decided: dict[str, str] = {}
    for lodged in world.lodgements(end):
        while lodged.lodged_at >= until:
            flush(until)
            until += CHUNK
            midnight = (until.hour, until.minute) == (0, 0)
            if midnight and until.weekday() == 0:
                at = int(until.timestamp() * 1000.0)
                promoted = ModelPromoted(stream="passengers", model="linear", by="benchmark", at=until)
                loop.send("labelled-examples", [Sent("passengers", promoted, at)])
            if midnight:
                tell("borderflow", (until - world.start).days, days)
        if isinstance(lodged.body, bytes):
            continue
        waiting.setdefault(lodged.topic, []).append(
            Sent(lodged.key, lodged.body, int(lodged.lodged_at.timestamp() * 1000.0))
        )
    flush(end)
    flush(end + timedelta(days=4))
    return run, world, examples


def run_baseline(
    strategy: Strategy, examples: list[Example], truth: Any, seed: int, coverage: float, tell: Tell
) -> Run:
    """One baseline over the same items, a day of a control point at a time; results come back 1-3 days later."""
    run = Run(strategy.name)
    records: dict[str, PriorRecord] = {}
    by_day: dict[int, dict[str, list[Example]]] = defaultdict(lambda: defaultdict(list))
    for example in examples:
        by_day[int(example.day)][example.control_point].append(example)
    owed: dict[str, float] = defaultdict(float)
    pending: list[tuple[float, int, Example, int]] = []
    serial = 0
    for done, day in enumerate(sorted(by_day)):
        due: list[tuple[Example, int]] = []
        while pending and pending[0][0] <= day:
            _, _, example, label = heapq.heappop(pending)
            due.append((example, label))
            for party in set(example.parties):
                record = records.get(party, NOTHING_KNOWN)
                records[party] = PriorRecord(inspections=record.inspections + 1, seizures=record.seizures + label)
        if due:
            began = process_time()
            strategy.learn([example for example, _ in due], [label for _, label in due])
            run.cost.add("learn", len(due), began)
        points = by_day[day]
        todays = [_recorded(example, records) for point in sorted(points) for example in points[point]]
        began = process_time()
        scores = strategy.score(todays)
        run.cost.add("score", len(todays), began)
        at = 0
        for point in sorted(points):
            group = todays[at : at + len(points[point])]
            owed[point] += coverage * len(group)
            places = int(owed[point])
            owed[point] -= places
            for i in pick(group, scores[at : at + len(group)], places, strategy):
                example = group[i]
                fate: Fate = truth.of_item(example.item_id)
                found = fate.illicit and unit_hash(seed, "miss", example.item_id) >= MISS_RATE
                run.picked[example.item_id] = found
                serial += 1
                back = example.day + 1.0 + 2.0 * unit_hash(seed, "delay", example.item_id)
                heapq.heappush(pending, (back, serial, example, int(found)))
            at += len(group)
        tell(strategy.name, done + 1, len(by_day))
    return run


def measure(
    run: Run, world: World, examples: list[Example], seed: int, coverage: float, kind: str
) -> list[dict[str, Any]]:
    """The row of a world: every find counts, of schemes or not. A mixed world has rows of its kinds of schemes too,
    each of finds of that kind among all inspections, against those of the oracle of all."""
    truth = world.truth
    fates = [truth.of_item(example.item_id) for example in examples]
    last = max(world.day_of(fate.lodged_at) for fate in fates)
    first: dict[str, float] = {}
    kinds: dict[str, str] = {}
    hits: dict[str, list[float]] = defaultdict(list)
    quarters = [[0, 0] for _ in range(4)]
    expected: dict[str, float] = defaultdict(float)
    found: dict[str, int] = defaultdict(int)
    for fate in sorted(fates, key=lambda fate: fate.lodged_at):
        day = world.day_of(fate.lodged_at)
        if fate.scheme_id is not None and fate.kind is not None:
            first.setdefault(fate.scheme_id, day)
            kinds[fate.scheme_id] = fate.kind
        hit = run.picked.get(fate.item_id)
        if hit is None:
            continue
        quarter = quarters[min(int(4.0 * day / last), 3)]
        quarter[0] += 1
        quarter[1] += hit
        for part in ("", fate.kind or "none"):
            expected[part] += (1.0 - MISS_RATE) * fate.probability
            found[part] += hit
        if hit and fate.scheme_id is not None:
            hits[fate.scheme_id].append(day)
    rows = []
    for part in ("", "surge", "quiet") if kind == "mixed" else ("",):
        best = oracle(fates, coverage, budget="point-day", miss_rate=MISS_RATE, kind=part or None)
        schemes = [s for s, day in first.items() if part in ("", kinds[s]) and day <= last - LATE_DAYS]
        times = [hits[s][FEW_HITS - 1] - first[s] for s in schemes if len(hits[s]) >= FEW_HITS]
        rows.append(
            {
                "seed": seed,
                "strategy": run.strategy,
                "kind": f"{kind}: {part}" if part else kind,
                "coverage": len(run.picked) / len(fates),
                "seizure_rate": found[part] / max(len(run.picked), 1),
                "oracle_share": expected[part] / best.expected if best.expected else None,
                "never_found": 1.0 - len(times) / len(schemes) if schemes else None,
                "days_to_third_hit": median(times) if times else None,
                "schemes": len(schemes),
                "illicit": sum(fate.illicit for fate in fates) / len(fates),
                "oracle_rate": best.expected / max(best.inspected, 1),
                "quarters": [round(q[1] / q[0], 4) if q[0] else None for q in quarters],
                "score_us": run.cost.of("score"),
                "learn_us": run.cost.of("learn"),
            }
        )
    return rows


def _unrecorded(filtered: ItemFiltered) -> Example:
    """An item as it was filtered, but for prior records."""
    item = filtered.item
    blank = replace(filtered, item=replace(item, prior=NOTHING_KNOWN, counterpart_prior=None))
    parties = (item.subject,) if item.cargo is None else (item.subject, item.cargo.shipper)
    return Example(item.item_id, item.lodged_at.timestamp() / DAY, item.control_point, describe(blank), parties)


def _recorded(example: Example, records: dict[str, PriorRecord]) -> Example:
    """The same item with what a strategy's own inspections have found at its parties."""
    told: dict[str, float] = {}
    for prefix, party in zip((RECORD, SHIPPER_RECORD), example.parties, strict=False):
        if party in records:
            note_record(prefix, records[party], told)
    if not told:
        return example
    known = example.description.among(told)
    return Example(example.item_id, example.day, example.control_point, known, example.parties)


def _in_turn(results: Iterable[Any]) -> Iterable[list[Any]]:
    """Results one at a time: the order in which a centre reports."""
    for result in results:
        yield [result]
