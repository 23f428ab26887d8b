"""Questions to the archive: DuckDB views, by name and in SQL."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from agents.step import Refusal
from schemas.registry import declarations
from streams.archive.consuming import archived_topics
from streams.archive.layout import Catalogue
from streams.archive.questions import NAMED
from streams.archive.reading import chunk_facts
from streams.archive.rows import Archived
from streams.archive.times import moment
from streams.archive.views import connect, shown_columns, view_name
from streams.archive.writing import write_part
from streams.cli import main
from streams.deadletter import dead_letter
from streams.files import whole_file
from tests.archive_files import KEY, NOON_MS, example_records, full_disk, parcels, write


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed examples of every topic, sealed."""
    root = tmp_path_factory.mktemp("archive")
    for topic in declarations():
        write(root, example_records(topic), KEY)
    return root


def ask(archive: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["query", *arguments, "--dir", str(archive)])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    return said.out


def test_every_view_has_the_columns_that_are_documented(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (archive, tmp_path / "empty"):
        db = connect(Catalogue.of(root))
        for topic in archived_topics():
            found = [row[0] for row in db.execute(f"DESCRIBE {view_name(topic)}").fetchall()]
            assert found == [name for name, _, _ in shown_columns(topic)] + ["date"]


@pytest.mark.parametrize("name", NAMED)
def test_every_named_question_is_answered(name: str, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--subject", "c:0"] if NAMED[name].needs_subject else []
    rows = json.loads(ask(archive, capsys, "--named", name, *more, "--format", "json"))
    assert isinstance(rows, list)
    if name in ("coverage-by-port", "seizure-rate-trend"):
        assert sum(row["items"] for row in rows) == len(example_records("decisions"))


def test_answers_come_as_csv_json_parquet_and_table(
    archive: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sql = "SELECT decision_id, lane, layers FROM decisions ORDER BY decision_id"
    rows = json.loads(ask(archive, capsys, sql, "--format", "json"))
    assert len(rows) == 3
    table = list(csv.DictReader(io.StringIO(ask(archive, capsys, sql, "--format", "csv"))))
    assert [row["decision_id"] for row in table] == [row["decision_id"] for row in rows]
    file = tmp_path / "answer.parquet"
    ask(archive, capsys, sql, "--format", "parquet", "--output", str(file))
    assert pq.read_table(file).to_pylist() == rows
    assert rows[0]["decision_id"] in ask(archive, capsys, sql)


@pytest.mark.parametrize("format_", ["table", "csv"])
def test_columns_of_one_name_are_told_one_by_one(
    format_: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ask(archive, capsys, "SELECT 11 AS a, 22 AS b, 33 AS a", "--format", format_)
    assert [line.replace('"', "").replace(",", " ").split() for line in said.splitlines()] == [
        ["a", "b", "a"], ["11", "22", "33"],
    ]  # fmt: skip


def test_a_table_gives_a_terminal_no_orders(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ask(
        archive,
        capsys,
        r"SELECT e'a\x1b[31m' || chr(155) || e'b\tc\x07' AS a, ':smile: [red]x' AS b, e'\x1b[31m'::BLOB AS c",
    )
    assert said.splitlines()[1].split() == [r"a\x1b[31m\x9bb\tc\x07", ":smile:", "[red]x", r"\x1b[31m"]


def test_numbers_that_are_none_are_null_in_json(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ask(archive, capsys, "SELECT 'nan'::DOUBLE AS a, ['inf'::DOUBLE] AS b, DATE '2026-03-02' AS c, 1.5 AS d",
               "--format", "json")  # fmt: skip
    assert json.loads(said, parse_constant=pytest.fail) == [{"a": None, "b": [None], "c": "2026-03-02", "d": "1.5"}]


def test_a_sum_of_whole_numbers_is_a_number_in_json(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sums = "SELECT sum(revision) AS revisions, 9223372036854775807::HUGEINT + 1 AS more FROM decisions"
    said = json.loads(ask(archive, capsys, sums, "--format", "json"))
    assert said == [{"revisions": 2, "more": "9223372036854775808"}]


def test_spans_of_time_are_written_as_people_write_them(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spans = (
        "INTERVAL '50 hours'", "INTERVAL '1 month -2 days 90 seconds'", "INTERVAL '-250 milliseconds'",
        "INTERVAL '14 months'", "INTERVAL '0 days'", "NULL::INTERVAL",
        "TIMESTAMPTZ '2026-03-03 04:00:00Z' - TIMESTAMPTZ '2026-03-01 03:30:00Z'",
    )  # fmt: skip
    sql = " UNION ALL ".join(f"SELECT {place} AS n, {span} AS took" for place, span in enumerate(spans)) + " ORDER BY n"
    wanted = [
        "50:00:00", "1 month -2 days 00:01:30", "-00:00:00.25", "14 months", "00:00:00", None, "2 days 00:30:00",
    ]  # fmt: skip
    said = ask(archive, capsys, sql, "--format", "json")
    assert [row["took"] for row in json.loads(said)] == wanted
    said = ask(archive, capsys, sql, "--format", "csv")
    assert [row["took"] or None for row in csv.DictReader(io.StringIO(said))] == wanted
    ask(archive, capsys, sql, "--format", "parquet", "--output", str(tmp_path / "spans.parquet"))
    assert pq.read_table(tmp_path / "spans.parquet")["took"].to_pylist() == wanted
    assert "2 days 00:30:00" in ask(archive, capsys, sql)


def test_a_question_is_answered_where_the_path_of_the_archive_is_odd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "it's [1]*"
    write(root, example_records("decisions"))
    assert json.loads(ask(root, capsys, "SELECT count(*) AS n FROM decisions", "--format", "json")) == [{"n": 3}]


def test_a_redelivered_record_is_shown_once_and_kept_twice(tmp_path: Path) -> None:
    once = example_records("decisions")[:1]
    again = [replace(one, offset=1) for one in once]
    write(tmp_path, once + again)
    lodged = parcels(3)
    write(tmp_path, [*lodged, replace(lodged[0], offset=3)])
    db = connect(Catalogue.of(tmp_path))
    for view, count in (("raw_decisions", 2), ("decisions", 1), ("raw_express_cargo", 4), ("express_cargo", 3)):
        assert db.table(view).aggregate("count(*)").fetchall() == [(count,)]


def test_a_result_that_was_refused_and_sent_again_stands_on_its_decision(tmp_path: Path) -> None:
    """It came before its alert, say: the desk sends it again under the `ce_id` that it had."""
    seizure = next(one for one in example_records("inspection-results") if b'"seizure"' in (one.value or b""))
    refused = replace(seizure, offset=0, headers=[("ce_id", b"r-1"), ("ce_source", b"/centre")])
    write(tmp_path, [refused, replace(refused, offset=1, headers=[*refused.headers, ("dlq-attempt", b"1")])])
    letter = dead_letter(refused, Refusal(0, "no-matching-alert", "decision_id", ""), "reevaluation", NOON_MS)
    write(tmp_path, [Archived("inspection-results-dlq", 0, 0, NOON_MS, letter.key, letter.value, list(letter.headers))])
    db = connect(Catalogue.of(tmp_path))
    assert db.execute('SELECT "offset", outcome FROM latest_results').fetchall() == [(1, "seizure")]
    shown = [row[0] for row in db.execute("DESCRIBE latest_results").fetchall()]
    assert shown == [row[0] for row in db.execute("DESCRIBE inspection_results").fetchall()]


def lesson_of(result: Archived) -> Archived:
    """What re-evaluation learnt of a result."""
    lesson = next(one for one in example_records("labelled-examples") if b'"OutcomeLearned"' in (one.value or b""))
    said = json.loads(result.value or b"")
    told = {name: said[name] for name in ("result_id", "decision_id", "inspected_at")}
    return replace(lesson, offset=0, value=json.dumps({**json.loads(lesson.value or b""), **told}).encode())


def refused_as(reason: str, *results: Archived) -> list[Archived]:
    """The dead letters of results."""
    letters = [dead_letter(one, Refusal(one.offset, reason, "", ""), "reevaluation", NOON_MS) for one in results]
    return [Archived("inspection-results-dlq", 0, number, NOON_MS, one.key, one.value, list(one.headers))
            for number, one in enumerate(letters)]  # fmt: skip


def test_a_result_that_was_refused_and_learnt_all_the_same_stands_on_its_decision(tmp_path: Path) -> None:
    """Its worker died between dead letter and commit, and its alert was there when it was decided again."""
    seizure = next(one for one in example_records("inspection-results") if b'"seizure"' in (one.value or b""))
    seizure = replace(seizure, offset=0)
    other = {**json.loads(seizure.value or b""), "result_id": "r-2", "outcome": "clear", "severity": 0}
    second = replace(seizure, offset=1, value=json.dumps(other).encode())
    write(tmp_path, [seizure, second])
    write(tmp_path, refused_as("no-matching-alert", seizure, second))
    latest = 'SELECT "offset", outcome FROM latest_results'
    assert connect(Catalogue.of(tmp_path), latest).execute(latest).fetchall() == []
    write(tmp_path, [lesson_of(seizure)])
    assert connect(Catalogue.of(tmp_path), latest).execute(latest).fetchall() == [(0, "seizure")]


def test_a_refusal_of_what_was_learnt_later_is_not_what_stands(tmp_path: Path) -> None:
    """A correction came before the result that it corrects, and was sent again after it."""
    seizure = next(one for one in example_records("inspection-results") if b'"seizure"' in (one.value or b""))
    said = json.loads(seizure.value or b"")
    other = {**said, "result_id": "r-2", "outcome": "clear", "severity": 0, "corrects": said["result_id"]}
    early = replace(seizure, offset=0, value=json.dumps(other).encode())
    write(tmp_path, [early, replace(seizure, offset=1), replace(early, offset=2)])
    write(tmp_path, refused_as("nothing-to-correct", early))
    write(tmp_path, [lesson_of(early)])
    latest = 'SELECT "offset", outcome FROM latest_results'
    assert connect(Catalogue.of(tmp_path), latest).execute(latest).fetchall() == [(2, "clear")]


def test_lodgements_of_two_lodgers_who_count_alike_are_both_shown(tmp_path: Path) -> None:
    one, other = (
        replace(record, headers=[("ce_id", b"1"), ("ce_source", source)])
        for record, source in zip(parcels(2), (b"/courier/a", b"/courier/b"), strict=True)
    )
    write(tmp_path, [one, other, replace(other, offset=2)])
    db = connect(Catalogue.of(tmp_path), "express_cargo")
    assert sorted(db.execute('SELECT "offset" FROM express_cargo').fetchall()) == [(0,), (1,)]


def test_the_path_of_an_archive_is_no_pattern_and_says_nothing_of_its_records(tmp_path: Path) -> None:
    above = tmp_path / "date=2001-01-01" / "lane=none"
    for name in ("it's[1]*?", "it's1-x"):
        write(above / name, example_records("decisions"))
    db = connect(Catalogue.of(above / "it's[1]*?"), "decisions raw_decisions")
    assert db.execute("SELECT count(*), bool_or(lane = 'none'), min(date) FROM decisions").fetchall() == [
        (3, False, date(2026, 3, 2))
    ]
    assert db.execute("SELECT DISTINCT topic FROM raw_decisions").fetchall() == [("decisions",)]


def test_a_question_is_explained(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT count(*) FROM decisions WHERE lodged_at < $until"
    assert "PARQUET" in ask(archive, capsys, f"explain {sql}", "--until", "2027-01-01").upper()
    assert "Total Files Read: 3" in ask(archive, capsys, f"EXPLAIN  ANALYZE\n{sql}", "--until", "2027-01-01")


def test_files_that_were_altered_are_looked_for_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key, root = tmp_path / "key", tmp_path / "archive"
    key.write_bytes(KEY.secret)
    for topic in ("decisions", "alerts"):
        write(root, example_records(topic), KEY)
    sql = ("SELECT count(*) AS n FROM decisions", "--check", "--format", "csv", "--dir", str(root))

    def asked() -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["query", *sql])
        return int(ended.value.code or 0), capsys.readouterr().err

    assert asked() == (
        0, "borderflow: checked by checksums alone: 3 of 3 files: BORDERFLOW_ARCHIVE_KEY_FILE is not set\n",
    )  # fmt: skip
    monkeypatch.setenv("BORDERFLOW_ARCHIVE_KEY_FILE", str(key))
    assert asked() == (0, "")
    for topic, code in (("alerts", 0), ("decisions", 2)):
        (part, *_) = Catalogue.of(root).parts(topic)
        table = pq.read_table(root / part.path, partitioning=None).replace_schema_metadata(None)
        write_part(root, part, table, chunk_facts(root / part.path, part))
        assert asked()[0] == code
    assert "has no MAC, and others say that it had one" in asked()[1]


def test_a_question_by_date_reads_the_files_of_that_date_alone(archive: Path) -> None:
    db = connect(Catalogue.of(archive), "decisions")
    told = db.execute("EXPLAIN ANALYZE SELECT count(*) FROM decisions WHERE date > '2026-03-03'").fetchall()[0][1]
    assert "Total Files Read: 1" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SELECT nonsense FROM decisions"], "nonsense"),
        (["--named", "lottery"], "there are coverage-by-port"),
        (["top-reasons"], "--named top-reasons"),
        (["--named", "subject-history"], "--subject"),
        (["SELECT 1", "--named", "top-reasons"], "not both"),
        (["SELECT 1", "--since", "yesterday"], "'yesterday' is no time"),
        (["SELECT 1", "--since", "99999999999d"], "'99999999999d' is no time"),
        (["SELECT 1 -- $since", "--since", "7d"], "--since: has no effect"),
        (["SELECT $since", "--since", "7d", "--until", "1d"], "--until: has no effect"),
        (["SELECT 1", "--subject", "c:0"], "--subject: has no effect"),
        ([""], "one SELECT statement"),
        (["SELECT 1; SELECT 2"], "one SELECT statement"),
        (["COPY (SELECT 1) TO 'here.csv'"], "one SELECT statement"),
        (["EXPLAIN COPY (SELECT 1) TO 'here.csv'"], "one SELECT statement"),
        (["EXPLAIN ANALYZE COPY (SELECT 1) TO 'here.csv'"], "one SELECT statement"),
        (["EXPLAIN ANALYZE/**/COPY (SELECT 1) TO 'here.csv'"], "syntax error"),
        (["EXPLAIN -- \n ANALYZE COPY (SELECT 1) TO 'here.csv'"], "syntax error"),
        (["/**/ EXPLAIN ANALYZE COPY (SELECT 1) TO 'here.csv'"], "one SELECT statement"),
        (["EXPLAIN SELECT 1; SELECT 2"], "one SELECT statement"),
        (["EXPLAIN SELECT 1", "--since", "7d"], "--since: has no effect"),
        (["PIVOT decisions ON lane USING count(*)"], "PIVOT: say which values become columns"),
        (["SELECT * FROM (PIVOT decisions ON lane USING count(*))"], "PIVOT: say which values become columns"),
        (["SET enable_external_access = true"], "one SELECT statement"),
        (["SELEC 1"], "syntax error"),
        (["SELECT * FROM read_csv('/etc/hostname')"], "disabled by configuration"),
        (["SELECT * FROM '/etc/hostname'"], "/etc/hostname"),
        (["SELECT 1 AS a, 2 AS a", "--format", "json"], "several columns are named a"),
        (["SELECT 1 AS a, 2 AS a", "--format", "parquet", "--output", "a"], "several columns are named a"),
        (["SELECT 1", "--format", "parquet", "--output", "/nowhere/a"], "--output: /nowhere/a: "),
        (["SELECT 1", "--format", "csv", "--output", "/nowhere/a"], "--output: /nowhere/a: No such file"),
        (["SELECT 1", "--format", "parquet"], "--output"),
        (["--named", "top-reasons", "--since", "2026-03-09", "--until", "2026-03-02"], "--until: is not after --since"),
        (["SELECT 1", "--memory", "lots"], "--memory: 'lots' is no amount of memory"),
        (["SELECT 1", "--memory", "1GB'; SELECT '1"], "--memory: "),
        (["SELECT 1", "--memory", "1GB '; SELECT '1"], "--memory: "),
        (["SELECT DATE '12000-01-01'"], "--format table: date value out of range; write CAST"),
        (["SELECT 1", "--threads", "0"], "--threads"),
    ],
)
def test_a_wrong_question_is_refused_in_one_line(
    arguments: list[str], said: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["query", *arguments, "--dir", str(archive)])
    line = capsys.readouterr().err
    assert ended.value.code == 2
    assert line.count("\n") == 1
    assert said in line


@pytest.mark.parametrize("question", [["--named", "top-reasons"], ["SELECT 1 FROM alerts WHERE raised_at < $until"]])
def test_who_asks_of_a_time_that_holds_nothing_is_told_which_time_does(
    question: list[str], archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--until", "2019-01-01"]
    with pytest.raises(SystemExit) as ended:
        main(["query", *question, *span, "--format", "csv", "--dir", str(archive)])
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.out.count("\n") == 1  # the head alone
    assert said.err == (
        "borderflow: nothing of that time: the archive's items were lodged from 2026-03-02 to 2026-03-02\n"
    )


def test_an_answer_without_a_row_of_a_time_that_holds_items_is_an_answer(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--named", "subject-history", "--subject", "c:nobody", "--since", "2026-03-02", "--until", "2026-03-03"]
    assert ask(archive, capsys, *asked, "--format", "json") == "[]\n"


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line in which a question is refused."""
    with pytest.raises(SystemExit) as ended:
        main(["query", *words])
    told = capsys.readouterr().err
    assert (ended.value.code, told.count("\n"), told[:12]) == (2, 1, "borderflow: ")
    return told


def test_an_archive_that_holds_nothing_answers_no_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{tmp_path}: nothing is archived here" in refused(capsys, "SELECT 1", "--dir", str(tmp_path))


def test_a_file_that_was_cut_is_named_in_words_of_the_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, example_records("decisions"))
    file = Catalogue.of(tmp_path).files("decisions")[1]
    file.write_bytes(file.read_bytes()[:-100])
    told = refused(capsys, "SELECT count(*) FROM decisions", "--dir", str(tmp_path))
    assert told.startswith(f"borderflow: {file}: cannot be read as Parquet")


@pytest.mark.parametrize("format_", ["csv", "json", "parquet", "table"])
def test_what_finds_no_room_on_the_disk_leaves_the_file_that_was_there(
    format_: str, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answer"
    file.write_text("the last one")
    file.chmod(0o600)
    asked = ["--dir", str(archive), "--format", format_, "--output", str(file)]
    with full_disk(2_000):
        told = refused(capsys, "SELECT md5(i::VARCHAR) AS a FROM range(199) r(i)", *asked)
    assert f"--output: {file}: " in told
    assert (file.read_text(), [one.name for one in tmp_path.iterdir()]) == ("the last one", ["answer"])
    ask(archive, capsys, "SELECT 1 AS a", *asked[2:])
    assert (file.read_bytes() != b"the last one", file.stat().st_mode & 0o777) == (True, 0o600)


def test_an_answer_goes_into_a_pipe_that_is_there(archive: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    asked = ["--dir", str(archive), "--format", "csv", "--output", str(tmp_path / "pipe")]
    with os.fdopen(reading) as pipe:
        with pytest.raises(SystemExit):
            main(["query", "SELECT 1 AS a", *asked])
        assert pipe.read() == '"a"\n1\n'
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]


def test_a_private_file_is_its_owner_s_alone_while_it_is_written_and_after_whatever_was_there(tmp_path: Path) -> None:
    file = tmp_path / "address"
    for there in (file, file.with_name("address.writing")):
        there.write_text("older")
        there.chmod(0o644)
    with whole_file(file, private=True) as written:
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        written.write_text("once")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("once", 0o600)


def test_times_are_absolute_or_so_long_ago() -> None:
    now = datetime(2026, 3, 9, 12, tzinfo=UTC)
    assert moment("7d", now) == datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert moment("2026-03-02", now) == datetime(2026, 3, 2, tzinfo=UTC)
    assert moment("2026-03-02T09:00+09:00", now) == datetime(2026, 3, 2, tzinfo=UTC)
    for text in ("99999999999d", "9" * 5000 + "s", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"):
        with pytest.raises(ValueError, match="is no time"):
            moment(text, now)


def test_a_spreadsheet_is_given_no_formula_of_a_lodger(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT '=HYPERLINK(1)' AS a, '@x' AS b, '-' AS c, -1 AS d, '8-1' AS e, NULL::VARCHAR AS f"
    (row,) = csv.DictReader(io.StringIO(ask(archive, capsys, sql, "--format", "csv")))
    assert list(row.values()) == ["'=HYPERLINK(1)", "'@x", "'-", "-1", "8-1", ""]
    (row,) = json.loads(ask(archive, capsys, sql, "--format", "json"))
    assert row["a"] == "=HYPERLINK(1)"


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_an_answer_of_any_format_gives_a_terminal_no_orders(
    format_: str, archive: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = r"SELECT 'a' || chr(27) || chr(155) || chr(8238) AS a"
    piped = ask(archive, capsys, sql, "--format", format_)
    assert "\x9b\u202e" in piped
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ask(archive, capsys, sql, "--format", format_).replace("\n", "").isprintable()


def test_a_refusal_gives_a_terminal_no_orders(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, r"SELECT (e'\x1b[31m' || lane)::INT FROM decisions", "--dir", str(archive))
    assert r"\x1b[31m" in said
    assert said.removesuffix("\n").isprintable()
