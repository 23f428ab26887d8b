"""What an archive shows to have been decided: at its end some items may be on their way still, others are missing.

An archive that runs ends in the middle of things. But what was decided leaves traces elsewhere, and a step that went on
with other items has had its turn with this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streams.archive.layout import Catalogue
from streams.archive.views import connect

LATE_MS: Final = 3_600_000
"""Of a record that was sent so long before a step's last trace, what the step says of it is missing."""

_TRACES: Final = "decisions alerts inspection_results labelled_examples filtered"
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
    `selection_ms`: when the latest record of the step was sent. `screened`: by partition of lodgements, the highest
    offset that something after screening came from."""

    named: frozenset[str]
    filtering_ms: int
    selection_ms: int
    screened: dict[tuple[str, int], int]


def traces(catalogue: Catalogue, memory: str, spill: Path) -> Traces:
    """Look through the columns of an archive for what was decided."""
    db = connect(catalogue, _TRACES, memory=memory, spill=spill)
    try:
        sent = {name: _latest(db.execute(_SENT + name).fetchone()) for name in ("filtered", "decisions", "alerts")}
        return Traces(
            named=frozenset(name for (name,) in db.execute(_NAMED).fetchall()),
            filtering_ms=sent["filtered"],
            selection_ms=max(sent["decisions"], sent["alerts"]),
            screened={(topic, partition): at for topic, partition, at in db.execute(_ORIGINS).fetchall()},
        )
    finally:
        db.close()


def _latest(row: tuple[Any, ...] | None) -> int:
    return row[0] if row is not None and row[0] is not None else 0
