"""Simulated time beside wall time: where a simulation must start so that it never overtakes the wall clock.

A lodgement's event time is simulated and is also its Kafka timestamp; brokers refuse timestamps ahead of theirs, and
they delete records whose timestamp is older than a topic's retention. So a run starts in the past, late enough for
its records to be kept, early enough to end before now.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

KEPT = timedelta(days=6)
"""How far back a run begins at most where brokers delete: the shortest-lived topics of the loop keep 7 and 8 days."""
MARGIN = timedelta(hours=2)
"""How far from the wall clock a bounded run ends: rates vary over the day, and inspections look ahead."""


LONGEST_S = 31_536_000.0
"""The longest bounded run: a year."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""No record has an earlier timestamp."""


@dataclass(frozen=True, slots=True)
class SimulatedTime:
    """When a simulation starts (UTC) and how many items make one of its days."""

    start: datetime
    items_per_day: int


def simulated_time(
    rate: float, duration_s: float | None, now: datetime, *, items_per_day: int | None = None, kept: timedelta = KEPT
) -> SimulatedTime:
    """Plan a run of `duration_s` at `rate` items per second that begins at the wall time `now`.

    With `items_per_day` the run is as long as that makes it, however far back it must begin (for brokers that keep
    everything). Otherwise it fits into `kept`. A run without end goes at the pace of the wall clock. Raises
    `ValueError` for a rate or duration that is not positive, or when an endless run asks for `items_per_day` that
    would make simulated time faster than the wall clock, or a bounded one for so few that it would begin before 1970.
    """
    if now.tzinfo is None:
        raise ValueError("the wall time needs a time zone")
    if rate <= 0 or not math.isfinite(rate):
        raise ValueError("the rate must be above 0")
    now = now.astimezone(UTC)
    if duration_s is None:
        pace = math.ceil(rate * 86_400 * 1.2)  # a busy weekday has 1.1 times the mean, so stay well behind the wall
        if items_per_day is not None and items_per_day < pace:
            raise ValueError(f"an endless run at {rate:g} items/s needs items_per_day of at least {pace}")
        return SimulatedTime(_midnight(now - timedelta(days=2)), items_per_day or pace)
    if duration_s <= 0 or not math.isfinite(duration_s):
        raise ValueError("the duration must be above 0")
    # Weekends have 0.72 of the mean traffic: the same items may take that much longer to come.
    quiet_days = rate * duration_s / 0.72
    if items_per_day is None:
        room = kept - MARGIN - timedelta(days=1)  # up to a day goes back to the midnight before
        items_per_day = max(2_000, math.ceil(quiet_days / (room / timedelta(days=1))))
    days = quiet_days / items_per_day
    if days > (now - EPOCH - MARGIN) / timedelta(days=1) - 1:
        raise ValueError(f"at {items_per_day} items a day the run would begin before 1970")
    return SimulatedTime(_midnight(now - timedelta(days=days) - MARGIN), items_per_day)


def first_number(now: datetime) -> int:
    """Where a run that begins at the wall time `now` numbers its lodgements from: below ten digits, by the second."""
    return int(now.timestamp()) * 7_654_321 % 10_000_000_000


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
