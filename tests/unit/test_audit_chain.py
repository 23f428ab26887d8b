"""The audit chain: whatever is done to a record after it was sealed, the first place is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader, chunk_facts
from streams.archive.rows import Archived
from streams.archive.tidying import retire
from streams.archive.writing import write_part
from streams.audit.book import Book, Chain, Writer, only_sealer, read_heads
from streams.audit.chain import ENTRY_BYTES, AuditError, Entry
from streams.audit.comparing import Absence, Comparison, Finding
from streams.audit.verifying import Checked, check_archive, check_chain, check_records
from streams.cli import main
from streams.files import make_folder
from streams.rebuild import LogReader
from tests.archive_files import DAY_MS, KEY, NOON_MS, full_disk, parcels, write
from tests.integration.border import NOON

AT = "2026-03-02T12:00:00+00:00"
HOUR_MS = 3_600_000


def compared(sealed: Sequence[Archived], found: Sequence[Archived]) -> Finding | None:
    entries = [Entry.of(one) for one in sealed]
    comparison = Comparison(lambda: iter(entries), lambda entry: Absence(None))
    for one in found:
        if not comparison.take(one):
            break
    return comparison.finish()


def moved(records: Sequence[Archived], first: int = 0) -> list[Archived]:
    """The same records at offsets in a row, as in a topic that was written anew."""
    return [replace(one, offset=first + number) for number, one in enumerate(records)]


def chain_of(folder: Path, records: Sequence[Archived], step: int = 10, at: str = AT) -> Chain:
    chain = Chain(folder, records[0].topic, 0)
    make_folder(folder)
    for start in range(0, len(records), step):
        writer = Writer(chain)
        writer.append([Entry.of(one) for one in records[start : start + step]])
        writer.seal(at)
        writer.close()
    return chain


RECORDS = parcels(200)


def test_records_that_nobody_touched_are_as_they_were_sealed() -> None:
    assert compared(RECORDS, RECORDS) is None
    assert compared(RECORDS[:50], RECORDS) is None, "later records are not sealed yet"


@given(st.integers(0, 199), st.sampled_from(["value", "key", "timestamp", "headers"]))
def test_an_edited_record_is_named(place: int, part: str) -> None:
    one = RECORDS[place]
    forged = {
        "value": replace(one, value=(one.value or b"").replace(b"HANEXP", b"HANEXQ")),
        "key": replace(one, key=b"another"),
        "timestamp": replace(one, timestamp=one.timestamp + 1),
        "headers": replace(one, headers=[*one.headers, ("more", b"x")]),
    }[part]
    found = compared(RECORDS, [*RECORDS[:place], forged, *RECORDS[place + 1 :]])
    assert found is not None
    assert (found.what, found.offset) == ("edited", place)


@given(st.integers(0, 199), st.integers(1, 5))
def test_dropped_records_are_named_where_the_first_was(place: int, count: int) -> None:
    left = RECORDS[:place] + RECORDS[place + count :]
    for found in (compared(RECORDS, left), compared(RECORDS, moved(left))):
        assert found is not None
        assert (found.what, found.offset) == ("dropped", place)


@given(st.integers(0, 199), st.integers(1, 5))
def test_inserted_records_are_named_where_the_first_is(place: int, count: int) -> None:
    alien = parcels(count, first=5000)
    found = compared(RECORDS, moved([*RECORDS[:place], *alien, *RECORDS[place:]]))
    assert found is not None
    assert (found.what, found.offset) == ("inserted", place)


def test_a_record_where_there_was_none_is_inserted() -> None:
    found = compared(RECORDS[:10] + RECORDS[11:], RECORDS)
    assert found == Finding("inserted", 10, "there was no record at it when it was sealed")


@given(st.integers(0, 199), st.integers(0, 199))
def test_records_that_changed_places_are_named_with_where_they_were(one: int, other: int) -> None:
    one, other = sorted((one, other))
    swapped = list(RECORDS)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    found = compared(RECORDS, moved(swapped))
    if one == other:
        assert found is None
    else:
        assert found is not None
        assert (found.what, found.offset) == ("reordered", one)
        assert found.detail.endswith(f"offset {other}")


def test_one_bit_in_a_chain_breaks_the_next_head(tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS)
    assert check_chain(chain).finding is None
    data = bytearray(chain.path.read_bytes())
    data[57 * ENTRY_BYTES + 40] ^= 1
    chain.path.write_bytes(data)
    finding = check_chain(chain).finding
    assert finding is not None
    assert finding.what == "chain altered"
    assert "entries 51 to 60" in finding.detail


def test_a_chain_that_was_cut_is_told_by_its_heads_and_not_taken_up(tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS)
    with open(chain.path, "r+b") as file:
        file.truncate(150 * ENTRY_BYTES)
    finding = check_chain(chain).finding
    assert finding is not None
    assert "holds 150 entries, and there is a head over 200" in finding.detail
    with pytest.raises(AuditError, match="150 entries"):
        Writer(chain)


def test_a_chain_made_anew_is_told_only_by_heads_that_were_held_elsewhere(tmp_path: Path) -> None:
    held = chain_of(tmp_path / "audit", RECORDS).heads()[-1:]
    forged = chain_of(tmp_path / "forged", RECORDS[:100] + RECORDS[101:])
    assert check_chain(forged).finding is None
    finding = check_chain(forged, held).finding
    assert finding is not None
    assert finding.what == "chain altered", "it is shorter than what the head was for"
    forged = chain_of(tmp_path / "also-forged", [*RECORDS[:100], replace(RECORDS[100], key=b"x"), *RECORDS[101:]])
    finding = check_chain(forged, held).finding
    assert finding is not None
    assert finding.what == "head differs"


def test_an_entry_that_a_crash_cut_short_is_written_anew(tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS[:100])
    with open(chain.path, "ab") as file:
        file.write(Entry.of(RECORDS[100]).packed()[:20])
    chain_of(tmp_path / "audit", RECORDS[100:])
    assert [one.offset for one in chain.entries()] == list(range(200))
    assert check_chain(chain).head == check_chain(chain_of(tmp_path / "other", RECORDS, step=200)).head


def test_a_disk_that_is_full_for_a_moment_leaves_whole_entries_and_heads(tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS[:100])
    writer = Writer(chain)
    with full_disk(chain.path.stat().st_size + ENTRY_BYTES + 7), pytest.raises(OSError, match="could be written"):
        writer.append([Entry.of(one) for one in RECORDS[100:110]])
    assert len(chain) == 100
    writer.append([Entry.of(one) for one in RECORDS[100:110]])
    before = chain.heads_path.read_bytes()
    with full_disk(len(before) + 100), pytest.raises(OSError, match="could be written"):
        writer.seal(AT)
    assert chain.heads_path.read_bytes() == before
    writer.close()
    writer = Writer(chain)  # the sealer is started again
    assert writer.seal(AT) is not None
    writer.close()
    assert check_chain(chain).finding is None
    assert check_chain(chain).head == check_chain(chain_of(tmp_path / "other", RECORDS[:110])).head


def test_a_head_that_a_crash_cut_short_is_passed_over_and_sealed_anew(tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS[:100])
    whole = chain.heads_path.read_bytes()
    chain.heads_path.write_bytes(whole[:-30])
    assert check_chain(chain).finding is None
    assert [one.entries for one in chain.heads()] == list(range(10, 100, 10))
    writer = Writer(chain)
    writer.seal(AT)
    writer.close()
    assert chain.heads_path.read_bytes() == whole


def test_a_chain_of_which_only_the_heads_are_left_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "archive", RECORDS[:30], KEY)
    chain = chain_of(tmp_path / "audit", RECORDS[:30])
    chain.path.unlink()
    assert Book.at(tmp_path / "audit").chains() == [chain]
    for name, value in {"AUDIT_DIR": tmp_path / "audit", "ARCHIVE_DIR": tmp_path / "archive"}.items():
        monkeypatch.setenv(f"BORDERFLOW_{name}", str(value))
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", "--from", "archive"])
    assert ended.value.code == 1
    assert "its chain is gone" in capsys.readouterr().out


def test_a_chain_that_lost_its_heads_is_told_and_not_taken_up(tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS[:30])
    held = chain.heads()[-1:]
    chain.heads_path.unlink()
    for heads in ([], held):
        finding = check_chain(chain, heads).finding
        assert finding is not None
        assert (finding.what, finding.detail.endswith("its heads are gone, and its chain is there")) == (
            "chain altered", True,
        )  # fmt: skip
    with pytest.raises(AuditError, match="its heads are gone: put them back"):
        Writer(chain)


def test_a_chain_begins_with_a_head_over_nothing(tmp_path: Path) -> None:
    writer = Writer(Chain(tmp_path, "express-cargo", 0))
    assert writer.seal(AT) is not None
    assert writer.seal(AT) is None
    writer.append([Entry.of(RECORDS[0])])
    writer.close()
    assert [one.entries for one in writer.chain.heads()] == [0]
    assert check_chain(writer.chain).finding is None
    Writer(writer.chain).close()


def test_a_head_of_another_time_than_the_one_held_elsewhere_is_told(tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS[:30])
    held = chain.heads()[-1:]
    chain.heads_path.write_bytes(chain.heads_path.read_bytes().replace(b"2026-03-02T12", b"2026-03-02T13"))
    assert check_chain(chain, now_ms=NOON_MS + 2 * HOUR_MS).finding is None
    finding = check_chain(chain, held).finding
    assert finding is not None
    assert (finding.what, "is of another time" in finding.detail) == ("head differs", True)


def test_a_head_of_the_future_is_told(tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS[:30])
    assert check_chain(chain, now_ms=NOON_MS - 4 * 60_000).finding is None, "clocks differ a little"
    finding = check_chain(chain, now_ms=NOON_MS - HOUR_MS).finding
    assert finding is not None
    assert (finding.what, finding.detail.endswith("which is yet to come")) == ("chain altered", True)


@pytest.mark.parametrize("tail", [bytes(ENTRY_BYTES), bytes(2 * ENTRY_BYTES), Entry.of(RECORDS[3]).packed()])
def test_entries_that_a_power_cut_left_are_sealed_anew(tail: bytes, tmp_path: Path) -> None:
    chain = chain_of(tmp_path / "audit", RECORDS[:100])
    with open(chain.path, "ab") as file:
        file.write(Entry.of(RECORDS[100]).packed() + tail)
    writer = Writer(chain)
    assert (writer.entries, writer.last) == (101, Entry.of(RECORDS[100]))
    writer.append([Entry.of(RECORDS[101])])
    writer.close()
    assert [one.offset for one in chain.entries()] == list(range(102))


def test_chains_are_closed_to_others(tmp_path: Path) -> None:
    with only_sealer(tmp_path / "made" / "audit"):
        chain = chain_of(tmp_path / "made" / "audit", RECORDS[:5])
    for path in (tmp_path / "made", tmp_path / "made" / "audit", chain.path, chain.heads_path):
        assert path.stat().st_mode & 0o007 == 0


def verified(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


def test_nothing_to_verify_is_refused_and_not_called_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "heads").write_text("")
    assert verified(capsys, "--dir", str(tmp_path / "audit"))[0] == 2
    chain_of(tmp_path / "audit", RECORDS[:30])
    assert verified(capsys, "--dir", str(tmp_path / "audit"), "--topic", "decisions")[0] == 2
    code, said = verified(capsys, "--dir", str(tmp_path / "audit"), "--heads", str(tmp_path / "heads"))
    assert (code, "holds no head" in said) == (2, True)


def test_heads_of_other_topics_hold_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "archive", RECORDS[:30])
    chain = chain_of(tmp_path / "audit", RECORDS[:30])
    heads = tmp_path / "heads"
    heads.write_bytes(msgspec.json.encode(msgspec.structs.replace(chain.heads()[-1], topic="decisions")) + b"\n")
    asked = ("--dir", str(tmp_path / "audit"), "--from", "archive", "--archive", str(tmp_path / "archive"),
             "--topic", "express-cargo", "--seal-lag", "525600")  # fmt: skip
    assert verified(capsys, *asked)[0] == 0
    code, said = verified(capsys, *asked, "--heads", str(heads))
    assert (code, "holds no head of express-cargo" in said) == (2, True)


@pytest.mark.parametrize(
    "options", [("--archive", "elsewhere"), ("--accept-gaps", "decisions[3]:1-2"), ("--macs-since", "7d")]
)
def test_what_is_said_of_an_archive_that_is_not_read_is_refused(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain_of(tmp_path / "audit", RECORDS[:30])
    code, said = verified(capsys, "--dir", str(tmp_path / "audit"), *options)
    assert (code, f"{options[0]}: has no effect without --from archive" in said) == (2, True)


def test_heads_of_one_chain_that_cannot_be_read_keep_no_other_from_being_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BORDERFLOW_AUDIT_DIR", str(tmp_path / "audit"))
    write(tmp_path / "archive", RECORDS[:30])
    chain_of(tmp_path / "audit", RECORDS[:30])
    other = Chain(tmp_path / "audit", "decisions", 3)
    other.heads_path.write_text('{"topic":"decisions","partition":3,"entries":1,"offset":0,"head":"00","at":"once"}\n')
    code, said = verified(capsys, "--from", "archive", "--archive", str(tmp_path / "archive"), "--seal-lag", "525600")
    assert code == 1
    assert "decisions[3]: chain altered: " in said.replace("\n", " ")
    assert "as sealed" in said
    with pytest.raises(SystemExit) as ended:
        main(["audit", "heads"])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out.count('"express-cargo"')) == (1, 1)
    assert "line 1 is not a head" in printed.err


def test_a_partition_that_nobody_seals_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BORDERFLOW_AUDIT_DIR", str(tmp_path / "audit"))
    root = tmp_path / "archive"
    write(root, RECORDS[:30])
    write(root, parcels(7, partition=1))
    chain_of(tmp_path / "audit", RECORDS[:25])
    asked = ("--from", "archive", "--archive", str(root), "--topic", "express-cargo", "--json")
    code, said = verified(capsys, *asked)
    assert code == 1
    found = {one["partition"]: one for one in json.loads(said)}
    assert (found[0]["not_sealed_yet"], found[0]["finding"]["what"]) == (5, "not sealed")
    assert (found[1]["not_sealed_yet"], found[1]["finding"]["what"]) == (7, "not sealed")


@pytest.mark.parametrize("arguments", [["verify", "--archive-lag", "inf"], ["verify", "--seal-lag", "inf"]])
def test_a_time_beyond_all_calendars_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    assert (ended.value.code, "Traceback" in capsys.readouterr().err) == (2, False)


def test_only_one_process_seals_into_a_folder(tmp_path: Path) -> None:
    with only_sealer(tmp_path / "audit"):
        (tmp_path / "audit" / ".lock").write_text("who")
        again = only_sealer(tmp_path / "audit")
        with pytest.raises(AuditError, match="another process"):
            again.__enter__()
        assert (tmp_path / "audit" / ".lock").read_text() == "who"


def test_heads_that_cannot_be_read_are_refused_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "heads.jsonl"
    file.write_text('{"topic": "decisions"}\n')
    with pytest.raises(AuditError, match="line 1"):
        read_heads(file)
    with pytest.raises(AuditError, match="no audit chains"):
        Book.at(tmp_path / "nowhere")


# -- the brokers


class Log:
    """The log of one partition as `LogReader` shows it; its beginning moves on when it has been read once."""

    def __init__(self, records: Sequence[Archived], begins: Sequence[int] = (0,)) -> None:
        self.records, self.begins = records, list(begins)

    async def partitions(self, topic: str) -> int:
        return 1

    async def begin(self, topic: str, partition: int) -> int:
        return self.begins.pop(0) if len(self.begins) > 1 else self.begins[0]

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[list[Archived]]:
        yield [one for one in self.records if one.offset >= start]


def on_brokers(folder: Path, sealed: Sequence[Archived], log: Log, now_ms: int = NOON_MS + HOUR_MS) -> Checked:
    chain = chain_of(folder, sealed)
    done = check_chain(chain)
    asyncio.run(check_records(chain, done, cast(LogReader, log), now_ms, HOUR_MS))
    return done


def published(topic: str, *keys: tuple[bytes, bytes | None]) -> list[Archived]:
    return [Archived(topic, 0, n, NOON_MS + n, key, value, []) for n, (key, value) in enumerate(keys)]


def test_a_withdrawal_that_is_gone_while_what_it_withdrew_is_there_is_a_drop(tmp_path: Path) -> None:
    log = published("risk-information", (b"W1", b"listed"), (b"W2", b"listed"), (b"W1", None), (b"W2", b"again"))
    found = on_brokers(tmp_path, log, Log([log[0], log[1], log[3]])).finding
    assert found is not None
    assert (found.what, found.offset) == ("dropped", 2)
    versions = published("risk-information", (b"C", b"1"), (b"C", b"2"), (b"C", b"3"))
    found = on_brokers(tmp_path / "versions", versions, Log([versions[0], versions[2]])).finding
    assert found is not None
    assert (found.what, found.offset) == ("dropped", 1)
    done = on_brokers(tmp_path / "compacted", versions, Log([versions[2]]))
    assert (done.finding, done.tally.compacted) == (None, 2)


def test_dead_letters_are_kept_as_long_as_they_are_declared_to_be(tmp_path: Path) -> None:
    letters = published("decisions-dlq", *[(b"k", b"%d" % n) for n in range(10)])
    found = on_brokers(tmp_path, letters, Log(letters[5:], [5])).finding
    assert found is not None
    assert (found.what, "kept 90 days" in found.detail) == ("dropped", True)


def test_retention_while_a_log_is_read_is_no_drop(tmp_path: Path) -> None:
    old = [replace(one, topic="decisions", timestamp=NOON_MS - 4000 * DAY_MS) for one in RECORDS[:5]]
    new = [replace(one, topic="decisions") for one in RECORDS[5:10]]
    done = on_brokers(tmp_path, [*old, *new], Log(new, [0, 5]))
    assert (done.finding, done.tally.expired, done.tally.compared) == (None, 5, 5)


def test_what_was_sent_long_ago_and_never_sealed_is_told(tmp_path: Path) -> None:
    log = published("decisions", *[(b"k", b"%d" % n) for n in range(10)])
    done = on_brokers(tmp_path, log[:5], Log(log), NOON_MS + HOUR_MS // 2)
    assert (done.finding, done.tally.unsealed) == (None, 5)
    found = on_brokers(tmp_path / "later", log[:5], Log(log), NOON_MS + 2 * HOUR_MS).finding
    assert found is not None
    assert (found.what, found.detail[:17]) == ("not sealed", "5 records are not")


def test_a_record_of_which_nothing_could_be_sealed_is_counted_and_never_called_compacted(tmp_path: Path) -> None:
    log = published("risk-information", (b"W1", b"listed"), (b"W2", b"listed"))
    log.insert(1, Archived("risk-information", 0, 1, -1, None, None, []))
    log[2] = replace(log[2], offset=2)
    done = on_brokers(tmp_path, log, Log(log))
    assert (done.finding, done.tally.unreadable) == (None, 1)
    found = on_brokers(tmp_path / "gone", log, Log([log[0], log[2]])).finding
    assert found is not None
    assert (found.what, found.offset) == ("dropped", 1)


# -- the archive


def from_archive(folder: Path, root: Path, lag_ms: int = HOUR_MS, now_ms: int = NOON_MS, **options: Any) -> Checked:
    chain = Chain(folder, "express-cargo", 0)
    done = check_chain(chain)
    assert done.finding is None
    check_archive(chain, done, ArchiveReader(Catalogue.of(root), KEY), now_ms, lag_ms, **options)
    return done


def test_the_archive_is_as_it_was_sealed(tmp_path: Path) -> None:
    write(tmp_path / "archive", RECORDS, KEY, size=30)
    chain_of(tmp_path / "audit", RECORDS)
    done = from_archive(tmp_path / "audit", tmp_path / "archive")
    assert (done.finding, done.tally.compared) == (None, 200)


def test_a_record_edited_in_the_archive_is_named_even_with_the_key_of_the_archive(tmp_path: Path) -> None:
    forged = replace(RECORDS[123], value=RECORDS[124].value)
    write(tmp_path / "archive", [*RECORDS[:123], forged, *RECORDS[124:]], KEY, size=30)
    chain_of(tmp_path / "audit", RECORDS)
    done = from_archive(tmp_path / "audit", tmp_path / "archive")
    assert done.finding == Finding("edited", 123, "its value or headers changed")


def rewritten(root: Path, change: Callable[[pa.Table], pa.Table], **facts: object) -> None:
    """The last file, as somebody writes it who has no key."""
    catalogue = Catalogue.of(root)
    part = catalogue.chunks(*catalogue.places[-1])[-1].parts[0]
    said = chunk_facts(root / part.path, part)
    table = change(pq.read_table(root / part.path, partitioning=None).replace_schema_metadata(None))
    write_part(root, part, table, msgspec.structs.replace(said, records=table.num_rows, **facts))


def without(*offsets: int) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.filter([one not in offsets for one in table["offset"].to_pylist()])


def test_columns_that_are_not_those_of_their_values_are_told_without_a_mac(tmp_path: Path) -> None:
    def hidden(table: pa.Table) -> pa.Table:
        place, shown = table.schema.get_field_index("first"), table["first"].to_pylist()
        return table.set_column(place, "first", pa.array([*shown[:7], False, *shown[8:]]))

    def elsewhere(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("courier")
        return table.set_column(place, "courier", pa.array(["ELSE"] * table.num_rows))

    for number, change in enumerate((hidden, elsewhere, lambda table: table)):
        write(tmp_path / f"{number}", RECORDS[:30])
        chain_of(tmp_path / "audit" / f"{number}", RECORDS[:30])
        rewritten(tmp_path / f"{number}", change)
        done = from_archive(tmp_path / "audit" / f"{number}", tmp_path / f"{number}", macs_since_ms=NOON_MS + 1)
        assert done.tally.without_mac == 1
        expected = [(7, "first"), (0, "courier"), None][number]
        assert (done.finding and (done.finding.offset, done.finding.detail.split(": ")[1])) == expected


def test_a_file_without_a_mac_excuses_nothing_that_retention_cannot_have_taken(tmp_path: Path) -> None:
    write(tmp_path / "archive", RECORDS[:30], KEY)
    chain_of(tmp_path / "audit", RECORDS[:30])
    rewritten(tmp_path / "archive", without(25), taken_out=1, expired="2026-03-13T00:00:00+00:00")
    for keep_days, day, what in ((None, 10, "dropped"), (20, 10, "dropped"), (5, 10, None)):
        done = from_archive(
            tmp_path / "audit", tmp_path / "archive", now_ms=NOON_MS + day * DAY_MS, keep_days=keep_days,
            macs_since_ms=NOON_MS + 1,
        )  # fmt: skip
        assert (done.finding and done.finding.what) == what
    assert (done.tally.expired, done.tally.expired_to) == (1, "2026-03-02")
    rewritten(tmp_path / "archive", without(24))
    done = from_archive(tmp_path / "audit", tmp_path / "archive", now_ms=NOON_MS + 10 * DAY_MS, keep_days=5)
    assert done.finding is not None
    assert done.finding.detail.endswith("retention took only 1 out of its file")


def test_a_partition_of_which_all_macs_were_taken_off_is_told_with_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, key = tmp_path / "archive", tmp_path / "key"
    write(root, RECORDS[:30], KEY, size=10)
    chain_of(tmp_path / "audit", RECORDS[:30])
    for part in [part for chunk in Catalogue.of(root).chunks("express-cargo", 0) for part in chunk.parts]:
        table = pq.read_table(root / part.path, partitioning=None).replace_schema_metadata(None)
        write_part(root, part, table, msgspec.structs.replace(chunk_facts(root / part.path, part), macs_from=0))
    assert from_archive(tmp_path / "audit", root, macs_since_ms=NOON_MS + 1).finding is None, "an earlier version's"
    for since in (0, NOON_MS - HOUR_MS):
        finding = from_archive(tmp_path / "audit", root, macs_since_ms=since).finding
        assert finding is not None
        assert (finding.what, finding.offset, "and 2 more files: " in finding.detail) == ("no MAC", 0, True)
    key.write_bytes(KEY.secret)
    monkeypatch.setenv("BORDERFLOW_ARCHIVE_KEY_FILE", str(key))
    asked = ("--dir", str(tmp_path / "audit"), "--topic", "express-cargo", "--from", "archive", "--archive", str(root))
    code, said = verified(capsys, *asked)
    assert (code, "offset 0: no MAC: " in said) == (1, True)
    assert verified(capsys, *asked, "--macs-since", "2026-03-03")[0] == 0
    assert verified(capsys, *asked, "--macs-since", "once")[0] == 2


def test_the_heads_of_a_chain_are_read_once(tmp_path: Path) -> None:
    write(tmp_path / "archive", RECORDS[:30])
    chain_of(tmp_path / "audit", RECORDS[:60])
    chain = Chain(tmp_path / "audit", "express-cargo", 0)
    done = check_chain(chain)
    chain.heads_path.unlink()
    reader = ArchiveReader(Catalogue.of(tmp_path / "archive"))
    check_archive(chain, done, reader, NOON_MS + 2 * HOUR_MS, HOUR_MS)
    assert done.finding is not None
    assert (done.finding.what, done.finding.offset) == ("dropped", 30), "the archive is late, by the heads"


def test_compaction_excuses_only_what_was_gone_when_it_was_archived(tmp_path: Path) -> None:
    log = published("risk-information", (b"W", b"1"), (b"C", b"1"), (b"C", b"2"), (b"C", b"3"))
    for number, there in enumerate(([log[0], log[3]], log)):
        root = tmp_path / f"{number}"
        write(root, there, KEY)
        if number:
            rewritten(root, without(1, 2))
        chain = chain_of(tmp_path / "audit" / f"{number}", log)
        done = check_chain(chain)
        check_archive(chain, done, ArchiveReader(Catalogue.of(root), KEY), NOON_MS, HOUR_MS)
        assert (done.finding and (done.finding.what, done.finding.offset)) == (None, ("dropped", 1))[number]


def test_a_gap_hides_nothing_behind_it_and_can_be_accepted(tmp_path: Path) -> None:
    for number, rest in enumerate((RECORDS[25:50], [*RECORDS[25:40], replace(RECORDS[40], key=b"x"), *RECORDS[41:50]])):
        write(tmp_path / f"{number}", RECORDS[5:20], KEY)
        write(tmp_path / f"{number}", rest, KEY)
        chain_of(tmp_path / "audit" / f"{number}", RECORDS[:50])
    done = from_archive(tmp_path / "audit" / "0", tmp_path / "0")
    assert done.finding == Finding("dropped", 0, "the archive has no file that it would be in")
    assert (done.tally.lost, done.tally.compared) == (10, 40)
    done = from_archive(tmp_path / "audit" / "0", tmp_path / "0", accepted=[(0, 4), (20, 24)])
    assert (done.finding, done.tally.accepted) == (None, 10)
    done = from_archive(tmp_path / "audit" / "1", tmp_path / "1")
    assert done.finding is not None
    assert (done.finding.what, done.finding.offset) == ("edited", 40)


def test_what_the_archive_retired_is_counted_and_not_called_a_drop(tmp_path: Path) -> None:
    old, new = parcels(20), parcels(20, first=20, spread_ms=86_400_000)
    write(tmp_path / "archive", [*old, *new], KEY, size=10)
    chain_of(tmp_path / "audit", [*old, *new])
    assert retire(tmp_path / "archive", {"express-cargo": 5}, NOON + timedelta(days=30), key=KEY) == 7
    done = from_archive(tmp_path / "audit", tmp_path / "archive")
    assert (done.finding, done.tally.expired, done.tally.compared) == (None, 25, 15)


def test_a_file_that_the_archive_lost_is_a_finding(tmp_path: Path) -> None:
    records = parcels(20, spread_ms=86_400_000)
    write(tmp_path / "archive", records, KEY)
    chain_of(tmp_path / "audit", records)
    Catalogue.of(tmp_path / "archive").files("express-cargo")[3].unlink()
    finding = from_archive(tmp_path / "audit", tmp_path / "archive").finding
    assert finding is not None
    assert finding.what == "unreadable"
    assert "4of20.parquet of the 20 files of offsets 0 to 19" in finding.detail


def test_what_the_archive_has_not_taken_yet_may_wait_for_an_hour(tmp_path: Path) -> None:
    write(tmp_path / "archive", RECORDS[:150], KEY)
    chain_of(tmp_path / "audit", RECORDS)
    done = from_archive(tmp_path / "audit", tmp_path / "archive")
    assert (done.finding, done.tally.waiting) == (None, 50)
    done = from_archive(tmp_path / "audit", tmp_path / "archive", now_ms=NOON_MS + 2 * HOUR_MS)
    assert done.finding is not None
    assert (done.finding.what, done.finding.offset) == ("dropped", 150)
