"""Runs a simulation over an archive: candidates decide a span of history, and are held against the record of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
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
from streams.simulate.candidates import Candidate, of_same_draws
from streams.simulate.choices import ChoiceFiles, files_of
from streams.simulate.engine import Simulation
from streams.simulate.findings import Simulated
from streams.simulate.projecting import Projector
from streams.wire import header, sent_ms

BATCH: Final = 500
TOPICS: Final = ("criteria", "labelled-examples", "screened")
FEW_DRAWS: Final = 10


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
    items, begun, ended = 0, question.until_ms, 0

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
            since=since.isoformat(), until=until.isoformat(), warm_since=moment_of(question.warm_ms).isoformat(),
            items=assessed[-1].items, model="as it learnt" if question.model is None else f"version {question.model}",
            recorded=record_.recorded(), candidates=assessed,
            baseline=candidates[-1].name, swept=question.swept,
            criteria=projector.projected(record_) if projector is not None else [],
        )  # fmt: skip
        found.cautions = cautions(question, found)
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
    one, other = first.estimate.seizure_rate, base.estimate.seizure_rate
    said = (
        []
        if one.low > other.high or other.low > one.high
        else [
            f"The intervals of {first.name} and {base.name} overlap: this history cannot tell which of them finds "
            "more in what it inspects."
        ]
    )
    said += [
        "Outcomes are known of inspected items only. What a candidate selects and nobody looked at is estimated from "
        "the audit sample, which was drawn by chance; the interval says how far that reaches.",
        "Models learnt what the policies that ran found. A candidate would have inspected other items, learnt other "
        "things, and ranked later items otherwise; no record can tell how.",
        "An inspection is taken to find what it would have found in any lane and by any method.",
    ]
    if first.items < base.items:
        lacking = {one.name for one in base.by_control_point} - {one.name for one in first.by_control_point}
        named = f" ({', '.join(sorted(lacking))})" if lacking else ""
        said.append(
            f"{first.name} decides {first.items:,} of the {base.items:,} items that {base.name} decides: its policy "
            f"has no control point for the others{named}."
        )
    if first.estimate.draws < FEW_DRAWS and first.estimate.unknown_share > 0.0:
        said.append(
            f"Only {first.estimate.draws} items that {first.name} selects anew were inspected by chance: the interval "
            "is wide. A longer span or a larger exploration share would narrow it; nothing else would."
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
