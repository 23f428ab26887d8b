"""What a shadow chose beside what was decided live, with the outcomes that came back: the report of a simulation."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

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
       said.outcome IN ('clear', 'irregularity', 'seizure') AND said.method <> 'none' AS inspected,
       said.outcome = 'seizure' AS seized
FROM (SELECT * FROM {live} QUALIFY row_number() OVER (PARTITION BY decision_id) = 1) c
LEFT JOIN said USING (decision_id)
"""
_STANDING = pa.schema([(name, pa.string()) for name in ("decision_id", "outcome", "method")])


@dataclass(slots=True)
class _Word:
    """The result that stands on an alert. `closed`: no other one is taken that does not correct it."""

    result_id: str | None = None
    outcome: str | None = None
    method: str | None = None
    closed: bool = False


def standing(results: pa.Table) -> pa.Table:
    """Of reported results (`following.RESULTS`) the one that stands on each decision, as re-evaluation takes them.

    It refuses a second result that does not correct the first, and what corrects or withdraws a result that does not
    stand; an alert that was passed on stays open.
    """
    words: dict[str, _Word] = {}
    told: set[tuple[str, str | None]] = set()
    for said in results.sort_by([("partition", "ascending"), ("offset", "ascending")]).to_pylist():
        word = words.setdefault(said["decision_id"], _Word())
        result_id = said["result_id"]
        if said["outcome"] is None:  # a withdrawal
            if word.result_id == result_id:
                words[said["decision_id"]] = _Word()
            continue
        again = result_id is not None and (said["decision_id"], result_id) in told
        refused = word.closed if said["corrects"] is None else said["corrects"] != word.result_id
        if not again and not refused:
            told.add((said["decision_id"], result_id))
            closed = said["outcome"] != "passed-on"
            words[said["decision_id"]] = _Word(result_id, said["outcome"], said["method"], closed)
    rows = [(name, one.outcome, one.method) for name, one in words.items() if one.outcome is not None]
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=_STANDING)


def compare(folder: ShadowFolder, command: str) -> Simulated:
    """The shadow's choices on items that were decided live, too. Raises `CommandRefusedError` when there are none."""
    candidate = folder.candidate()
    chosen, live = files_of(folder.choices, CANDIDATE), files_of(folder.choices, LIVE)
    if not chosen or not live:
        raise CommandRefusedError(f"shadow {folder.name} has written nothing yet: it writes every 30 seconds")
    results = [str(file) for file in sorted(folder.results.glob("results-*.parquet"))]
    db = duckdb.connect(":memory:")
    db.execute("SET TimeZone = 'UTC'")
    # A file of an earlier version does not say what a result corrects: its columns are empty then.
    reported = ds.dataset(results, schema=RESULTS, format="parquet").to_table() if results else RESULTS.empty_table()
    db.register("said", standing(reported))
    db.execute(_VIEWS.format(live=f"read_parquet({live})"))
    with tempfile.TemporaryDirectory(prefix="borderflow-shadow-") as held:
        both = Path(held)
        for name, files, others in ((CANDIDATE, chosen, live), (LIVE, live, chosen)):
            target = str(both / f"{name}-00000.parquet")
            db.execute(
                f"""
                COPY (
                    SELECT * FROM read_parquet({files})
                    WHERE decision_id IN (SELECT decision_id FROM read_parquet({others}))
                    QUALIFY row_number() OVER (PARTITION BY decision_id) = 1
                ) TO '{target}' (FORMAT parquet)
                """  # noqa: S608 - our own paths
            )
        found = _compared(db, folder, candidate, both, command)
    db.close()
    return found


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
        *cautions(question, found),
    ]
    return found
