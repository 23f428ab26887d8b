"""What an archive shows to have been decided: at its end some items may be on their way still, others are missing.

An archive that runs ends in the middle of things. But what was decided leaves traces elsewhere, and a step that went on
with other items has had its turn with this one. Of what a step refused it says so in a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents.refusals import CLOCK_AHEAD, NO_SCORE, UNKNOWN_CONTROL_POINT
from streams.archive.columns import dead_letter_row
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.archive.views import connect
from streams.deadletter import dead_letter_topic

LATE_MS: Final = 3_600_000
"""Of a record that was sent so long before a step's last trace, what the step says of it is missing."""
SETTLED_MS: Final = 600_000
"""The same when another topic shows that it was said: each topic is archived at its own pace, a minute apart or so."""

_REFUSED: Final = {UNKNOWN_CONTROL_POINT, CLOCK_AHEAD, NO_SCORE}
"""What a policy or a model refuses, and another of them would not: by which it was is in no record."""

_TRACES: Final = "decisions alerts inspection_results labelled_examples filtered screened"
_NAMED: Final = """
SELECT decision_id FROM (
    SELECT decision_id FROM alerts UNION SELECT decision_id FROM inspection_results
    UNION SELECT decision_id FROM labelled_examples
) ANTI JOIN decisions USING (decision_id) WHERE decision_id IS NOT NULL
"""
_SENT: Final = "SELECT epoch_ms(max(coalesce(sent_at, stamped_at))) FROM "
_ORIGINS: Final = """
SELECT origin_topic, origin_partition, max(origin_offset) FROM (
    SELECT origin_topic, origin_partition, origin_offset FROM filtered
    UNION ALL SELECT origin_topic, origin_partition, origin_offset FROM decisions
) GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class Traces:
    """`named`: decisions that an alert, a result or a lesson names and that are not archived. `filtering_ms`,
    `selection_ms`: when the latest archived record of the step was sent. `screened`: by partition of lodgements, the
    highest offset that something after screening came from. `refused`: topic, partition and offset of each record of
    which a letter says that a policy or a model refused it."""

    named: frozenset[str]
    screening_ms: int
    filtering_ms: int
    selection_ms: int
    screened: dict[tuple[str, int], int]
    refused: frozenset[tuple[str, int, int]]

    def is_refused(self, record: Archived) -> bool:
        """Whether the step that it came to refused a record, or all that is in it."""
        return (record.topic, record.partition, record.offset) in self.refused

    def is_decided(self, decision_id: str, sent_ms: int) -> bool:
        """Whether the decision on a filtered item that was sent then should be in the archive."""
        shown = decision_id in self.named and self._should_be(sent_ms, self.selection_ms)
        return shown or sent_ms < self.selection_ms - LATE_MS

    def is_filtered(self, sent_ms: int) -> bool:
        """The same of a screened item."""
        return sent_ms < self.filtering_ms - LATE_MS

    def is_screened(self, topic: str, partition: int, offset: int, sent_ms: int) -> bool:
        """The same of a lodgement: something came of it, or of one after it."""
        return offset <= self.screened.get((topic, partition), -1) and self._should_be(sent_ms, self.screening_ms)

    def _should_be(self, sent_ms: int, step_ms: int) -> bool:
        """Whether what is known to have been said of a record should be in the archive: that of later records is."""
        latest = max(self.screening_ms, self.filtering_ms, self.selection_ms)
        return sent_ms < step_ms - SETTLED_MS or sent_ms < latest - LATE_MS


def traces(reader: ArchiveReader, memory: str, spill: Path) -> Traces:
    """Look through the columns of an archive for what was decided, and through its letters for what was not.

    Raises `ArchiveError`.
    """
    db = connect(reader.catalogue, _TRACES, memory=memory, spill=spill)
    try:
        steps = ("screened", "filtered", "decisions", "alerts")
        sent = {name: _latest(db.execute(_SENT + name).fetchone()) for name in steps}
        return Traces(
            named=frozenset(name for (name,) in db.execute(_NAMED).fetchall()),
            screening_ms=sent["screened"] or sent["filtered"],
            filtering_ms=sent["filtered"] or sent["decisions"],
            selection_ms=sent["decisions"] or sent["alerts"],
            screened={(topic, partition): at for topic, partition, at in db.execute(_ORIGINS).fetchall()},
            refused=frozenset(_refused(reader)),
        )
    finally:
        db.close()


def _refused(reader: ArchiveReader) -> Iterator[tuple[str, int, int]]:
    """Read as records and not as columns: a letter excuses, so it has to be one that a step wrote."""
    for source in ("manifests", "express-cargo", "passengers", "filtered"):
        topic = dead_letter_topic(source)
        for partition in reader.catalogue.partitions(topic):
            for record in reader.records(topic, partition):
                _, at_partition, offset, _, reason, *_ = dead_letter_row(record.headers)
                if reason in _REFUSED and at_partition is not None and offset is not None and not record.altered:
                    yield source, at_partition, offset


def _latest(row: tuple[Any, ...] | None) -> int:
    return row[0] if row is not None and row[0] is not None else 0
