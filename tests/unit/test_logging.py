"""Log lines: JSON for machines, ids kept, nothing about a person."""

from __future__ import annotations

import errno
import io
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from schemas.lodgements import PassengerExpected, TravelDocument
from streams.logging import MASK, Sparing, configure_logging, personal_fields


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_are_json_with_ids_and_time(written: io.StringIO) -> None:
    structlog.get_logger("borderflow.worker").info("refused", item_id="express-cargo/W1", offset=7)
    logging.getLogger("borderflow.hosting").warning("rebuilt %s in %.1f s", "filtering", 0.5)
    ours, theirs = lines(written)
    assert ours["event"] == "refused"
    assert (ours["item_id"], ours["offset"], ours["level"]) == ("express-cargo/W1", 7, "info")
    assert ours["timestamp"].endswith("Z")
    assert theirs["event"] == "rebuilt filtering in 0.5 s"


def test_the_lines_of_the_streaming_stack_are_written_from_warning_on(written: io.StringIO) -> None:
    logging.getLogger("aiokafka.consumer").info("chatter")
    logging.getLogger("aiokafka.consumer").warning("trouble")
    assert [line["event"] for line in lines(written)] == ["trouble"]


def test_personal_fields_are_masked_and_events_cut_down_to_their_id(written: io.StringIO) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    traveller = PassengerExpected(
        journey_id="KE001-20260101", passenger_reference="R9", lodged_at=at, control_point="KRICN-T1", carrier="KE",
        embarkation="JPNRT", disembarkation="KRICN", eta=at, family_name="HONGGILDONG", birth_date="1990-01-01",
        nationality="KR", document=TravelDocument(kind="passport", number="M1234567", issuer="KR"),
    )  # fmt: skip
    log = structlog.get_logger("borderflow.screening")
    log.warning("odd", traveller=traveller, family_name="HONGGILDONG", consignee_name="Hong", offset=3)
    logging.getLogger("borderflow.x").error("bad", extra={"officer": "OF-17"})
    first, second = lines(written)
    assert "HONGGILDONG" not in written.getvalue()
    assert "M1234567" not in written.getvalue()
    assert first["traveller"] == "PassengerExpected"
    assert (first["family_name"], first["consignee_name"], first["offset"]) == (MASK, MASK, 3)
    assert second["officer"] == MASK


def test_every_field_that_a_schema_marks_as_personal_is_known() -> None:
    assert {"family_name", "birth_date", "consignee_name", "party_names", "officer", "note"} <= personal_fields()
    assert not {"item_id", "control_point", "layer", "hs_code", "offset"} & personal_fields()


def test_a_traceback_is_one_json_line(written: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("borderflow.worker").exception("stopping")
    (line,) = lines(written)
    assert "ValueError: broken" in line["exception"]


def record(name: str, level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, text, (), None)


def test_a_client_that_tries_again_and_again_is_written_once_in_a_while_with_how_often() -> None:
    now = 0.0
    sparing = Sparing(every_s=30.0, clock=lambda: now)
    written = []
    for second in range(100):
        now = float(second)
        line = record("aiokafka", logging.WARNING, f"Unable connect to node {second % 3}, waiting 0.{second} s")
        if sparing.filter(line):
            written.append((second, getattr(line, "repeated", 0)))
    assert written == [(0, 0), (30, 29), (60, 29), (90, 29)]


def test_our_own_lines_and_tracebacks_are_never_withheld() -> None:
    sparing = Sparing(clock=lambda: 0.0)
    assert all(sparing.filter(record("borderflow.app", logging.WARNING, "the same")) for _ in range(3))
    crash = record("aiokafka", logging.ERROR, "the same")
    crash.exc_info = (ValueError, ValueError("x"), None)
    assert all(sparing.filter(crash) for _ in range(3))


def test_connections_that_cannot_be_taken_for_want_of_files_do_not_fill_the_disk() -> None:
    sparing = Sparing(clock=lambda: 0.0)
    refused = OSError(errno.EMFILE, "Too many open files")
    written = []
    for number in range(1000):
        line = record("asyncio", logging.ERROR, f"socket.accept() out of system resource\nsocket: <socket fd={number}>")
        line.exc_info = (OSError, refused, None)
        written.append(sparing.filter(line))
    assert (written[0], sum(written)) == (True, 1)


def test_a_lost_connection_is_a_warning_because_clients_try_again() -> None:
    line = record("kafka.net.manager", logging.ERROR, "Connection failed: 111 ECONNREFUSED")
    assert Sparing().filter(line)
    assert line.levelname == "WARNING"


@pytest.mark.usefixtures("logging_put_back")
def test_the_streaming_stack_never_logs_what_is_in_records_at_debug() -> None:
    configure_logging("DEBUG", stream=io.StringIO())
    assert logging.getLogger("borderflow.x").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("kafka.protocol").isEnabledFor(logging.DEBUG)
    configure_logging("INFO", stream=io.StringIO())  # their own levels as before
