"""Holds what candidates chose against what is recorded: counts, known outcomes, and estimates of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import fsum
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np

from streams.archive.views import exactly
from streams.simulate.candidates import Candidate
from streams.simulate.choices import files_of
from streams.simulate.estimate import Estimate, Figure, Sample, estimate, rate_interval
from streams.simulate.findings import Assessed, Counted, Recorded

_LOGGED: Final = """
CREATE TABLE logged AS
SELECT decision_id, control_point, stream, lodged_at, policy_version, selected,
       coalesce(layer IS NOT NULL AND layer <> 'exploration', false) AS sure,
       coalesce(exploration_rate, 0.0) AS rate,
       coalesce(layer = 'exploration', false) AS drawn,
       coalesce(list_contains(layers, 'exploration'), false) AS audited,
       coalesce(inspected, false) AS inspected, coalesce(seized, false) AS seized
FROM outcomes WHERE lodged_at >= $since AND lodged_at < $until
"""


class Record:
    """The recorded decisions of a span with their outcomes. `db` has the view `outcomes` (streams.archive.views)."""

    def __init__(self, db: duckdb.DuckDBPyConnection, since: datetime, until: datetime) -> None:
        self._db = db
        db.execute(_LOGGED, {"since": since, "until": until})

    def policies(self) -> tuple[str, ...]:
        """The versions of the policies that ran, in order."""
        found = self._db.execute("SELECT DISTINCT policy_version FROM logged ORDER BY 1").fetchall()
        return tuple(version for (version,) in found)

    def recorded(self) -> Recorded:
        """What the policies that ran did."""
        items, selected, inspected, seizures = self._one("""
            SELECT count(*), count(*) FILTER (selected), count(*) FILTER (inspected), count(*) FILTER (seized)
            FROM logged
        """)
        # A draw with probability e speaks for 1/e items: control points, and cold starts, draw with others.
        drawn = self._db.execute(
            "SELECT 1 / rate, seized FROM logged WHERE audited AND inspected AND rate > 0.0"
        ).fetchall()
        audit, found = len(drawn), sum(find for _, find in drawn)
        speaks_for, seized, squares = (  # sums that are the same in any order
            fsum(weight for weight, _ in drawn),
            fsum(weight for weight, find in drawn if find),
            fsum(weight**2 for weight, _ in drawn),
        )
        rate, effective = (seized / speaks_for, speaks_for**2 / squares) if audit else (None, 0.0)
        return Recorded(
            policies=self.policies(), items=items, selected=selected,
            coverage=selected / items if items else 0.0, inspected=inspected, seizures=seizures,
            seizure_rate=seizures / inspected if inspected else None, audit_inspected=audit, audit_seizures=found,
            audit_rate=Figure(rate, *rate_interval(rate or 0.0, effective)), audit_effective=effective,
        )  # fmt: skip

    def assess(self, candidate: Candidate, folder: Path) -> Assessed:
        """One candidate's choices, of which there are some, against the record."""
        db = self._db
        db.execute("DROP TABLE IF EXISTS chosen")
        db.execute(
            """
            CREATE TABLE chosen AS
            SELECT c.*, coalesce(l.sure, false) AS sure, coalesce(l.rate, 0.0) AS rate,
                   coalesce(l.drawn, false) AS drawn, coalesce(l.inspected, false) AS inspected,
                   coalesce(l.seized, false) AS seized, coalesce(l.selected, false) AS selected_then
            FROM read_parquet($files) c LEFT JOIN logged l USING (decision_id)
            """,
            {"files": [exactly(file) for file in files_of(folder, candidate.name)]},
        )
        points, streams = self._names("control_point"), self._names("stream")
        columns = db.execute(  # names as numbers: as texts they would take most of the memory
            "SELECT certain, chance, sure, rate, drawn, inspected, seized, "
            "list_position($points, control_point)::USMALLINT AS point, "
            "list_position($streams, stream)::UTINYINT AS stream FROM chosen "
            "ORDER BY decision_id",  # sums of floats depend on their order
            {"points": points, "streams": streams},
        ).fetchnumpy()
        sample = sample_of(columns)
        total = estimate(sample)
        items, selected, shared, known, seizures = self._one("""
            SELECT count(*), count(*) FILTER (selected), count(*) FILTER (selected AND selected_then),
                   count(*) FILTER (selected AND inspected), count(*) FILTER (selected AND seized) FROM chosen
        """)
        return Assessed(
            name=candidate.name, policy=candidate.policy.policy_version, items=items, selected=selected,
            coverage=selected / items if items else 0.0, shared=shared, known=known, seizures_known=seizures,
            seizure_rate_known=seizures / known if known else None,
            unknown_share=1.0 - known / selected if selected else 0.0, estimate=total, value=candidate.value,
            by_layer=self._counted("coalesce(layer, 'none')", "WHERE layer IS NOT NULL"),
            by_control_point=self._counted("control_point", "", by_group(sample, columns["point"], points)),
            by_stream=self._counted("stream", "", by_group(sample, columns["stream"], streams)),
            by_day=self._counted("strftime(lodged_at, '%Y-%m-%d')", ""),
        )  # fmt: skip

    def outcomes_of(self, decision_ids: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
        """What is recorded of decisions, in their order: the columns of a `Sample` that the past fills."""
        import pyarrow as pa

        wanted = pa.table({"decision_id": pa.array(decision_ids, pa.string()), "place": range(len(decision_ids))})
        self._db.register("wanted", wanted)
        found = self._db.execute("""
            SELECT coalesce(sure, false) AS sure, coalesce(rate, 0.0) AS rate, coalesce(drawn, false) AS drawn,
                   coalesce(inspected, false) AS inspected, coalesce(seized, false) AS seized,
                   coalesce(selected, false) AS selected
            FROM wanted LEFT JOIN logged USING (decision_id) ORDER BY place
        """).fetchnumpy()
        self._db.unregister("wanted")
        return found

    def _counted(self, by: str, where: str, estimates: dict[str, Estimate] | None = None) -> list[Counted]:
        rows = self._db.execute(
            f"""
            SELECT {by} AS name, count(*), count(*) FILTER (selected), count(*) FILTER (selected AND inspected),
                   count(*) FILTER (selected AND seized)
            FROM chosen {where} GROUP BY name ORDER BY name
            """  # noqa: S608 - names of our own
        ).fetchall()
        made = estimates or {}
        return [
            Counted(name=name, items=items, selected=selected, known=known, seizures=seizures,
                    estimate=made[name].seizure_rate if name in made else None)
            for name, items, selected, known, seizures in rows
        ]  # fmt: skip

    def _names(self, column: str) -> list[str]:
        rows = self._db.execute(
            f"SELECT DISTINCT {column} FROM chosen WHERE {column} IS NOT NULL ORDER BY 1"  # noqa: S608 - our own names
        ).fetchall()
        return [name for (name,) in rows]

    def _one(self, text: str) -> tuple[Any, ...]:
        row = self._db.execute(text).fetchone()
        assert row is not None  # noqa: S101 - an aggregate has one row
        return row


def sample_of(columns: dict[str, Any]) -> Sample:
    """A sample from columns of DuckDB."""

    def flags(name: str) -> Any:
        return np.ma.filled(np.ma.asarray(columns[name]), False).astype(np.bool_)

    def numbers(name: str) -> Any:
        return np.ma.filled(np.ma.asarray(columns[name]), 0.0).astype(np.float64)

    return Sample(
        flags("certain"), numbers("chance"), flags("sure"), numbers("rate"), flags("drawn"), flags("inspected"),
        flags("seized"),
    )  # fmt: skip


def by_group(sample: Sample, places: Any, names: Sequence[str]) -> dict[str, Estimate]:
    """An estimate for each group of items; `places` are those of their groups in `names`, from 1 on."""
    held = np.asarray(np.ma.filled(np.ma.asarray(places), 0))
    return {name: estimate(sample.only(held == place)) for place, name in enumerate(names, 1)}
