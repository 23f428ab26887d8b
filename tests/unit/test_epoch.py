"""Moments are stamped alike everywhere: rounded down to the millisecond, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from agents.epoch import EPOCH, epoch_ms


@pytest.mark.parametrize(
    "ms", [-62_135_596_800_000, -1, 0, 1, 1_772_452_800_001, 2_150_000_000_777, 253_402_300_799_999]
)
def test_a_millisecond_is_itself_and_ends_where_the_next_one_begins(ms: int) -> None:
    at = EPOCH + timedelta(milliseconds=ms)
    assert (epoch_ms(at), epoch_ms(at + timedelta(microseconds=999))) == (ms, ms)


def test_the_zone_in_which_a_moment_is_written_is_no_matter() -> None:
    assert epoch_ms(datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=9)))) == epoch_ms(
        datetime(2026, 3, 2, tzinfo=UTC)
    )
