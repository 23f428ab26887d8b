"""DuckDB views over the archive: one for each topic, each record once, and the joins that questions begin with.

The files that count are listed when the views are made (compaction may be under way), and DuckDB reads only the columns
and dates that a question needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from schemas.registry import DEAD_LETTER_SUFFIX
from streams.archive.columns import columns_of, schema_of
from streams.archive.consuming import archived_topics
from streams.archive.envelope import ENVELOPE, RAW_ONLY
from streams.archive.layout import Catalogue
from streams.archive.reading import opened
from streams.archive.redeliveries import BY_UPSTREAM
from streams.archive.times import EARLIEST

DAY: Final = timedelta(days=1)
"""A clock may be ahead of the broker's, though never by so much."""
OUTCOMES: Final = """
SELECT d.*, r.result_id, r.inspected_at, r.method, r.outcome, r.severity, r.categories,
       r.outcome IN ('clear', 'irregularity', 'seizure') AND r.method <> 'none' AS inspected,
       r.outcome = 'seizure' AS seized
FROM decisions d LEFT JOIN latest_results r USING (decision_id)
"""
_SHOWN: Final = [one.name for one in columns_of("inspection-results")] + [
    name for name, _, _ in ENVELOPE if name not in RAW_ONLY
]
LATEST_RESULTS: Final = f"""
SELECT * EXCLUDE (refused) FROM (
    SELECT {", ".join(f'r."{name}"' for name in _SHOWN)}, r.date, EXISTS (
        SELECT 1 FROM inspection_results_dlq letter
        WHERE letter.source_partition = r.partition AND letter.source_offset = r."offset"
    ) AS refused
    FROM raw_inspection_results r
    WHERE NOT refused OR EXISTS (
        SELECT 1 FROM labelled_examples lesson
        WHERE lesson.decision_id = r.decision_id AND lesson.result_id = coalesce(r.withdrawal_id, r.result_id)
            AND lesson.inspected_at = coalesce(r.withdrawn_at, r.inspected_at)
    )
    QUALIFY row_number() OVER (PARTITION BY decision_id, event, result_id ORDER BY refused, r."offset") = 1
)
QUALIFY row_number() OVER (PARTITION BY decision_id ORDER BY "offset" DESC) = 1
    AND coalesce(event, 'InspectionCompleted') = 'InspectionCompleted'
"""  # noqa: S608 - names of our own
"""As re-evaluation sees it: without what it refused and what was said twice, the last word on each decision. A result
that was refused and sent again has the `ce_id` that it had, so this begins with all deliveries.
One has a dead letter and a lesson where a worker died between the two and its alert, or another policy, came before it
was decided again: it was learnt, so it counts.
Files from before results could be withdrawn do not say which event a record is: it is a result."""
JOINS: Final = {
    "latest_results": (
        LATEST_RESULTS,
        "of all inspection results, the one that stands on each decision: corrections and withdrawals count, and so do "
        "results that were refused and sent again, or of which something was learnt though they have a dead letter",
    ),
    "outcomes": (
        OUTCOMES,
        "every decision with its latest result: the columns of `decisions`, and `result_id`, `inspected_at`, `method`, "
        "`outcome`, `severity`, `categories`, `inspected` (somebody looked) and `seized`; all empty without a result",
    ),
}
"""Views over views, with what they are."""
_JOINED: Final = {"decisions", "inspection_results", "inspection_results_dlq", "labelled_examples"}
_DATE: Final = r"regexp_extract(filename, '/date=([0-9-]+)/[^/]+$', 1)::DATE AS date"


def view_name(topic: str) -> str:
    """The view of a topic: its name with underscores."""
    return topic.replace("-", "_")


def shown_columns(topic: str) -> list[tuple[str, pa.DataType, str]]:
    """Name, type and meaning of the columns of a topic's view, in order."""
    envelope = [one for one in ENVELOPE if one[0] not in RAW_ONLY]
    return [(one.name, one.type, one.meaning) for one in columns_of(topic)] + envelope


def connect(
    catalogue: Catalogue,
    text: str = "",
    *,
    since: datetime | None = None,
    memory: str = "2GB",
    threads: int = 2,
    spill: Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with the views of an archive that `text` names (it reads every file's head); all if none.

    Files of records from a day and more before `since`, by their timestamps, are left out. What does not fit into
    `memory` goes to the folder `spill`. Raises `ArchiveError` for a file that cannot be read.
    """
    db = duckdb.connect(":memory:")
    db.execute("SET TimeZone = 'UTC'")
    db.execute(f"SET memory_limit = {_quoted(memory)}")
    db.execute(f"SET threads = {threads}")
    db.execute("SET preserve_insertion_order = false")
    db.execute("SET enable_progress_bar = false")
    db.execute("SET parquet_metadata_cache = true")  # a view is bound when it is made and when it is asked
    if spill is not None:
        db.execute(f"SET temp_directory = {_quoted(str(spill))}")
    wanted = asked_topics(text)
    begin = (max(since or EARLIEST, EARLIEST) - DAY).astimezone(UTC).date().isoformat()
    for topic in wanted:
        _view(db, catalogue, topic, begin)
    if set(map(view_name, wanted)) >= _JOINED:
        for name, (joined, _) in JOINS.items():
            db.execute(f"CREATE VIEW {name} AS {joined}")
    return db


def asked_topics(text: str) -> list[str]:
    """The topics whose views a statement names; all when it names none."""
    asked = set(re.findall(r"[a-z_]+", text.lower()))
    if not asked.isdisjoint(JOINS):
        asked |= _JOINED
    topics = archived_topics()
    return [one for one in topics if not asked.isdisjoint((view_name(one), f"raw_{view_name(one)}"))] or list(topics)


def confine(db: duckdb.DuckDBPyConnection, root: Path) -> None:
    """From now on `db` reads files below `root` alone, whatever it is asked, and no setting can be changed."""
    folders = ", ".join(_quoted(folder) for folder in (str(root), exactly(root)))
    db.execute(f"SET allowed_directories = [{folders}]")
    db.execute("SET enable_external_access = false")
    db.execute("SET lock_configuration = true")


def exactly(path: str | Path) -> str:
    """A path so that DuckDB reads that file and takes nothing in it for a pattern."""
    return re.sub(r"([*?[])", r"[\1]", str(path))


def listed(files: Iterable[str | Path]) -> str:
    """Files as a list in DuckDB's SQL."""
    return "[" + ", ".join(_quoted(exactly(file)) for file in files) + "]"


def _view(db: duckdb.DuckDBPyConnection, catalogue: Catalogue, topic: str, begin: str) -> None:
    name = view_name(topic)
    files = catalogue.files(topic, begin)
    wanted = schema_of(topic)
    if files:
        # No Hive partitions: folders above the archive may be named like some. DuckDB passes over files by `date` all
        # the same, as it is a function of their names.
        source = f"read_parquet({listed(files)}, filename = true, hive_partitioning = false, union_by_name = true)"
        try:
            described = db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608 - our own names and paths
        except duckdb.Error:
            for file in files:
                opened(file).close()  # names the one that cannot be read
            raise
        there = {row[0] for row in described}
        # A column that is newer than every file is empty, not unknown.
        newer = [f"NULL::{_sql_type(field.type)} AS {field.name}" for field in wanted if field.name not in there]
        columns = ", ".join(["* EXCLUDE (filename)", *newer, f"'{topic}' AS topic", _DATE])
        select = f"SELECT {columns} FROM {source}"  # noqa: S608 - our own names and paths
    else:  # names of our own, too
        empty = [f'NULL::{_sql_type(field.type)} AS "{field.name}"' for field in wanted]
        select = f"SELECT {', '.join(empty)}, '{topic}' AS topic, NULL::DATE AS date WHERE false"
    db.execute(f"CREATE VIEW raw_{name} AS {select}")
    shown = ", ".join(f'"{column}"' for column, _, _ in shown_columns(topic))
    db.execute(f"CREATE VIEW {name} AS SELECT {shown}, date FROM raw_{name} {_first_only(topic)}")  # noqa: S608 - as above


def _first_only(topic: str) -> str:
    if topic in BY_UPSTREAM:
        return "WHERE first"
    if topic.endswith(DEAD_LETTER_SUFFIX):
        same = "source_topic, source_partition, source_offset, item_index, attempt"
    elif topic in ("criteria", "risk-information"):
        return ""  # logs: each record is a change of its own
    else:
        # An id is its sender's own (CloudEvents 1.0): two lodgers may both have a 1.
        source = "[one.value for one in headers if one.name = 'ce_source']"
        same = f"coalesce(ce_id, concat(partition, '/', \"offset\")), {source}"
    return f'QUALIFY row_number() OVER (PARTITION BY {same} ORDER BY partition, "offset") = 1'


def _sql_type(kind: pa.DataType) -> str:
    """The DuckDB type of an Arrow type."""
    if pa.types.is_list(kind):
        return _sql_type(kind.value_type) + "[]"
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{one.name}" {_sql_type(one.type)}' for one in kind) + ")"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE"
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind):
        return "BLOB"
    return {"string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "double": "DOUBLE", "bool": "BOOLEAN"}[
        str(kind)
    ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
