"""What a worker tells of its partitions when it is scraped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

import pytest

from streams.metrics import LagCollector


@dataclass(frozen=True)
class Stands:
    """Where a consumer stands in a partition."""

    read: int | None
    committed: int | None
    end: int | None
    silent_s: float | None = None


@dataclass(frozen=True)
class Holding:
    """A worker that holds one partition, which it last committed, or took over, at a monotonic time."""

    stands: Stands
    since: float | None

    def partition_readings(self) -> Iterator[tuple[str, int, Stands, float | None]]:
        yield "filtered", 0, self.stands, self.since


def told(worker: Holding) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by labels, by the name of the series."""
    return {
        family.name: {tuple(one.labels.values()): one.value for one in family.samples}
        for family in LagCollector(worker).collect()
    }


def test_a_partition_that_was_taken_over_and_never_committed_is_one_that_stands_still() -> None:
    """CommitsStalled joins the two series by their labels: both must be there before the first commit."""
    found = told(Holding(Stands(read=None, committed=None, end=5000), since=monotonic() - 90))
    assert found["borderflow_committed_lag_records"] == {("filtered", "0"): 5000}
    assert found["borderflow_seconds_since_commit"] == {("filtered", "0"): pytest.approx(90, abs=5)}


def test_lags_are_what_was_not_read_and_what_was_not_committed() -> None:
    found = told(Holding(Stands(read=90, committed=60, end=100), since=monotonic()))
    assert found["borderflow_read_lag_records"] == {("filtered", "0"): 10}
    assert found["borderflow_committed_lag_records"] == {("filtered", "0"): 40}


def test_a_partition_whose_brokers_are_away_has_no_lag_and_tells_of_their_silence() -> None:
    """A worker knows of no record that it was not told of: BrokersSilent asks for this, CommitsStalled cannot."""
    found = told(Holding(Stands(read=100, committed=100, end=100, silent_s=75.0), since=monotonic()))
    assert found["borderflow_committed_lag_records"] == {("filtered", "0"): 0}
    assert found["borderflow_seconds_since_fetch"] == {("filtered", "0"): 75.0}


def test_a_partition_that_is_left_out_of_fetches_does_not_tell_of_silence() -> None:
    found = told(Holding(Stands(read=100, committed=100, end=100, silent_s=None), since=monotonic()))
    assert found["borderflow_seconds_since_fetch"] == {}
