"""Runs a simulation over an archive: candidates decide a span of history, and are held against the record of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Final

from agents.risk.brain import Brain
from agents.risk.profiles import Profiles
from agents.step import Arrival
from schemas.items import ItemFiltered
from streams.archive.layout import ArchiveError
from streams.archive.policies import PolicyShelf
from streams.archive.reading import ArchiveReader
from streams.archive.views import connect
from streams.collector import look_rarely
from streams.replay.snapshots import Snapshots
from streams.simulate.assessing import Record
from streams.simulate.candidates import Candidate, not_tried, of_same_draws
from streams.simulate.choices import ChoiceFiles, files_of
from streams.simulate.engine import Simulation
from streams.simulate.findings import Assessed, Simulated
from streams.simulate.projecting import Projector
from streams.simulate.taken import Log, Taken, taken

BATCH: Final = 500
FEW_DRAWS: Final = 10
WIDE: Final = 0.1
"""Between the ends of an interval of a seizure rate: from here on it is called wide."""
ALIKE: Final = 0.98
"""Of what was selected then, the share that the same policy selects again where nothing is missing in the archive."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: candidates (the first is the one in question, the last the baseline) over a span, in ms."""

    candidates: Sequence[Candidate]
    since_ms: int
    until_ms: int
    warm_ms: int
    swept: str | None = None
    command: str = ""


def software() -> dict[str, str]:
    """What a report was made with."""
    return {
        "borderflow": version("borderflow"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("river", "numpy", "scipy", "duckdb", "pyarrow")},
    }


def simulate(
    reader: ArchiveReader, question: Question, folder: Path, *, noticed: Callable[[int], None] = lambda count: None
) -> Simulated:
    """Decide the span with every candidate, into files in `folder`, and assess. Raises `ArchiveError`.

    Before the span the record stands: every candidate begins where the policy that ran had come to.
    """
    look_rarely()
    candidates = question.candidates
    db = connect(reader.catalogue, "outcomes", memory="1GB", spill=folder / "spill")
    try:
        record = Record(db, moment_of(question.since_ms), moment_of(question.until_ms))
        span = _Span(reader, question, folder, _filters(reader, record))
        for one in span.history:
            noticed(1)
            span.take(one)
        span.close()
        if not span.items:
            raise ArchiveError(f"{reader.catalogue.root}: no item of that time is archived (topic filtered)")
        for asked in candidates:
            if not files_of(folder, asked.name):
                policy = asked.policy.policy_version
                raise ArchiveError(f"policy {policy}: no item of that time is for a control point that it has")
        assessed = [record.assess(one, folder) for one in candidates]
        found = Simulated(
            command=question.command, software=software(), archive=str(reader.catalogue.root),
            since=moment_of(span.begun).isoformat(), until=moment_of(span.ended + 1).isoformat(),
            warm_since=moment_of(span.warmed).isoformat(), items=assessed[-1].items,
            model=_models(candidates),
            recorded=record.recorded(), candidates=assessed, baseline=candidates[-1].name, swept=question.swept,
            criteria=span.projector.projected(record) if span.projector is not None else [],
        )  # fmt: skip
        found.cautions = [
            *cautions(question, found),
            *otherwise_than_then(found),
            *_not_archived(reader, question.warm_ms, span.warmed),
        ]
    finally:
        db.close()
    return found


class _Span:
    """Decides a span. `begun`, `ended` and `warmed` are the event times (ms) of its first and last item, and of the
    first that was read at all."""

    def __init__(self, reader: ArchiveReader, question: Question, folder: Path, as_recorded: bytes | None) -> None:
        history = taken(reader, question.warm_ms, question.until_ms)
        first = next(history, None)
        self.history = history if first is None else chain((first,), history)
        fixed = {one.model for one in question.candidates if one.model is not None}
        self._knowledge = _Knowledge(reader, fixed, 0 if first is None else first.version)
        self._simulation = Simulation(question.candidates, self._knowledge.brains, as_recorded)
        self._since_ms = question.since_ms
        self._files = ChoiceFiles(folder)
        tried = self._tried = question.candidates[0]
        self.projector = Projector(tried.criteria, tried.policy) if tried.criteria else None
        self._batch: list[Taken] = []
        self.items, self.ended = 0, 0
        self.begun = self.warmed = question.until_ms

    def take(self, one: Taken) -> None:
        """Decide an item of the span, with others in one go; take over what was decided on an earlier one."""
        at_ms = one.arrival.timestamp_ms
        self.warmed = min(self.warmed, at_ms)
        if at_ms < self._since_ms:
            self._decide()
            self._knowledge.fold_to(self._simulation, one)
            self._simulation.recall([one.arrival])
            if one.decision is not None:
                self._simulation.fold(one.arrival.partition, one.decision)
            return
        self.items += 1
        self.begun, self.ended = min(self.begun, at_ms), max(self.ended, at_ms)
        if self._batch and (len(self._batch) >= BATCH or not one.is_like(self._batch[-1])):
            self._decide()
        self._batch.append(one)

    def close(self) -> None:
        """Decide what waits, and write everything."""
        self._decide()
        self._files.close()

    def _decide(self) -> None:
        if not self._batch:
            return
        self._knowledge.fold_to(self._simulation, self._batch[-1])
        places: dict[int, list[Arrival[ItemFiltered]]] = {}
        for one in self._batch:
            places.setdefault(one.arrival.partition, []).append(one.arrival)
        for place, arrivals in places.items():
            self._simulation.decide(place, arrivals, self._files, self._tried, self.projector)
        self._batch.clear()


class _Knowledge:
    """The archived lessons and changes of criteria, folded as far as an item's decision went.

    `brains` are the models that learn on, under None, and those of each version that is fixed.
    """

    def __init__(self, reader: ArchiveReader, fixed: Collection[int], begin: int) -> None:
        """Learning begins at version `begin`. Raises `ArchiveError` where a version is not archived."""
        end = reader.catalogue.end("labelled-examples", 0) or 0
        if fixed and (last := max(fixed)) > end:
            raise ArchiveError(f"--model: version {last} is not archived; labelled-examples reaches version {end}")
        self._criteria = Log(reader, "criteria")
        brain, self._lessons = _brain(reader, begin)
        self.brains: dict[int | None, Brain] = {None: brain}
        self.brains.update((model, _brain(reader, model)[0]) for model in fixed)

    def fold_to(self, simulation: Simulation, one: Taken) -> None:
        """Teach what had been learnt, and known of criteria, when an item was decided."""
        for offset, key, event, sent_ms in self._criteria.below(one.arrival.event.criteria_version):
            simulation.fold_criteria(offset, key, event, sent_ms)
        _learn(self.brains[None], self._lessons, one.version)


def _brain(reader: ArchiveReader, upto: int) -> tuple[Brain, Log]:
    """The models of a version, and the lessons that follow."""
    brain = Snapshots(reader.catalogue.root, reader.key).latest(upto) or Brain(Profiles())
    lessons = Log(reader, "labelled-examples", brain.version)
    _learn(brain, lessons, upto)
    return brain, lessons


def _learn(brain: Brain, lessons: Log, upto: int) -> None:
    for offset, key, event, _ in lessons.below(upto):
        brain.fold(offset, key, event)


def _models(candidates: Sequence[Candidate]) -> str:
    """Which models scored, in words."""
    fixed = candidates[0].model
    return "as they learnt" if fixed is None else f"version {fixed}; for {candidates[-1].name} as they learnt"


def _filters(reader: ArchiveReader, record: Record) -> bytes | None:
    """How the policies that ran filtered, if they did so alike and are all kept."""
    shelf = PolicyShelf(reader.catalogue.root)
    with suppress(ArchiveError):
        ways = {Candidate("", shelf.get(version)).filters_as for version in record.policies()}
        return ways.pop() if len(ways) == 1 else None
    return None


def moment_of(at_ms: int) -> datetime:
    """Event time from ms."""
    return datetime.fromtimestamp(min(max(at_ms, 0), 253_402_300_799_000) / 1000.0, UTC)


def cautions(question: Question, found: Simulated) -> list[str]:
    """What a reader has to know of the figures, in plain words; the general first."""
    first, base = found.candidates[0], found.candidates[-1]
    said = [
        f"{one.name} selects nothing: there is no seizure rate to compare."
        for one in found.candidates
        if not one.estimate.selected
    ]
    tried, ran = question.candidates[0], question.candidates[-1]
    same = tried.policy == ran.policy and not tried.criteria and tried.model == ran.model
    alike = [one.name for one in (found.candidates[1:-1] if same else found.candidates[:-1]) if _overlap(one, base)]
    if same:
        said.append(f"{first.name} and {base.name} are the same policy.")
    if alike:
        those = f"intervals of {', '.join(alike)} overlap" if len(alike) > 1 else f"interval of {alike[0]} overlaps"
        said.append(f"The {those} that of {base.name}: this history cannot tell which finds more in what it inspects.")
    said += [
        "Outcomes are known of inspected items only. What a candidate selects and nobody looked at is estimated from "
        "the audit sample, which was drawn by chance; the interval says how far that reaches.",
        "Models learnt what the policies that ran found. A candidate would have inspected other items, learnt other "
        "things, and ranked later items otherwise; no record can tell how.",
        "An inspection is taken to find what it would have found in any lane and by any method.",
    ]
    said += [*_left_out(first, base), *_left_out(base, first)]
    if untried := not_tried(tried.policy, ran.policy):
        said.append(
            f"Not tried: {', '.join(untried)}. {first.name} and {base.name} differ in this, but what was screened and "
            "learnt stands here as it was recorded, and lanes and deadlines change nothing that is found."
        )
    rate = first.estimate.seizure_rate
    if first.estimate.draws < FEW_DRAWS and rate.high - rate.low >= WIDE:
        said.append(
            f"Of the items that {first.name} selects anew only {first.estimate.draws} were inspected by chance: the "
            "interval is wide. A longer span or a larger exploration share would narrow it; nothing else would."
        )
    if found.recorded.audit_inspected == 0:
        said.append("No item of the audit sample has an outcome in this span: what is not shared is not known.")
    if not of_same_draws(question.candidates):
        said.append("The candidates draw their audit samples with different keys.")
    if tried.model is not None:
        said.append(
            f"{', '.join(one.name for one in question.candidates if one.model is not None)}: the models are those of "
            f"version {tried.model}. Where lessons of this span are among those that they learnt, they know outcomes "
            "in advance and look better than they are."
        )
    return said


def otherwise_than_then(found: Simulated) -> Iterator[str]:
    """Where the baseline is the policy that ran, and does not select what it selected."""
    base, then = found.candidates[-1], found.recorded
    if then.policies == (base.policy,) and base.shared < ALIKE * then.selected:
        yield (
            f"{base.name} is the policy that ran, and decided again it selects {base.shared:,} of the "
            f"{then.selected:,} items that it selected then. In a whole archive, by the same version of borderflow, it "
            "selects the same. Compare candidates with each other and with it, not with what is recorded."
        )


def _overlap(one: Assessed, other: Assessed) -> bool:
    """Whether two candidates that select something cannot be told apart."""
    first, second = one.estimate, other.estimate
    if not first.selected or not second.selected:
        return False
    return first.seizure_rate.low <= second.seizure_rate.high and second.seizure_rate.low <= first.seizure_rate.high


def _left_out(less: Assessed, more: Assessed) -> Iterator[str]:
    """What one candidate does not decide of what another one does."""
    held = {one.name: one.items for one in less.by_control_point}
    lacking = {one.name: one.items - held.get(one.name, 0) for one in more.by_control_point}
    lacking = {name: items for name, items in lacking.items() if items > 0}
    if lacking:
        named = ", ".join(sorted(lacking.keys() - held.keys()))
        yield (
            f"{less.name} decides {more.items - sum(lacking.values()):,} of the {more.items:,} items that {more.name} "
            f"decides: its policy has no control point for the others{f' ({named})' if named else ''}. So their "
            "figures are not about the same items."
        )


def _not_archived(reader: ArchiveReader, warm_ms: int, warmed: int) -> Iterator[str]:
    """What those who decided knew, and the archive does not have any more."""
    if warmed > warm_ms and any(_missing(reader, "filtered", at) for at in reader.catalogue.partitions("filtered")):
        yield (
            f"Items from before {moment_of(warmed).isoformat()[:16]} UTC are not archived: accounts, bars and flows "
            "are empty then, and were not when it was decided. Figures of the days that follow are less sure."
        )
    if missing := _missing(reader, "labelled-examples", 0):
        yield f"The first {missing:,} lessons are not archived: the models that decided then knew more than these do."


def _missing(reader: ArchiveReader, topic: str, partition: int) -> int:
    """How many records of a partition came before the first one that is archived."""
    chunks = reader.catalogue.chunks(topic, partition)
    return chunks[0].first if chunks else 0
