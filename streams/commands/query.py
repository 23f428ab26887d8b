"""`borderflow query`: ask the archive in SQL, or one of the questions of every day by name."""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.archive.layout import ArchiveError, Catalogue
from streams.archive.questions import NAMED
from streams.archive.reading import ArchiveReader, said_of_no_mac
from streams.archive.sealing import ArchiveKey
from streams.archive.tidying import damaged
from streams.archive.times import EARLIEST, LATEST
from streams.archive.views import asked_topics, confine, connect
from streams.commands import CommandRefusedError, shown
from streams.commands import output as wide_output
from streams.commands.archive import MacsSince, archive_key, folder_of, macs_since_ms
from streams.commands.times import span
from streams.files import whole_file
from streams.settings import Settings

app = App(name="query", help="Ask the archive in SQL, or by name.")

Format = Literal["table", "csv", "parquet", "json"]
SHOWN = 200
"""The most rows that are drawn as a table."""
_EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?\s", re.IGNORECASE)
_FORMULA = r"^[=+\-@\t\r\n]"
_MEMORY = re.compile(r"[0-9.]+ ?[A-Za-z%]+")
_MOST = 600
"""The most characters of what DuckDB says of a statement."""


@app.default
def query(
    sql: str | None = None,
    /,
    *,
    named: Annotated[str | None, Parameter(help=f"One of {', '.join(NAMED)}.")] = None,
    since: Annotated[
        str | None, Parameter(help="Lodged at or after: a time (2026-03-02T12:00Z), or how long ago (24h, 7d).")
    ] = None,
    until: Annotated[str | None, Parameter(help="Lodged before: a time, or how long ago.")] = None,
    subject: Annotated[str | None, Parameter(help="The pseudonym, for subject-history.")] = None,
    format_: Annotated[Format, Parameter(name="--format", help="How to write the answer.")] = "table",
    output: Annotated[Path | None, Parameter(help="Write to this file instead; parquet needs it.")] = None,
    folder: Annotated[
        Path | None, Parameter(name="--dir", help="The archive's folder; BORDERFLOW_ARCHIVE_DIR unless given.")
    ] = None,
    check: Annotated[
        bool,
        Parameter(
            negative=(), help="First read the files to their ends, by checksums; with the archive's key by MACs."
        ),
    ] = False,
    macs_since: MacsSince = None,
    memory: Annotated[str, Parameter(help="The most memory to use.")] = "2GB",
    threads: Annotated[int, Parameter(help="The most threads to use.", validator=Number(gte=1, lte=256))] = 2,
) -> int:
    """Ask. Views and columns are listed in docs/archive.md; --since, --until and --subject are $since and so on in SQL.

    The answer is what stands in the files: whether somebody changed them is only looked at with --check.
    Exit code 1 when a time was given of which nothing is archived.

    Parameters
    ----------
    sql
        One SELECT statement in DuckDB's SQL, or EXPLAIN or EXPLAIN ANALYZE and one. It reads the archive and nothing
        else.
    macs_since
        With --check: files without a MAC are only counted when their date is from before this.
    """
    text, values = _question(sql, named, since, until, subject)
    if format_ == "parquet" and output is None:
        raise CommandRefusedError("--output: parquet is written to a file; name it")
    if macs_since is not None and not check:
        raise CommandRefusedError("--macs-since: has no effect without --check")
    since_ms = macs_since_ms(macs_since)
    _refuse_unknown_memory(memory)
    settings = Settings.from_environment()
    root = folder_of(settings, folder)
    try:
        catalogue = Catalogue.of(root)
        if not catalogue.places:
            raise CommandRefusedError(f"{root}: nothing is archived here")
        if check:
            _refuse_unchecked(catalogue, text, archive_key(settings), since_ms)
        with tempfile.TemporaryDirectory(prefix="borderflow-query-") as spill:
            begin = values["since"] if named is not None else None  # these ask for what was lodged since then
            db = connect(catalogue, text, since=begin, memory=memory, threads=threads, spill=Path(spill))
            confine(db, root)
            answer: pa.Table = db.sql(text, params=values).to_arrow_table()
    except ArchiveError as error:
        raise CommandRefusedError(str(error)) from None
    except duckdb.Error as error:
        raise CommandRefusedError(str(error)[:_MOST]) from None
    try:
        _write(answer, format_, output)
    except OSError as error:
        if output is None:
            raise
        raise CommandRefusedError(f"--output: {output}: {error.strerror or error}") from None
    except (OverflowError, pa.ArrowNotImplementedError) as error:
        raise CommandRefusedError(f"--format {format_}: {error}; write CAST(... AS VARCHAR) around it") from None
    asked = (values.get("since", EARLIEST), values.get("until", LATEST))
    if answer.num_rows or asked == (EARLIEST, LATEST) or (told := _nothing_of_that_time(root, *asked)) is None:
        return 0
    print(f"borderflow: {told}", file=sys.stderr)  # noqa: T201 - beside the answer
    return 1


def _refuse_unknown_memory(memory: str) -> None:
    try:
        if _MEMORY.fullmatch(memory) is None:  # DuckDB takes whatever stands behind a space
            raise ValueError
        duckdb.connect(":memory:", config={"memory_limit": memory}).close()
    except (ValueError, duckdb.Error):
        raise CommandRefusedError(f"--memory: {memory[:40]!r} is no amount of memory; write 2GB") from None


def _refuse_unchecked(catalogue: Catalogue, text: str, key: ArchiveKey | None, macs_since_ms: int) -> None:
    """Raise `CommandRefusedError` for files of the topics in question that are not as they were written, or may be so.

    Without the key that is told by checksums alone.
    """
    topics, reader = asked_topics(text), ArchiveReader(catalogue, key)
    if wrong := list(damaged(reader, topics).values()):
        more = f", and {len(wrong) - 1} more files" if len(wrong) > 1 else ""
        raise CommandRefusedError(f"--check: {wrong[0]}{more}")
    if stripped := reader.without_mac(macs_since_ms):
        raise CommandRefusedError(f"--check: {said_of_no_mac(catalogue.root, stripped)}")
    parts = [part for topic in topics for part in catalogue.parts(topic)]
    bare = sum(not reader.authentic(part) for part in parts)
    if bare:
        said = "" if key is not None else ": BORDERFLOW_ARCHIVE_KEY_FILE is not set"
        print(f"borderflow: checked by checksums alone: {bare:,} of {len(parts):,} files{said}", file=sys.stderr)  # noqa: T201 - beside the answer


def _nothing_of_that_time(root: Path, since: datetime, until: datetime) -> str | None:
    """What to say where no item is archived as decided that was lodged in this time: of which time there are some."""
    db = connect(Catalogue.of(root), "decisions")
    ((first, last, there),) = db.execute(
        "SELECT min(lodged_at), max(lodged_at), count(*) FILTER (lodged_at >= $since AND lodged_at < $until) "
        "FROM decisions",
        {"since": since, "until": until},
    ).fetchall()
    if there:
        return None
    lodged = "" if first is None else f": the archive's items were lodged from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    return f"nothing of that time{lodged}"


def _question(
    sql: str | None, named: str | None, since: str | None, until: str | None, subject: str | None
) -> tuple[str, dict[str, Any]]:
    if (sql is None) == (named is None):
        raise CommandRefusedError(
            "give a SELECT statement, or --named with one of the questions: not both, not neither"
        )
    if sql in NAMED:
        raise CommandRefusedError(f"{sql!r} is the name of a question, not a statement: --named {sql}")
    if named is not None and named not in NAMED:
        raise CommandRefusedError(f"--named: there is no question {named!r}; there are {', '.join(NAMED)}")
    values: dict[str, Any] = dict(zip(("since", "until"), span(since, until), strict=True))
    if subject is not None:
        values["subject"] = subject
    if sql is not None:
        asked = _asked_for(sql)
        for name, given in (("since", since), ("until", until), ("subject", subject)):
            if given is not None and name not in asked:
                raise CommandRefusedError(f"--{name}: has no effect, as the statement does not say ${name}")
        return sql, {name: value for name, value in values.items() if name in asked}
    question = NAMED[named or ""]
    if question.needs_subject != (subject is not None):
        raise CommandRefusedError("--subject: subject-history needs it, and only that question does")
    return question.text, values


def _asked_for(sql: str) -> set[str]:
    """The names after `$` in a statement. Raises `CommandRefusedError` for all but one SELECT, explained or not."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise CommandRefusedError(str(error)[:_MOST]) from None
    kinds = [one.type for one in statements]
    if duckdb.StatementType.MULTI in kinds:
        raise CommandRefusedError("PIVOT: say which values become columns, as in ON lane IN ('red', 'green')")
    if kinds == [duckdb.StatementType.EXPLAIN] and (head := _EXPLAIN.match(sql)):
        return _asked_for(sql[head.end() :])  # ANALYZE carries out what it explains
    if kinds != [duckdb.StatementType.SELECT]:
        raise CommandRefusedError("give one SELECT statement, and nothing beside it")
    return set(statements[0].named_parameters)


def _with_spans(answer: pa.Table) -> pa.Table:
    """The answer with spans of time as text: neither CSV nor Parquet nor JSON has a type for them."""
    for place, field in enumerate(answer.schema):
        if pa.types.is_interval(field.type):
            texts = [None if one is None else _span(one) for one in answer.column(place).to_pylist()]
            answer = answer.set_column(place, field.name, pa.array(texts, pa.string()))
    return answer


def _span(value: pa.MonthDayNano) -> str:
    """A span of time: `1 month -2 days 05:30:00.25`; it may have more hours than a day."""
    micros = abs(value.nanoseconds) // 1000
    seconds, rest = divmod(micros, 1_000_000)
    sign = "-" if value.nanoseconds < 0 else ""
    clock = f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    clock += f".{rest:06d}".rstrip("0") if rest else ""
    units = ((value.months, "month"), (value.days, "day"))
    words = [f"{count} {unit}{'' if abs(count) == 1 else 's'}" for count, unit in units if count]
    return " ".join([*words, clock] if micros or not words else words)


def _write(answer: pa.Table, format_: Format, output: Path | None) -> None:
    twice = [name for name, count in Counter(answer.column_names).items() if count > 1]
    if twice and format_ in ("json", "parquet"):
        raise CommandRefusedError(f"--format {format_}: several columns are named {twice[0]}; name them apart by AS")
    answer = _with_spans(_without_formulas(answer) if format_ == "csv" else answer)
    if output is not None:
        with whole_file(output) as file:
            _write_to(answer, format_, file)
    else:
        _write_to(answer, format_, None)


def _write_to(answer: pa.Table, format_: Format, output: Path | None) -> None:
    if format_ == "parquet":
        pq.write_table(answer, output, compression="zstd")
    elif format_ == "csv":
        _out(_csv(answer), output)
    elif format_ == "json":
        rows = [_json(row) for row in answer.to_pylist()]
        _out("[\n" + ",\n".join(rows) + "\n]\n" if rows else "[]\n", output)
    elif output is not None:
        with open(output, "w", encoding="utf-8") as file:
            _draw(answer, wide_output(file))
    else:
        _draw(answer, wide_output())


def _without_formulas(answer: pa.Table) -> pa.Table:
    """The answer with an apostrophe before what lodgers wrote and spreadsheets would take for a formula."""
    for place, field in enumerate(answer.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            column = answer.column(place)
            quoted = pc.binary_join_element_wise("'", column, "")
            safe = pc.if_else(pc.match_substring_regex(column, _FORMULA), quoted, column)
            answer = answer.set_column(place, field.name, safe)
    return answer


def _csv(answer: pa.Table) -> str:
    flat = answer
    for place, field in enumerate(answer.schema):
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            texts = [None if value is None else _json(value) for value in answer.column(place).to_pylist()]
            flat = flat.set_column(place, field.name, pa.array(texts, pa.string()))
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(flat, sink)
    return str(sink.getvalue().to_pybytes().decode())


def _draw(answer: pa.Table, console: Console) -> None:
    table = Table(box=None)
    for name in answer.column_names:
        table.add_column(Text(name), overflow="fold")
    for row in zip(*(column.to_pylist() for column in answer.slice(0, SHOWN).columns), strict=True):
        table.add_row(*(Text(_cell(value)) for value in row))
    console.print(table)
    if answer.num_rows > SHOWN:
        console.print(f"{answer.num_rows - SHOWN:,} rows more: ask for --format csv, json or parquet")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return shown(_plain(value))


def _json(value: Any) -> str:
    """JSON of a value; numbers that are none are null."""
    return orjson.dumps(value, default=_whole_or_plain, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def _whole_or_plain(value: Any) -> int | str:
    """A sum of whole numbers is one, though DuckDB hands it over as a decimal."""
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0 and abs(value) < 1 << 63:
        return int(value)
    return _plain(value)


def _plain(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _out(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(shown(text) if sys.stdout.isatty() else text)
    else:
        output.write_text(text, encoding="utf-8")
