"""What the benchmarks' deciders know: a model that has learnt, criteria and risk information, recorded once.

A cold model scores for next to nothing, so the labelled examples are those of another simulated border, selected and
inspected there by the same deciders. Criteria and risk information are the demo's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from agents.loop import Sent, whole_loop
from agents.risk.criteria import check_criterion
from agents.risk.risk_information import check_entry
from load.inspectors import Inspector
from load.world import START, World
from schemas.codec import ce_type_of, encode
from schemas.knowledge import CriterionPublished, RiskInformationPublished
from streams.knowledge import Knowledge as Kind
from streams.policies import load_policy

SEED = 8
ITEMS = 60_000
ITEMS_PER_DAY = 6_000
LABELS = "labelled-examples"
_DATA = Path(__file__).parent.parent / "demo_data"

Row = tuple[str, bytes, bytes, bytes]
"""Topic, key, value, ce_type."""


@dataclass(frozen=True, slots=True)
class Known:
    """The records of the three broadcast topics, in order."""

    rows: list[Row]

    def of(self, topic: str) -> list[tuple[bytes, bytes, bytes]]:
        """(key, value, ce_type) of one topic."""
        return [(key, value, ce_type) for name, key, value, ce_type in self.rows if name == topic]


def knowledge_file(folder: Path) -> Path:
    """The file that holds them; made if it is not there."""
    kept = folder / f"knowledge-{SEED}-{ITEMS}.msgpack"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        writing = kept.with_suffix(".part")
        writing.write_bytes(msgspec.msgpack.encode(_published() + _learnt()))
        writing.rename(kept)
    return kept


def read_knowledge(file: Path) -> Known:
    """The records of such a file."""
    return Known(msgspec.msgpack.decode(file.read_bytes(), type=list[Row]))


def _published() -> list[Row]:
    since = START.timestamp()
    criteria = Kind("criteria", CriterionPublished, "criterion_id", check_criterion)
    entries = Kind("risk-information", RiskInformationPublished, "entry_id", check_entry)
    rows = [_row("criteria", criteria.id_of(e), e) for e in criteria.read_file(_DATA / "criteria.yaml", now_s=since)]
    risks = entries.read_file(_DATA / "risk_information.yaml", now_s=since)
    return rows + [_row("risk-information", entries.id_of(e), e) for e in risks]


def _learnt() -> list[Row]:
    world = World(SEED, items_per_day=ITEMS_PER_DAY, start=START - timedelta(days=ITEMS / ITEMS_PER_DAY + 2), keep=None)
    inspector = Inspector(world.truth, SEED)
    loop = whole_loop(load_policy(), b"knowledge")
    rows: list[Row] = []
    made = 0
    for lodged in world.lodgements():
        assert not isinstance(lodged.body, bytes)  # noqa: S101 - a world without dirt
        done = loop.send(lodged.topic, [Sent(lodged.key, lodged.body, round(lodged.lodged_at.timestamp() * 1000))])
        for alert in done.alerts:
            inspector.take(alert, alert.alert_id)
        if due := inspector.due(lodged.lodged_at):
            learnt = loop.inspect(due)
            rows += [_row(LABELS, example.decision_id, example) for example in learnt.examples]
        made += len(done.decisions)
        if made >= ITEMS:
            return rows
    return rows


def _row(topic: str, key: str, event: msgspec.Struct) -> Row:
    return topic, key.encode(), encode(event), ce_type_of(type(event)).encode()
