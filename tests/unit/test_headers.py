"""Kafka lets a header be null, and whoever lodges may write one: it says nothing, and stops nobody who reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from load.ledger import Ledger
from load.reading import Reader, dead_letter_of
from schemas.codec import codec_for
from streams.archive.rows import Archived
from streams.commands import dlq
from streams.hosting import arrival
from streams.rebuild import LogReader
from streams.redrive import read_letters
from streams.wire import sent_ms, text_header
from tests.archive_files import NOON_MS, parcels, read, write

TIME = b"2026-03-02T11:59:00.000Z"


def parcel_with(*times: bytes | None) -> Archived:
    """A parcel with these values of `ce_time` and no other."""
    (record,) = parcels(1)
    record.headers = [one for one in record.headers if one[0] != "ce_time"] + [("ce_time", one) for one in times]
    return record


@pytest.mark.parametrize(
    ("times", "sent"),
    [((), 0), ((None,), 0), ((None, TIME), -60_000), ((TIME, None), -60_000), ((b"then", TIME), 0), ((b"\xff",), 0)],
)
def test_every_reader_takes_the_first_time_that_is_said_as_a_worker_does(
    times: tuple[bytes | None, ...], sent: int
) -> None:
    record = parcel_with(*times)
    assert sent_ms(record) == NOON_MS + sent
    assert arrival(codec_for("express-cargo").decode, record).sent_ms == sent_ms(record)


def test_a_null_header_is_archived_and_read_again_as_null(tmp_path: Path) -> None:
    record = parcel_with(None)
    record.headers = [*record.headers, ("ce_id", None)]
    write(tmp_path, [record])
    (kept,) = read(tmp_path, "express-cargo")
    assert not kept.altered
    assert kept.headers == record.headers
    assert text_header(kept, "ce_id") is None


def letter(*headers: tuple[str, bytes | None]) -> Archived:
    """A dead letter with these headers."""
    return Archived("express-cargo-dlq", 0, 0, NOON_MS, b"key", b"{}", headers)


def test_dead_letters_with_null_headers_are_listed_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Log:
        async def read(self, *_: Any) -> AsyncIterator[list[Archived]]:
            yield [letter(("ce_id", None), ("dlq-offset", None), ("dlq-index", None), ("dlq-reason", b"not-json"))]

    letters = asyncio.run(read_letters(cast(LogReader, Log()), "express-cargo"))
    assert [(one.offset, one.index, one.reason) for one in letters] == [(0, None, "not-json")]

    async def held(*_: Any) -> list[Any]:
        return letters

    monkeypatch.setattr(dlq, "_read", held)
    dlq.show("express-cargo", 0, as_json=True)
    assert '"ce_id": null' in capsys.readouterr().out


def test_control_characters_of_a_lodger_are_shown_to_a_terminal_and_not_obeyed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear = "\x1b[2J\x07"

    class Log:
        async def read(self, *_: Any) -> AsyncIterator[list[Archived]]:
            said = ("ce_id", f"C1{clear}".encode()), ("dlq-reason", b"not-json"), ("dlq-field", f"a{clear}".encode())
            yield [letter((f"x{clear}", b"1"), *said)]

    letters = asyncio.run(read_letters(cast(LogReader, Log()), "express-cargo"))

    async def held(*_: Any) -> list[Any]:
        return letters

    monkeypatch.setattr(dlq, "_read", held)
    dlq.show("express-cargo", 0, value=True)
    dlq.list_(letters=True)
    shown = capsys.readouterr().out
    assert "C1\\x1b[2J\\x07" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_the_account_of_a_run_reads_on_after_null_headers() -> None:
    assert dead_letter_of([("dlq-topic", None), ("dlq-offset", None)], b"{}") is None
    reader = Reader(Ledger(), lambda *_: None)
    reader.feed(letter(("ce_time", None), ("dlq-topic", None)), NOON_MS)
    assert reader.ledger.unreadable == 1
