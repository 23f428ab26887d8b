"""A lodgement topic that was made anew while no worker ran: what is lodged there would be dropped as redelivered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from schemas.codec import codec_for, encode
from schemas.items import ItemScreened
from streams.wire import Outgoing, Record
from tests.integration.border import Border, border, parcel, parcel_record
from tests.integration.harbour import PATIENCE_S

pytestmark = [pytest.mark.broker, pytest.mark.timeout(200)]

PARCELS = 30


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Border]:
    with border(tmp_path / "logs") as made:
        made.open("worker")
        made.lodge("express-cargo", [parcel_record(parcel(number), 0) for number in range(PARCELS)])
        made.decisions(PARCELS)
        made.stop("worker")
        yield made


def said_to_come_from(record: Record, offset: int, later_ms: int = 0) -> Outgoing:
    """A screened item as it would be if its lodgement had stood at another offset, or been sent at another time."""
    item: ItemScreened = codec_for("screened").decode(record.value)
    changed = msgspec.structs.replace(
        item,
        origin=msgspec.structs.replace(item.origin, offset=offset, sent_ms=item.origin.sent_ms + later_ms),
        upstream=msgspec.structs.replace(item.upstream, offset=offset),
    )
    return Outgoing(record.key, encode(changed), record.timestamp, list(record.headers), record.partition)


def ends_saying(at: Border, words: str) -> None:
    """A worker of a group that has no place in any log ends, and says this."""
    process = at.start("another", BORDERFLOW_GROUP="anew")
    assert process.wait(PATIENCE_S) == 1
    said = [json.loads(line) for line in at.log("another").splitlines() if line.startswith("{")]
    first = next(one["event"] for one in said if one["level"] == "critical")
    assert first.startswith("this worker stops: LogMadeAnewError: express-cargo[0] is not the log that was screened: ")
    assert words in first


def latest(at: Border) -> Record:
    """The item of the last parcel."""
    return max(at.read("screened", PARCELS), key=lambda one: codec_for("screened").decode(one.value).origin.offset)


def test_a_group_without_a_place_in_a_log_that_ends_before_what_was_screened_of_it_stops(
    at: Border,
) -> None:
    at.lodge("screened", [said_to_come_from(latest(at), 1_000)])
    ends_saying(at, f"an item of its offset 1000 is in screened, and it ends at offset {PARCELS}")


def test_a_group_without_a_place_in_a_log_with_other_lodgements_than_were_screened_stops(at: Border) -> None:
    at.lodge("screened", [said_to_come_from(latest(at), PARCELS, later_ms=60_000)])
    at.lodge("express-cargo", [parcel_record(parcel(PARCELS), 0)])
    ends_saying(at, f"an item of its offset {PARCELS} is in screened, and it holds another lodgement there")


def test_a_group_without_a_place_reads_the_log_that_was_screened_from_its_beginning(at: Border) -> None:
    at.start("another", BORDERFLOW_GROUP="anew")
    at.wait_ready("another")
    at.lodge("express-cargo", [parcel_record(parcel(number), 0) for number in range(PARCELS, PARCELS + 10)])
    decisions = at.decisions(PARCELS + 10)
    assert len({event.item_id for _, event in decisions}) == PARCELS + 10
