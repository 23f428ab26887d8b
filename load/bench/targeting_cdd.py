"""Targeting on the Customs Declaration Dataset, by the protocol of the customs active-learning literature.

Kim et al. 2022, "Active learning for human-in-the-loop customs inspection" (TKDE): the first 30 days are fully
labelled, then weeks in date order; each week a strategy picks its share and learns those labels only, after the week.

The set is synthetic and its labels repeat with the tuple (HS6, departure, origin, tax rate, tax type, net mass), so a
memoriser shines on view `full`. View `unseen-tuple` keeps one random row of each tuple, and only generalisation
helps; `no-exact-tuple` keeps all rows, but no feature may hold the tuple (nor the exact mass beside any part of it).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

from agents.filtering import Filtering
from agents.identity import unit_hash
from agents.loop import Loop, Sent
from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.features import describe
from agents.risk.policy import ControlPointPolicy, Policy
from agents.risk.profiles import Profiles
from agents.risk.quarantine import Quarantine
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from load.bench.targeting_strategies import Cost, Example, Strategy, pick
from load.datasets.cdd import Declarations
from load.desk import Lodged
from schemas.inspections import OutcomeLearned
from schemas.items import ItemFiltered
from schemas.marks import Upstream

VIEWS = ("full", "unseen-tuple", "no-exact-tuple")
WARM_DAYS = 30
WEEK = 7
LAST = 13
DAY = 86400.0


@dataclass(slots=True)
class Weeks:
    """What one strategy found: (precision, recall, best possible precision, coverage) by week.

    `scores` are (probability by the model, fraud or not) of what was picked, where the strategy has probabilities.
    """

    found: list[tuple[float, float, float, float]] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    scores: list[tuple[float, bool]] = field(default_factory=list)

    def add(self, hits: int, places: int, positives: int, items: int) -> None:
        """One week."""
        best = min(positives, places) / places
        self.found.append((hits / places, hits / positives if positives else 0.0, best, places / items))


class Shelf:
    """The declarations of one view, by day, with their labels."""

    def __init__(self, files: list[Path], view: str, draw: int) -> None:
        declarations = Declarations(files)
        lodged = list(declarations.lodgements())
        self.truth = declarations.truth
        if view == "unseen-tuple":
            lodged = _one_of_each(lodged, draw)
        self._examples: dict[bool, tuple[list[list[Example]], list[list[Example]]]] = {}
        first = lodged[0].lodged_at.date()
        self.by_day: dict[int, list[Lodged]] = defaultdict(list)
        for one in lodged:
            self.by_day[(one.lodged_at.date() - first).days].append(one)
        self.policy = Policy(
            version="targeting",
            control_points={office: ControlPointPolicy(streams=("express-cargo",)) for office in declarations.offices},
        )

    def label(self, item_id: str) -> int:
        """1 for a fraud."""
        return int(self.truth.of_item(item_id).illicit)

    def examples(self, exact: bool) -> tuple[list[list[Example]], list[list[Example]]]:
        """The warm days and the weeks as baselines see them: screened and filtered once for all of them."""
        held = self._examples.get(exact)
        if held is None:
            desk = Desk(self.policy, exact)

            def of(lodged: list[Lodged]) -> list[Example]:
                made = []
                for filtered in desk.screen(lodged):
                    item, description = filtered.item, describe(filtered)
                    if not exact:
                        description = description.without_whole_declarations()
                    day = item.lodged_at.timestamp() / DAY
                    made.append(Example(item.item_id, day, item.control_point, description))
                return made

            held = self._examples[exact] = [of(day) for day in self.warm()], [of(week) for week in self.weeks()]
        return held

    def warm(self) -> Iterator[list[Lodged]]:
        """The fully labelled days."""
        for day in sorted(self.by_day):
            if day < WARM_DAYS:
                yield self.by_day[day]

    def weeks(self) -> Iterator[list[Lodged]]:
        """Weeks of at least 20 rows after them."""
        weeks: dict[int, list[Lodged]] = defaultdict(list)
        for day in sorted(self.by_day):
            if day >= WARM_DAYS:
                weeks[(day - WARM_DAYS) // WEEK].extend(self.by_day[day])
        for week in sorted(weeks):
            if len(weeks[week]) >= 20:
                yield weeks[week]


class Desk:
    """Screening and filtering as the stream runs them, and a brain that follows the same log."""

    def __init__(self, policy: Policy, exact: bool) -> None:
        profiles = Profiles()
        # Fully labelled days are not what a centre sends: the guard against bursts is left off for them.
        self.brain = Brain(profiles, quarantine=Quarantine(burst=10**9, surprise=1e9), exact=exact)
        self._filtered: list[ItemFiltered] = []
        self._loop = Loop(
            (Screening(policy, profiles, RiskInformationBook(), b"targeting"), Filtering(policy, CriteriaBook())),
            {"labelled-examples": (self.brain,)},
            pass_on=self._note,
        )

    def screen(self, lodged: list[Lodged]) -> list[ItemFiltered]:
        """Filtered items, in the order of lodgement."""
        self._filtered = []
        records = []
        for one in lodged:
            if isinstance(one.body, bytes):
                raise TypeError("the data set lodges events only")
            records.append(Sent(one.key, one.body, int(one.lodged_at.timestamp() * 1000.0)))
        self._loop.send("express-cargo", records)
        return sorted(self._filtered, key=lambda filtered: filtered.item.lodged_at)

    def learn(self, filtered: ItemFiltered, features: dict[str, float], score: float, label: int) -> None:
        """Let the log say what came out."""
        item = filtered.item
        lesson = OutcomeLearned(
            decision_id=item.item_id,
            result_id=item.item_id,
            stream=item.stream,
            control_point=item.control_point,
            subject=item.subject,
            counterpart=item.cargo.shipper if item.cargo is not None else None,
            layer="model",
            lane="red",
            score=score,
            features=features,
            label=label,
            outcome="seizure" if label else "clear",
            propensity=1.0,
            exploration_rate=0.0,
            model_version=self.brain.version,
            lodged_at=item.lodged_at,
            inspected_at=item.lodged_at,
            upstream=Upstream(topic="inspection-results", partition=0, offset=self.brain.version),
        )
        self._loop.send("labelled-examples", [Sent("k", lesson, int(item.lodged_at.timestamp() * 1000.0))])

    def _note(self, topic: str, event: Any) -> Any:
        if topic == "filtered":
            self._filtered.append(event)
        return event


def run_borderflow(shelf: Shelf, rate: float, exact: bool, tell: Callable[[], None]) -> Weeks:
    """Our own strategy: the brain ranks, as it ranks in the stream; the week's best are inspected."""
    desk, weeks = Desk(shelf.policy, exact), Weeks()
    brain = desk.brain
    for lodged in shelf.warm():
        for filtered in desk.screen(lodged):
            appraisal = brain.appraise(filtered)
            desk.learn(filtered, appraisal.features, appraisal.score, shelf.label(filtered.item.item_id))
    for lodged in shelf.weeks():
        items = desk.screen(lodged)
        began = process_time()
        appraisals = [brain.appraise(filtered) for filtered in items]
        weeks.cost.add("score", len(items), began)
        places = max(1, round(rate * len(items)))
        best = heapq.nsmallest(places, range(len(items)), key=lambda i: (-appraisals[i].log_odds, i))
        picked = sorted(best)
        began = process_time()
        for i in picked:
            brain.explain(items[i], appraisals[i])
        weeks.cost.add("score", 0, began)  # what is selected says why, so its reasons are part of what a score costs
        labels = [shelf.label(filtered.item.item_id) for filtered in items]
        weeks.add(sum(labels[i] for i in picked), places, sum(labels), len(items))
        weeks.scores += [(appraisals[i].score, labels[i] == 1) for i in picked]
        began = process_time()
        for i in picked:
            desk.learn(items[i], appraisals[i].features, appraisals[i].score, labels[i])
        weeks.cost.add("learn", places, began)
        tell()
    return weeks


def run_baseline(strategy: Strategy, shelf: Shelf, rate: float, exact: bool, tell: Callable[[], None]) -> Weeks:
    """A baseline over the same filtered items."""
    weeks = Weeks()
    warm, later = shelf.examples(exact)
    for examples in warm:
        strategy.learn(examples, [shelf.label(example.item_id) for example in examples])
    for examples in later:
        began = process_time()
        scores = strategy.score(examples)
        weeks.cost.add("score", len(examples), began)
        places = max(1, round(rate * len(examples)))
        picked = pick(examples, scores, places, strategy)
        labels = [shelf.label(example.item_id) for example in examples]
        weeks.add(sum(labels[i] for i in picked), places, sum(labels), len(examples))
        began = process_time()
        strategy.learn([examples[i] for i in picked], [labels[i] for i in picked])
        weeks.cost.add("learn", places, began)
        tell()
    return weeks


def row(view: str, strategy: str, rate: float, draws: list[Weeks]) -> dict[str, Any]:
    """One row of the report, means over draws.

    The standard error is over weeks: draws are of the same weeks and share most rows, so they are no more evidence.
    """
    every = [week for weeks in draws for week in weeks.found]
    last = [week for weeks in draws for week in weeks.found[-LAST:]]
    norms = [week[0] / week[2] if week[2] else 0.0 for week in last]
    by_week = [mean(week[0] for week in same) for same in zip(*(weeks.found[-LAST:] for weeks in draws), strict=False)]
    return {
        "view": view,
        "strategy": strategy,
        "rate": rate,
        "precision_all": mean(week[0] for week in every),
        "precision_last13": mean(week[0] for week in last),
        "se_last13": stdev(by_week) / len(by_week) ** 0.5 if len(by_week) > 1 else 0.0,
        "recall_last13": mean(week[1] for week in last),
        "norm_precision_last13": mean(norms),
        "score_us": mean(weeks.cost.of("score") for weeks in draws),
        "learn_us": mean(weeks.cost.of("learn") for weeks in draws),
    }


def series(view: str, strategy: str, rate: float, draws: list[Weeks]) -> dict[str, Any]:
    """What goes with a row into the plots: means over draws by week, and the scores of what was picked."""
    by_week = [[weeks.found[n] for weeks in draws] for n in range(min(len(weeks.found) for weeks in draws))]
    named = {"precision": 0, "recall": 1, "coverage": 3}
    return {
        "view": view,
        "strategy": strategy,
        "rate": rate,
        "draws": len(draws),
        **{name: [round(mean(w[place] for w in week), 4) for week in by_week] for name, place in named.items()},
        "bands": bands([score for weeks in draws for score in weeks.scores]),
    }


def bands(scores: list[tuple[float, bool]]) -> list[tuple[float, float, int]]:
    """(Mean score, share of finds, inspections) by twentieth of the score, where at least 20 were inspected."""
    held: dict[int, list[tuple[float, bool]]] = {}
    for score, found in scores:
        held.setdefault(min(int(score * 20), 19), []).append((score, found))
    return [
        (
            round(sum(score for score, _ in band) / len(band), 4),
            round(sum(found for _, found in band) / len(band), 4),
            len(band),
        )
        for _, band in sorted(held.items())
        if len(band) >= 20
    ]


def _one_of_each(lodged: list[Lodged], draw: int) -> list[Lodged]:
    kept: dict[tuple[Any, ...], tuple[float, Lodged]] = {}
    for one in lodged:
        body: Any = one.body
        goods = body.goods[0]
        place = (goods.hs_code, body.departure, goods.origin, goods.duty_rate_percent, goods.duty_regime,
                 goods.net_mass_kg)  # fmt: skip
        chance = unit_hash("draw", draw, one.key)
        if place not in kept or chance < kept[place][0]:
            kept[place] = (chance, one)
    return sorted([one for _, one in kept.values()], key=lambda one: (one.lodged_at, one.key))
