"""Simulated time never overtakes the wall clock, and a run's records are young enough to be kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load.clock import KEPT, first_number, simulated_time
from load.world import World
from schemas.registry import declarations
from streams.commands.demo import TIMED_BY_EVENTS

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)


@given(rate=st.floats(0.1, 50_000), duration_s=st.floats(1, 7200), offset=st.integers(0, 10_000))
def test_a_bounded_run_begins_in_the_past_and_within_retention(rate: float, duration_s: float, offset: int) -> None:
    now = NOW + timedelta(hours=offset)
    planned = simulated_time(rate, duration_s, now)
    assert now - KEPT <= planned.start < now
    assert planned.items_per_day >= 2_000


@pytest.mark.parametrize("hour", range(24))
@pytest.mark.parametrize("weekday", range(7))
def test_at_no_hour_does_a_run_begin_before_what_brokers_keep(hour: int, weekday: int) -> None:
    now = datetime(2026, 3, 2 + weekday, hour, 59, tzinfo=UTC)
    shortest = min(declarations()[topic].retention_ms for topic in TIMED_BY_EVENTS)
    for rate, duration_s in ((600, 90), (200, 3600), (1, 5)):
        back = now - simulated_time(rate, duration_s, now).start
        assert back + timedelta(hours=6) <= timedelta(milliseconds=shortest)  # what `check_history` asks for


@settings(max_examples=4, deadline=None)
@given(offset=st.integers(0, 6), items=st.integers(2_000, 4_000))
def test_a_bounded_run_ends_before_now(offset: int, items: int) -> None:
    now = NOW + timedelta(days=offset)
    planned = simulated_time(items / 10, 10, now)
    world = World(1, items_per_day=planned.items_per_day, start=planned.start)
    last = next(lodged for lodged in world.lodgements() if len(world.truth) > items)
    assert last.lodged_at < now


def test_a_fast_run_may_begin_long_ago_where_nothing_is_deleted() -> None:
    planned = simulated_time(2000, 90, NOW, items_per_day=2000)
    assert timedelta(days=90) < NOW - planned.start < timedelta(days=140)


def test_a_run_without_end_stays_behind_the_wall_clock() -> None:
    planned = simulated_time(100, None, NOW)
    assert planned.items_per_day >= 100 * 86_400 * 1.1
    assert planned.start < NOW - timedelta(days=1)
    with pytest.raises(ValueError, match="endless"):
        simulated_time(100, None, NOW, items_per_day=2000)


@pytest.mark.parametrize(("rate", "duration_s"), [(0, 10), (-1, 10), (10, 0), (float("nan"), 10), (10, float("inf"))])
def test_a_run_that_cannot_be_is_refused(rate: float, duration_s: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        simulated_time(rate, duration_s, NOW)


@pytest.mark.parametrize(("items_per_day", "duration_s"), [(1, 60.0), (1, 3.0e7)])
def test_a_run_of_so_few_items_a_day_that_it_would_begin_before_1970_is_refused(
    items_per_day: int, duration_s: float
) -> None:
    with pytest.raises(ValueError, match="before 1970"):
        simulated_time(2000.0, duration_s, NOW, items_per_day=items_per_day)


def test_a_second_run_on_the_same_brokers_lodges_nothing_a_second_time() -> None:
    def ids(now: datetime) -> set[str]:
        world = World(3, items_per_day=500, first_number=first_number(now))
        return {lodged.key for lodged, _ in zip(world.lodgements(), range(400), strict=False)}

    first, second = ids(NOW), ids(NOW + timedelta(seconds=61))
    assert len(first) == len(second) == 400
    assert not first & second
