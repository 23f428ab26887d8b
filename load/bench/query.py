"""Questions to an archive of ten million items: `python -m load.bench.query SOURCE TARGET --times 10`.

SOURCE is a history (`python -m load.bench.history`). What questions read of it is written to TARGET so many times over,
each time with later dates, other offsets and other ids, and every named question is asked three times.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from streams.archive.layout import Catalogue, Part
from streams.archive.questions import NAMED
from streams.archive.reading import chunk_facts
from streams.archive.times import EARLIEST, LATEST
from streams.archive.views import connect
from streams.archive.writing import write_part

TOPICS: Final = ("decisions", "inspection-results", "filtered")
_DAY_MS: Final = 86_400_000
_IDS: Final = ("ce_id", "decision_id", "item_id", "result_id")
_EXACT: Final = ("value", "sealed")


def multiply(source: Catalogue, target: Path, times: int) -> int:
    """Write the columns of SOURCE's records `times` over; how many decisions. The exact bytes are left out."""
    decisions = 0
    for topic in TOPICS:
        for partition in source.partitions(topic):
            end = source.end(topic, partition) or 0
            for chunk in source.chunks(topic, partition):
                for part in chunk.parts:
                    facts = chunk_facts(source.root / part.path, part)
                    table = pq.read_table(source.root / part.path, partitioning=None)
                    for copy in range(times):
                        offsets, days = copy * end, copy * 60
                        made = _shifted(table, copy, offsets, days)
                        day = (date.fromisoformat(part.date) + timedelta(days=days)).isoformat()
                        at = Part(
                            topic, partition, part.first + offsets, part.last + offsets, part.number, part.of, day
                        )
                        said = type(facts)(
                            topic=topic, partition=partition, first=at.first, last=at.last, part=at.number, of=at.of,
                            date=day, records=facts.records,
                        )  # fmt: skip
                        write_part(target, at, made, said)
                        decisions += facts.records * (topic == "decisions")
    return decisions


def _shifted(table: pa.Table, copy: int, offsets: int, days: int) -> pa.Table:
    columns: list[Any] = []
    for field in table.schema:
        column = table.column(field.name)
        if field.name in _EXACT:
            column = pa.nulls(len(table), field.type)
        elif field.name in ("offset", "origin_offset", "upstream_offset"):
            column = pc.add(column, pa.scalar(offsets, field.type)).cast(field.type)
        elif field.name in _IDS:
            column = pc.binary_join_element_wise(column, str(copy), "-")
        elif pa.types.is_timestamp(field.type):
            shift = pa.scalar(days * _DAY_MS, pa.duration("ms"))
            column = pc.add(column, shift).cast(field.type)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=table.schema)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.query", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path, help="made when it is not there")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    if not options.target.is_dir():
        multiply(Catalogue.of(options.source), options.target, options.times)
    catalogue = Catalogue.of(options.target)
    subject = _one(catalogue, "SELECT subject FROM decisions GROUP BY subject ORDER BY count(*) DESC LIMIT 1")
    items = _one(catalogue, "SELECT count(*) FROM decisions")
    span = _one(catalogue, "SELECT max(lodged_at) - INTERVAL 7 DAYS FROM decisions")
    table = Table("question", "all of it, s", "its last 7 days, s", title=f"{items:,} items")
    rows = []
    for name, question in NAMED.items():
        took = {}
        for what, since in (("all", EARLIEST), ("week", span)):
            values: dict[str, Any] = {"since": since, "until": LATEST}
            if question.needs_subject:
                values["subject"] = subject
            times = []
            for _ in range(3):
                began = time.monotonic()
                db = connect(catalogue, question.text, since=since, threads=options.threads)
                db.execute(question.text, values).fetchall()
                db.close()
                times.append(time.monotonic() - began)
            took[what] = median(times)
        rows.append({"question": name, "items": items, **took})
        table.add_row(name, f"{took['all']:.2f}", f"{took['week']:.2f}")
    console.print(table)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


def _one(catalogue: Catalogue, text: str) -> Any:
    db = connect(catalogue, text)
    row = db.execute(text).fetchone()
    db.close()
    assert row is not None  # noqa: S101 - every question here has one row
    return row[0]


if __name__ == "__main__":
    raise SystemExit(main())
