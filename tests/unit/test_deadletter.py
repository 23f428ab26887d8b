"""Dead letters keep what came and say why it was refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from agents.step import Refusal
from schemas.page import topics_page
from schemas.registry import DEAD_LETTER_MAX_BYTES
from streams.deadletter import OMITTED, OURS, DeadLetterLimit, TooManyDeadLettersError, dead_letter, dead_letters
from streams.recordbatch import RecordBatchBuilder
from streams.redrive import MARKER
from streams.wire import Outgoing

REFUSAL = Refusal(17, "unknown-country", "consignments[3].country", "not a country", index=3, item_id="HB3")


@dataclass
class Row:
    topic: str = "manifests"
    partition: int = 2
    offset: int = 17
    timestamp: int = 1_700_000_000_000
    key: bytes | None = b"M1"
    value: bytes | None = b"{raw}"
    headers: Sequence[tuple[str, bytes]] = (("ce_id", b"x"), ("dlq-attempt", b"2"), ("dlq-reason", b"not-json"))


def letter(row: Row | None = None) -> Outgoing:
    return dead_letter(row or Row(), REFUSAL, "screening", 1_800_000_000_000)


def test_every_header_of_a_dead_letter_is_on_the_page_for_its_readers() -> None:
    page = topics_page().split("## Dead letters")[1].split("## Versions")[0]
    added = {name for name, _ in letter().headers if name.startswith(OURS)} | {OMITTED, MARKER}
    assert set(re.findall(rf"`({OURS}[a-z-]+)`", page)) == added


def test_a_dead_letter_keeps_key_value_and_headers_and_says_where_from_and_why() -> None:
    one = letter()
    assert (one.key, one.value, one.timestamp) == (b"M1", b"{raw}", 1_800_000_000_000)
    assert dict(one.headers) == {
        "ce_id": b"x",
        "dlq-topic": b"manifests",
        "dlq-partition": b"2",
        "dlq-offset": b"17",
        "dlq-timestamp": b"1700000000000",
        "dlq-step": b"screening",
        "dlq-reason": b"unknown-country",
        "dlq-field": b"consignments[3].country",
        "dlq-error": b"not a country",
        "dlq-index": b"3",
        "dlq-item-id": b"HB3",
        "dlq-attempt": b"3",
    }
    assert len(one.headers) == len(dict(one.headers)), "headers of an earlier refusal are replaced"


def test_a_letter_larger_than_its_topic_takes_goes_without_its_value_and_says_so() -> None:
    sources = {17: Row(), 18: Row(offset=18, value=b"x" * DEAD_LETTER_MAX_BYTES)}
    refused = [Refusal(offset, "too-large", "", "") for offset in (17, 18)]
    small, large = dead_letters(sources, refused, "screening", 0)
    assert (small.value, large.value, large.key) == (b"{raw}", b"", b"M1")
    assert dict(large.headers)["dlq-omitted-bytes"] == str(DEAD_LETTER_MAX_BYTES).encode()
    assert dict(large.headers)["dlq-offset"] == b"18"


@pytest.mark.parametrize(
    "wide",
    [
        Row(headers=(("ce_id", b"x"), ("x-trace", b"y" * DEAD_LETTER_MAX_BYTES)), value=None),
        Row(key=b"k" * DEAD_LETTER_MAX_BYTES),
    ],
)
def test_a_letter_too_large_even_without_its_value_goes_without_the_key_and_headers_of_its_source(wide: Row) -> None:
    (one,) = dead_letters({17: wide}, [REFUSAL], "screening", 0)
    said = dict(one.headers)
    assert (one.key, one.value) == (None, b"")
    assert (said["dlq-offset"], said["dlq-reason"]) == (b"17", b"unknown-country")
    assert int(said["dlq-omitted-bytes"]) > 0
    assert "x-trace" not in said


@pytest.mark.parametrize("size", range(DEAD_LETTER_MAX_BYTES - 600, DEAD_LETTER_MAX_BYTES - 200, 40))
def test_the_batch_of_a_letter_fits_its_topic(size: int) -> None:
    (one,) = dead_letters({17: Row(value=b"x" * size)}, [REFUSAL], "screening", 0)
    batch = RecordBatchBuilder(1)
    batch.fill([one])
    assert batch.size() <= DEAD_LETTER_MAX_BYTES


def test_the_value_of_a_lodgement_is_kept_once_however_many_of_its_items_are_refused() -> None:
    sources = {17: Row(), 18: Row(offset=18, value=b"{other}")}
    refused = [Refusal(offset, "not-json", "", "", index=index) for offset, index in ((17, 0), (18, None), (17, 1))]
    letters = dead_letters(sources, refused, "screening", 0)
    assert [one.value for one in letters] == [b"{raw}", b"{other}", b""]
    assert [dict(one.headers).get("dlq-omitted-bytes") for one in letters] == [None, None, b"5"]
    assert [dict(one.headers)["dlq-index"] for one in letters] == [b"0", b"", b"1"]


@pytest.mark.parametrize("wide", [Row(key=b"k" * 900_000), Row(headers=[("seal", b"")] * 900)], ids=["key", "headers"])
def test_a_large_key_or_headers_are_kept_once_however_many_items_are_refused(wide: Row) -> None:
    wide.headers = [*wide.headers, ("dlq-attempt", b"4")]
    refused = [Refusal(17, "wrong-type", "", "", index=index) for index in range(3)]
    first, *others = dead_letters({17: wide}, refused, "screening", 0)
    assert (first.key, first.value) == (wide.key, b"{raw}")
    for one in others:
        assert (one.key, one.value) == (None, b"")
        assert all(name.startswith(OURS) for name, _ in one.headers)
        assert dict(one.headers)["dlq-attempt"] == b"5"
        assert len(one.encoded_headers) < 512


class CountedRow(Row):
    """A record that knows how often its headers were read."""

    read = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "headers":
            self.read += 1
        return super().__getattribute__(name)


def test_the_only_refusal_of_a_record_costs_no_more_than_its_letter() -> None:
    row, one = CountedRow(), CountedRow()
    assert dead_letters({17: row}, [REFUSAL], "screening", 0) == [dead_letter(one, REFUSAL, "screening", 0)]
    assert row.read == one.read


@pytest.mark.parametrize("lodged", [b"9" * 5000, b"-1", b"x", "\u0663".encode()])
def test_an_attempt_that_a_lodger_wrote_counts_as_none_when_it_is_no_sensible_number(lodged: bytes) -> None:
    assert dict(letter(Row(headers=(("dlq-attempt", lodged),))).headers)["dlq-attempt"] == b"1"


def decided(refused: int, in_order: int, reason: str = "not-json") -> tuple[list[Refusal], int]:
    return [Refusal(n, reason, "", "") for n in range(refused)], in_order


def test_a_worker_that_refuses_nearly_everything_stops_before_it_buries_more() -> None:
    limit = DeadLetterLimit("screening", 0.9, 100)
    for _ in range(9):
        limit.note("manifests", 10, *decided(10, 0))
    with pytest.raises(TooManyDeadLettersError, match="refuses 100 of its last 100 items of manifests"):
        limit.note("manifests", 10, *decided(10, 0))


def test_one_lodgement_stops_no_worker_however_many_items_of_it_are_refused() -> None:
    limit = DeadLetterLimit("screening", 0.9, 100)
    wrong = [Refusal(7, "wrong-type", "", "", index=n) for n in range(20_000)]
    limit.note("manifests", 1, wrong, 0)
    for _ in range(18):
        limit.note("manifests", 1, wrong[:200], 0)
    with pytest.raises(TooManyDeadLettersError, match="refuses 100 of its last 100 items of manifests"):
        limit.note("manifests", 1, wrong[:200], 0)


def test_some_refusals_among_many_items_stop_nothing() -> None:
    limit = DeadLetterLimit("screening", 0.9, 100)
    for _ in range(500):
        limit.note("manifests", 1, *decided(4, 6))


def test_only_the_last_items_are_looked_back_on() -> None:
    limit = DeadLetterLimit("screening", 0.9, 100)
    for _ in range(1000):
        limit.note("manifests", 10, *decided(0, 10))
    for _ in range(8):
        limit.note("manifests", 10, *decided(10, 0))
    with pytest.raises(TooManyDeadLettersError):
        limit.note("manifests", 10, *decided(10, 0))


def test_who_floods_a_topic_of_which_some_was_in_order_stops_no_worker() -> None:
    limit = DeadLetterLimit("screening", 0.9, 100, {"manifests", "passengers"})
    limit.note("manifests", 11, *decided(0, 11))
    limit.note("passengers", 10, *decided(0, 10))
    for _ in range(100):
        limit.note("manifests", 10, *decided(10, 0))
    for _ in range(8):
        limit.note("passengers", 10, *decided(10, 0))
    with pytest.raises(TooManyDeadLettersError, match="refuses 90 of its last 100 items of passengers"):
        limit.note("passengers", 10, *decided(10, 0))


def test_what_was_lodged_before_a_flood_speaks_for_a_worker_and_of_the_topics_between_steps_nothing_does() -> None:
    limit = DeadLetterLimit("screening", 0.9, 100, {"manifests"})
    limit.note("manifests", 90, *decided(90, 0))
    with pytest.raises(TooManyDeadLettersError) as doubt:
        limit.note("manifests", 10, *decided(10, 0))
    assert doubt.value.topic == "manifests"
    assert not limit.trusts("manifests", 10)
    assert limit.trusts("manifests", 11)
    limit.note("manifests", 500, *decided(500, 0))
    assert not limit.trusts("screened", 1_000_000)


def test_what_was_said_before_is_not_held_against_anybody_and_0_means_no_limit() -> None:
    limit = DeadLetterLimit("filtering", 0.5, 10)
    for _ in range(100):
        limit.note("screened", 10, *decided(10, 0, "duplicate-lodgement"))
    off = DeadLetterLimit("filtering", 0.0, 10)
    for _ in range(100):
        off.note("screened", 10, *decided(10, 0))
