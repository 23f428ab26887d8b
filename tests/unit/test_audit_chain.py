"""The audit chain: whatever is done to a record after it was sealed, the first place is named."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.archive.tidying import retire
from streams.audit.book import Book, Chain, Writer, only_sealer, read_heads
from streams.audit.chain import ENTRY_BYTES, AuditError, Entry
from streams.audit.comparing import Absence, Comparison, Finding
from streams.audit.verifying import Checked, check_archive, check_chain
from streams.cli import main
from tests.archive_files import KEY, NOON_MS, parcels, write
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
    chain = Chain(folder, "express-cargo", 0)
    folder.mkdir(exist_ok=True)
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


@contextlib.contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the write that would is cut short, as on a disk that is full."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


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


def test_only_one_process_seals_into_a_folder(tmp_path: Path) -> None:
    with only_sealer(tmp_path / "audit"):
        again = only_sealer(tmp_path / "audit")
        with pytest.raises(AuditError, match="another process"):
            again.__enter__()


def test_heads_that_cannot_be_read_are_refused_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "heads.jsonl"
    file.write_text('{"topic": "decisions"}\n')
    with pytest.raises(AuditError, match="line 1"):
        read_heads(file)
    with pytest.raises(AuditError, match="no audit chains"):
        Book.at(tmp_path / "nowhere")


# -- the archive


def from_archive(folder: Path, root: Path, lag_ms: int = HOUR_MS, now_ms: int = NOON_MS) -> Checked:
    chain = Chain(folder, "express-cargo", 0)
    done = check_chain(chain)
    assert done.finding is None
    check_archive(chain, done, ArchiveReader(Catalogue.of(root), KEY), now_ms, lag_ms)
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


def test_what_the_archive_retired_is_counted_and_not_called_a_drop(tmp_path: Path) -> None:
    old, new = parcels(20), parcels(20, first=20, spread_ms=86_400_000)
    write(tmp_path / "archive", [*old, *new], KEY, size=10)
    chain_of(tmp_path / "audit", [*old, *new])
    assert retire(tmp_path / "archive", {"express-cargo": 5}, NOON + timedelta(days=30)) == 7
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
