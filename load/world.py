"""A seeded border that drifts: lodgements in event time, and the truth about them beside.

Equal seeds and arguments give equal lodgements, byte for byte, on the numpy version of the lock file. Time is
simulated; what is lodged when does not depend on how fast it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from operator import attrgetter

import numpy as np

from load.cargo import CargoDesk
from load.desk import Desk, Lodged, Setting, Slice
from load.dirt import Dirt
from load.parcels import ParcelDesk
from load.population import Population
from load.schemes import Plan, Scheme, Underworld
from load.travel import TravelDesk
from load.truth import Truth
from schemas.items import Stream

START = datetime(2025, 1, 6, tzinfo=UTC)
"""A Monday."""
SHARES: tuple[tuple[Stream, float], ...] = (("manifests", 0.3), ("express-cargo", 0.55), ("passengers", 0.15))
"""Shares of the streams in all items."""
DIFFUSE = 0.25
"""The part of the base rate that belongs to no scheme and is spread over all traffic."""
_MS_PER_DAY = 86_400_000
_HOURS = (2.0, 1.6, 1.5, 1.6, 2.2, 3.2, 4.0, 4.6, 5.4, 6.0, 6.0, 5.6, 5.0, 5.4, 5.8, 6.0, 5.8, 5.4, 4.8, 4.2, 3.8, 3.6,
          3.2, 2.7)  # fmt: skip
_WEEKDAYS = (1.08, 1.1, 1.1, 1.08, 1.06, 0.86, 0.72)


@dataclass(frozen=True, slots=True)
class Day:
    """One simulated day from midnight to midnight UTC."""

    number: int
    date: datetime
    lodgements: tuple[Lodged, ...]


class World:
    """Manifests, parcels and travellers, some of them in schemes that start, stop, move and mutate.

    - `items_per_day`: how many items are lodged on a mean day, over all streams;
    - `base_rate`: the share of items that are illicit, over months (a given month is between 0.7 and 1.4 of it);
    - `quiet`: the share of schemes of kind `quiet` (0 for none, 1 for nothing else);
    - `slots`: how many schemes run at a time (they share the same illicit traffic), `booms` how many licit surges;
    - `renewal`: the share of cargo flows that ordinary newcomers replace each day;
    - `dirt`: the share of records that are broken, late, doubled or garbage (`load.dirt`); 0 for benchmarks;
    - `keep`: how many lodgements the truth remembers, None for all;
    - `first_number`: what waybills, manifests and booking references are numbered from, below ten digits: the same
      border lodging again on the same brokers takes another one, or its lodgements are refused as duplicates.
    """

    def __init__(
        self,
        seed: int,
        *,
        items_per_day: int = 2_000,
        start: datetime = START,
        base_rate: float = 0.015,
        quiet: float = 0.25,
        slots: int = 12,
        booms: int = 10,
        renewal: float = 0.003,
        dirt: float = 0.0,
        keep: int | None = None,
        first_number: int = 0,
    ) -> None:
        if items_per_day < 1:
            raise ValueError("items_per_day must be at least 1")
        if not 0 < base_rate <= 0.2:
            raise ValueError("base_rate must be above 0 and at most 0.2")
        self.seed = seed
        self.items_per_day = items_per_day
        self.truth = Truth(keep)
        self._setting = Setting(start, self.truth, first_number)
        background = base_rate * DIFFUSE
        self.population = Population(seed, background=background)
        plan = Plan(illicit=base_rate - background, slots=slots, quiet=quiet, booms=booms, shares=SHARES)
        self._underworld = Underworld(seed, self.population, plan)
        shares = dict(SHARES)
        self._desks: tuple[tuple[Stream, Desk], ...] = (
            ("manifests", CargoDesk(seed, self.population, self._setting, shares["manifests"], background)),
            ("express-cargo", ParcelDesk(seed, self.population, self._setting, shares["express-cargo"], background)),
            ("passengers", TravelDesk(seed, self.population, self._setting, shares["passengers"], background)),
        )
        self._renewal = renewal
        self._dirt = Dirt(seed, dirt) if dirt else None
        self._slices = int(np.clip(items_per_day // 400, 1, 480))
        self._clock = np.concatenate([[0.0], np.cumsum(_HOURS) / sum(_HOURS)])

    @property
    def start(self) -> datetime:
        """When the world began, UTC."""
        return self._setting.start

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The schemes that have been under way so far, in the order in which they came to be."""
        return tuple(self._underworld.schemes)

    def lodgements(self, until: datetime | None = None) -> Iterator[Lodged]:
        """Lodgements in event-time order, without end or up to `until`. A world is read once."""
        clean = self._lodgements(until)
        return clean if self._dirt is None else self._dirt.soil(clean)

    def days(self) -> Iterator[Day]:
        """Whole days of lodgements, without end. A world is read once, either by days or by lodgements."""
        number, held = 0, list[Lodged]()
        midnight = self.start + timedelta(days=1)
        for lodged in self.lodgements():
            while lodged.lodged_at >= midnight:
                yield Day(number, midnight - timedelta(days=1), tuple(held))
                number, held, midnight = number + 1, [], midnight + timedelta(days=1)
            held.append(lodged)

    def day_of(self, at: datetime) -> float:
        """Days since the world began, as schemes count them."""
        return (at - self.start) / timedelta(days=1)

    def _lodgements(self, until: datetime | None) -> Iterator[Lodged]:
        by_time = attrgetter("lodged_at")
        for day in count():
            weekday = _WEEKDAYS[(self.start.weekday() + day) % 7]
            for part in range(self._slices):
                begins = day + part / self._slices
                if until is not None and self.start + timedelta(days=begins) >= until:
                    return
                phases = self._underworld.active(begins)
                time = self._slice(day, part, weekday, sum(phase.traffic for phase in phases))
                made: list[Lodged] = []
                for stream, desk in self._desks:
                    made += desk.lodge(time, [phase for phase in phases if phase.stream == stream])
                made.sort(key=by_time)
                for lodged in made:
                    if until is not None and lodged.lodged_at >= until:
                        return
                    yield lodged
            if self._renewal:
                self.population.renew(self._renewal)

    def _slice(self, day: int, part: int, weekday: float, surges: float) -> Slice:
        hours = np.arange(25.0)
        low, high = np.interp([24 * part / self._slices, 24 * (part + 1) / self._slices], hours, self._clock)
        volume = self.items_per_day * weekday * float(high - low) / (1 + surges)

        def moment(draws: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[int]:
            hour = np.interp(low + draws * (high - low), self._clock, hours)
            return ((day + hour / 24) * _MS_PER_DAY).astype(np.int64).tolist()  # type: ignore[no-any-return]  # numpy

        return Slice(volume, moment)
