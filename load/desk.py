"""What the three lodging desks share: one record as lodged, a slice of time, and the scheme that fits an item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from load.population import Population
from load.schemes import FIDELITY, Phase
from load.truth import Truth
from schemas.items import Stream
from schemas.lodgements import Lodgement


class Lodged(NamedTuple):
    """One record for a lodgement topic. `body` is bytes only where it is not an event (`load.dirt`)."""

    lodged_at: datetime
    topic: str
    key: str
    body: Lodgement | bytes


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of simulated time. `volume` items are expected in it, over all streams."""

    volume: float
    moment: Callable[[np.ndarray[tuple[int], np.dtype[np.float64]]], list[int]]
    """Uniform draws to milliseconds since the world began, following the hours of the day."""


class Desk(Protocol):
    """Where the lodgements of one stream are made."""

    def lodge(self, time: Slice, phases: Sequence[Phase]) -> list[Lodged]:
        """The lodgements of one slice, in no order."""


class Setting:
    """The start of the world, the truth, and what the desks number from; turns milliseconds into event time."""

    def __init__(self, start: datetime, truth: Truth, first_number: int = 0) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of the world needs a time zone")
        self.start = start.astimezone(UTC)
        self.truth = truth
        self.first_number = first_number

    def at(self, milliseconds: int) -> datetime:
        """Event time at `milliseconds` after the start."""
        return self.start + timedelta(milliseconds=milliseconds)


class FlowDesk:
    """What the desks share: their dice, their people, and a draw from the regular flows of their stream."""

    topic: ClassVar[Stream]
    die: ClassVar[int]
    """Which stream of dice is the desk's own."""

    def __init__(self, seed: int, population: Population, setting: Setting, share: float, background: float) -> None:
        self._rng = np.random.default_rng([seed, 3, self.die])
        self._population = population
        self._setting = setting
        self._share = share
        self._background = background
        self._serial = setting.first_number

    def _picks(self, time: Slice) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Which regular flows lodge in a slice: an index per item, busy flows more often."""
        n = int(self._rng.poisson(self._share * time.volume))
        cumulative = self._population.flows.cumulative[self.topic]
        return np.searchsorted(cumulative, self._rng.random(n) * cumulative[-1]).clip(max=len(cumulative) - 1)  # type: ignore[no-any-return]  # numpy types clip() as Any


class Watch:
    """The phases under way in one stream, by lead."""

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.by_lead: dict[tuple[str, str], list[Phase]] = {}
        for phase in phases:
            if phase.rate > 0:
                self.by_lead.setdefault(phase.lead, []).append(phase)


def combine(background: float, best: Phase | None, probability: float) -> tuple[float, Phase | None]:
    """The probability of an item from its background and its best scheme, and that scheme if it weighs more."""
    if best is None or probability <= 0:
        return background, None
    return 1 - (1 - background) * (1 - probability), best if probability > background else None


def arrivals(rng: np.random.Generator, time: Slice, phases: Sequence[Phase]) -> list[Phase]:
    """Which extra items the schemes bring in this slice: one entry per item, in a random order."""
    extra: list[Phase] = []
    for phase in phases:
        if phase.traffic:
            extra += [phase] * int(rng.poisson(phase.traffic * time.volume))
    return [extra[i] for i in rng.permutation(len(extra))]


def kept(rng: np.random.Generator) -> list[bool]:
    """Which of up to five marks an item of a surge carries."""
    return (rng.random(5) < FIDELITY).tolist()  # type: ignore[no-any-return]  # numpy types tolist() as Any


def scattered(serial: int) -> int:
    """Ten digits of its own for each serial number, so that the order of making shows in no waybill."""
    return serial * 6_700_417 % 10_000_000_000
