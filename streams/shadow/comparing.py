"""What a shadow chose beside what was decided live, with the outcomes that came back: the report of a simulation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from agents.standing import Said, Standing
from streams.archive.views import INSPECTED, listed
from streams.commands import CommandRefusedError
from streams.shadow.folder import CANDIDATE, LIVE, ShadowFolder
from streams.shadow.following import RESULTS
from streams.simulate.assessing import Record
from streams.simulate.candidates import Candidate
from streams.simulate.choices import files_of
from streams.simulate.findings import Simulated
from streams.simulate.run import Question, cautions, software

_VIEWS = """
CREATE VIEW outcomes AS
SELECT c.decision_id, c.control_point, c.stream, c.lodged_at, c.policy_version, c.selected, c.layer,
       c.chance AS exploration_rate, CASE WHEN c.audited THEN ['exploration'] ELSE [] END AS layers,
       {inspected} AS inspected,
       said.outcome = 'seizure' AS seized
FROM (SELECT * FROM {live} QUALIFY row_number() OVER (PARTITION BY decision_id) = 1) c
LEFT JOIN said USING (decision_id)
"""
_STANDING = pa.schema([(name, pa.string()) for name in ("decision_id", "outcome", "method")])


def standing(results: pa.Table) -> pa.Table:
    """Of reported results (`following.RESULTS`) the one that stands on each decision, as re-evaluation takes them."""
    alerts: dict[str, Standing] = {}
    methods: dict[tuple[str, str], str] = {}
    for row in results.sort_by([("partition", "ascending"), ("offset", "ascending")]).to_pylist():
        decision_id = row["decision_id"]
        place = f"{row['partition']}/{row['offset']}"  # of a report whose own id is not in the file
        if row["outcome"] is None:
            said = Said(place, row["result_id"], None)
        else:
            said = Said(row["result_id"] or place, row["corrects"], row["outcome"])
        alert = alerts.setdefault(decision_id, Standing())
        if not alert.knows(said) and alert.refusal(said) is None:
            alert.take(said)
            methods[decision_id, said.report_id] = row["method"]
    rows = [
        (decision_id, one.outcome, methods[decision_id, one.result_id])
        for decision_id, one in alerts.items()
        if one.outcome is not None
    ]
    return pa.Table.from_pylist([dict(zip(_STANDING.names, row, strict=True)) for row in rows], schema=_STANDING)


def compare(folder: ShadowFolder, command: str) -> Simulated:
    """The shadow's choices on items that were decided live, too. Raises `CommandRefusedError` when there are none."""
    candidate = folder.candidate()
    chosen, live = files_of(folder.choices, CANDIDATE), files_of(folder.choices, LIVE)
    if not chosen or not live:
        raise CommandRefusedError(f"shadow {folder.name} has written nothing yet: it writes every 30 seconds")
    results = [str(file) for file in sorted(folder.results.glob("results-*.parquet"))]
    # A file of an earlier version does not say what a result corrects: its columns are empty then.
    reported = ds.dataset(results, schema=RESULTS, format="parquet").to_table() if results else RESULTS.empty_table()
    with (
        tempfile.TemporaryDirectory(prefix="borderflow-shadow-") as held,
        # Workers may run on this machine: it takes no more of it than a simulation does.
        duckdb.connect(
            ":memory:", config={"memory_limit": "1GB", "threads": 2, "temp_directory": f"{held}/spill"}
        ) as db,
    ):
        db.execute("SET TimeZone = 'UTC'")
        db.register("said", standing(reported))
        db.execute(_VIEWS.format(live=f"read_parquet({listed(live)})", inspected=INSPECTED.format("said")))
        both = Path(held)
        for name, files, others in ((CANDIDATE, chosen, live), (LIVE, live, chosen)):
            target = str(both / f"{name}-00000.parquet")
            db.execute(
                f"""
                COPY (
                    SELECT * FROM read_parquet({listed(files)})
                    WHERE decision_id IN (SELECT decision_id FROM read_parquet({listed(others)}))
                    QUALIFY row_number() OVER (PARTITION BY decision_id) = 1
                ) TO '{target}' (FORMAT parquet)
                """  # noqa: S608 - our own paths
            )
        return _compared(db, folder, candidate, both, command)


def _compared(
    db: duckdb.DuckDBPyConnection, folder: ShadowFolder, candidate: Candidate, both: Path, command: str
) -> Simulated:
    status = folder.status()
    row = db.execute("SELECT min(lodged_at), max(lodged_at) FROM outcomes").fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    first, last = row[0], row[1] + timedelta(milliseconds=1)
    record = Record(db, first, last)
    decided = record.recorded()
    now = Candidate(LIVE, candidate.policy)
    found = Simulated(
        command=command, software=software(), archive=str(folder.path), since=first.isoformat(), until=last.isoformat(),
        warm_since=first.isoformat(), items=decided.items, model="as it learns", recorded=decided,
        candidates=[record.assess(candidate, both), record.assess(now, both)], baseline=LIVE,
    )  # fmt: skip
    found.candidates[-1].policy = ", ".join(decided.policies)
    question = Question(candidates=[candidate, now], since_ms=0, until_ms=0, warm_ms=0)
    found.cautions = [
        f"The shadow took {status.cpu_us_per_item:,.0f} microseconds of its own CPU an item ({status.cpu_s:,.0f} s in "
        f"all, at most {status.cpu_limit:.0%} of a core) and {status.memory_mb:,.0f} MB; it is {status.behind:,} "
        "records behind. Workers do nothing for it.",
        *_not_compared(decided.items, found.candidates[-1].items),
        *cautions(question, found),
    ]
    return found


def _not_compared(live: int, both: int) -> Iterator[str]:
    """What was decided live and is not compared."""
    if live > both:
        yield (
            f"Policies are compared on the {both:,} items that both decided, of {live:,} that were decided live since "
            "the shadow began; the others count in the row of what was recorded alone. The shadow may be behind, or "
            "its policy may lack their control points."
        )
