"""Runs a simulation over an archive: candidates decide a span of history, and are held against the record of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from agents.risk.brain import Brain
from agents.step import Arrival
from schemas.codec import Undecodable, codec_for
from streams.archive.layout import ArchiveError
from streams.archive.reading import ArchiveReader
from streams.archive.views import connect
from streams.collector import look_rarely
from streams.replay.history import happened, positions_from
from streams.simulate.assessing import Record
from streams.simulate.candidates import Candidate, not_tried, of_same_draws
from streams.simulate.choices import ChoiceFiles, files_of
from streams.simulate.engine import Simulation
from streams.simulate.findings import Assessed, Simulated
from streams.simulate.projecting import Projector
from streams.wire import header, sent_ms

BATCH: Final = 500
TOPICS: Final = ("criteria", "labelled-examples", "screened")
FEW_DRAWS: Final = 10
ALIKE: Final = 0.9
"""Of what was selected then, the share that the same policy selects again where it decides in much the same order."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: candidates (the first is the one in question, the last the baseline) over a span, in ms."""

    candidates: Sequence[Candidate]
    since_ms: int
    until_ms: int
    warm_ms: int
    model: int | None = None
    """A fixed model version; None for the models as they learnt."""
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
    """Decide the span with every candidate, into files in `folder`, and assess. Raises `ArchiveError`."""
    look_rarely()
    candidates = list(question.candidates)
    partitions = max(reader.catalogue.partitions("screened"), default=0) + 1
    simulation = Simulation(candidates, partitions, learns=question.model is None)
    if question.model is not None:
        fold_to(simulation.brain, reader, question.model)
    first = candidates[0]
    projector = Projector(first.criteria, first.policy) if first.criteria else None
    files = ChoiceFiles(folder)
    positions = positions_from(reader, ("screened",), question.warm_ms)
    batch: list[Arrival[Any]] = []
    items, warmed, begun, ended = 0, question.until_ms, question.until_ms, 0

    def decide() -> None:
        if batch:
            simulation.decide(batch, question.since_ms, files, first.filters_as, projector)
            batch.clear()

    for one in happened(reader, positions, question.warm_ms, question.until_ms, TOPICS):
        record = one.record
        if record.topic != "screened":
            decide()
            if one.refused is None:
                key = (record.key or b"").decode(errors="replace")
                simulation.learn(record.topic, record.offset, key, one.event)
            continue
        noticed(1)
        if one.event is None:
            continue
        warmed = min(warmed, record.timestamp)
        if record.timestamp >= question.since_ms:
            items += 1
            begun, ended = min(begun, record.timestamp), max(ended, record.timestamp)
        batch.append(Arrival(one.event, "screened", record.partition, record.offset, record.timestamp, sent_ms(record)))
        if len(batch) >= BATCH:
            decide()
    decide()
    files.close()
    if not items:
        raise ArchiveError(f"{reader.catalogue.root}: no item of that time is archived (topic screened)")
    for asked in candidates:
        if not files_of(folder, asked.name):
            policy = asked.policy.policy_version
            raise ArchiveError(f"policy {policy}: no item of that time is for a control point that it has")
    since, until = moment_of(begun), moment_of(ended + 1)
    db = connect(reader.catalogue, "outcomes", memory="1GB", spill=folder / "spill")
    try:
        record_ = Record(db, since, until)
        assessed = [record_.assess(one, folder) for one in candidates]
        found = Simulated(
            command=question.command, software=software(), archive=str(reader.catalogue.root),
            since=since.isoformat(), until=until.isoformat(), warm_since=moment_of(warmed).isoformat(),
            items=assessed[-1].items, model="as it learnt" if question.model is None else f"version {question.model}",
            recorded=record_.recorded(), candidates=assessed,
            baseline=candidates[-1].name, swept=question.swept,
            criteria=projector.projected(record_) if projector is not None else [],
        )  # fmt: skip
        found.cautions = [
            *cautions(question, found),
            *otherwise_than_then(found),
            *_not_archived(reader, question.warm_ms, warmed),
        ]
    finally:
        db.close()
    return found


def fold_to(brain: Brain, reader: ArchiveReader, model: int) -> None:
    """Fold the archived lessons up to a model version. Raises `ArchiveError` when they do not reach so far."""
    decode = codec_for("labelled-examples").decode
    for record in reader.records("labelled-examples", 0, 0, model):
        try:
            event = decode(record.value, header(record.headers, "ce_type"))
        except Undecodable:
            continue
        brain.fold(record.offset, (record.key or b"").decode(errors="replace"), event)
    end = reader.catalogue.end("labelled-examples", 0) or 0
    if model > end:
        raise ArchiveError(f"--model: version {model} is not archived; labelled-examples reaches version {end}")


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
    if _overlap(first, base):
        said.append(
            f"The intervals of {first.name} and {base.name} overlap: this history cannot tell which of them finds "
            "more in what it inspects."
        )
    if alike := [one.name for one in found.candidates[1:-1] if _overlap(one, base)]:
        said.append(f"Neither can it of {base.name} and {', '.join(alike)}: their intervals overlap, too." if said else
                    f"The intervals of {', '.join(alike)} overlap that of {base.name}: this history cannot tell which "
                    "finds more in what it inspects.")  # fmt: skip
    said += [
        "Outcomes are known of inspected items only. What a candidate selects and nobody looked at is estimated from "
        "the audit sample, which was drawn by chance; the interval says how far that reaches.",
        "Models learnt what the policies that ran found. A candidate would have inspected other items, learnt other "
        "things, and ranked later items otherwise; no record can tell how.",
        "An inspection is taken to find what it would have found in any lane and by any method.",
    ]
    said += [*_left_out(first, base), *_left_out(base, first)]
    if untried := not_tried(question.candidates[0].policy, question.candidates[-1].policy):
        said.append(
            f"Not tried: {', '.join(untried)}. {first.name} and {base.name} differ in this, but what was screened and "
            "learnt stands here as it was recorded, and lanes and deadlines change nothing that is found."
        )
    if first.estimate.draws < FEW_DRAWS and first.estimate.unknown_share > 0.0:
        said.append(
            f"Of the items that {first.name} selects anew only {first.estimate.draws} were inspected by chance: the "
            "interval is wide. A longer span or a larger exploration share would narrow it; nothing else would."
        )
    if found.recorded.audit_inspected == 0:
        said.append("No item of the audit sample has an outcome in this span: what is not shared is not known.")
    if not of_same_draws(question.candidates):
        said.append("The candidates draw their audit samples with different keys.")
    if question.model is not None:
        said.append(
            f"All decisions use the models as they stood at version {question.model}. Where lessons of this span are "
            "among those that they learnt, the candidates know outcomes in advance and look better than they are."
        )
    return said


def otherwise_than_then(found: Simulated) -> Iterator[str]:
    """Where the baseline is the policy that ran, and does not select what it selected."""
    base, then = found.candidates[-1], found.recorded
    if then.policies == (base.policy,) and base.shared < ALIKE * then.selected:
        yield (
            f"{base.name} is the policy that ran, and decided again in the order of event time it selects "
            f"{base.shared:,} of the {then.selected:,} items that it selected then: workers took items and lessons in "
            "another order. Compare candidates with each other and with it, not with what is recorded."
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
    if warmed > warm_ms and any(_missing(reader, "screened", at) for at in reader.catalogue.partitions("screened")):
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
