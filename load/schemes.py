"""Smuggling schemes: how they start, stop, move, mutate, and how far their attributes give them away.

A scheme is a sequence of phases. A phase watches one pair of attributes (its `lead`: heading and origin of goods, or
agency and embarkation of travellers) and a few `marks` beside it. An item with the lead is illicit with probability
`rate * (marks that match / all marks) ** 3`, so each mark predicts a part.

- kind `surge`: the scheme brings traffic of its own, from new shippers to a few consignees;
- kind `quiet`: a share of an existing flow turns illicit; nothing else about the flow changes;
- kind `boom`: new traffic just like a surge, and licit. It keeps "new" from meaning "illicit".

A phase ends by moving (other origin, port and shippers; the goods stay) or by mutating (other goods or agency; the
people stay).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import comb
from typing import Literal

import numpy as np

from load import geography
from load.population import NEW_PARTIES, Population
from load.tariff import BY_HS6, HEADINGS, SEVERITY
from schemas.items import Stream
from schemas.lodgements import Party

Kind = Literal["surge", "quiet", "boom"]
Change = Literal["starts", "moves", "mutates"]

FIDELITY = 0.9
"""How often an item of a surge carries a given mark of its phase."""
OCCUPANCY = 0.83
"""The share of time in which a slot has a scheme, less what schemes fall short of by meeting in the same lead."""
_TERMINALS = {point: share for point, _, share in geography.PASSENGER_POINTS}
TRAVELLER_CATEGORIES = ("drugs", "gold", "currency", "tobacco", "endangered-species")


@dataclass(frozen=True, slots=True)
class Phase:
    """A scheme as it is between two changes; `since` and `until` in days from the start of the world.

    `traffic` is the share of the world's items that it adds (0 for quiet). Marks are the fields that are not None.
    """

    scheme_id: str
    kind: Kind
    change: Change
    stream: Stream
    since: float
    until: float
    lead: tuple[str, str]
    rate: float
    traffic: float
    category: str
    port: str | None = None
    departure: str | None = None
    point: str | None = None
    channel: str | None = None  # courier of parcels, carrier of travellers, payment type of consignments
    shippers: tuple[Party, ...] = ()
    consignees: tuple[int, ...] = ()
    undervalued: float | None = None  # declared value as a share of the usual one
    payment: str | None = None  # of a booking
    last_minute: bool = False  # booked less than two days ahead

    @property
    def severity(self) -> int:
        """1 to 3, by category."""
        return SEVERITY[self.category]

    @property
    def marks(self) -> tuple[str, ...]:
        """The names of the attributes, beside the lead, that give it away."""
        named = {
            "port": self.port,
            "control_point": self.point,
            "channel": self.channel,
            "shipper": self.shippers or None,
            "value": self.undervalued,
            "payment": self.payment,
            "last_minute": self.last_minute or None,
        }
        return tuple(name for name, value in named.items() if value is not None)

    def probability(self, matched: int) -> float:
        """The probability of an item with the lead and `matched` of the marks."""
        return self.rate * (matched / len(self.marks)) ** 3


def expected_strength(phase: Phase) -> float:
    """Mean of (matched / marks) ** 3 over the traffic that a surge brings: each mark is there with `FIDELITY`."""
    m = len(phase.marks)
    return sum(comb(m, k) * FIDELITY**k * (1 - FIDELITY) ** (m - k) * (k / m) ** 3 for k in range(m + 1))


@dataclass(frozen=True, slots=True)
class Scheme:
    """One scheme from start to end."""

    scheme_id: str
    kind: Kind
    stream: Stream
    phases: tuple[Phase, ...]

    @property
    def starts(self) -> float:
        """Day of the first phase; negative when it was under way as the world began."""
        return self.phases[0].since

    @property
    def stops(self) -> float:
        """Day on which it ended."""
        return self.phases[-1].until


@dataclass(frozen=True, slots=True)
class Plan:
    """How many schemes there are and what they are like. `illicit` is the share of all items they make illicit."""

    illicit: float
    slots: int = 12
    quiet: float = 0.25
    booms: int = 10
    shares: tuple[tuple[Stream, float], ...] = (("manifests", 0.3), ("express-cargo", 0.55), ("passengers", 0.15))


class Underworld:
    """Every scheme of a world, planned slot by slot: when one ends, another starts after a few days."""

    def __init__(self, seed: int, population: Population, plan: Plan) -> None:
        self._population = population
        self._plan = plan
        self._quiet = _quiet_flows(population, plan)
        self._slots = [self._slot(seed, slot, "scheme") for slot in range(plan.slots)]
        self._slots += [self._slot(seed, plan.slots + slot, "boom") for slot in range(plan.booms)]
        self._current: list[list[Scheme]] = [[next(slot)] for slot in self._slots]
        self._seen: set[str] = set()
        self.schemes: list[Scheme] = []

    def active(self, day: float) -> list[Phase]:
        """The phases under way at `day`. Days must be asked for in order; `schemes` grows on the way."""
        found: list[Phase] = []
        for slot, planned in zip(self._slots, self._current, strict=True):
            while planned[-1].stops <= day:
                planned.append(next(slot))
            scheme = planned[-1]
            if scheme.starts > day:
                continue
            if scheme.kind != "boom" and scheme.scheme_id not in self._seen:
                self._seen.add(scheme.scheme_id)
                self.schemes.append(scheme)
            found += [phase for phase in scheme.phases if phase.since <= day < phase.until]
        return found

    def _slot(self, seed: int, slot: int, what: Literal["scheme", "boom"]) -> Iterator[Scheme]:
        rng = np.random.default_rng([seed, 2, slot])
        day, number = -float(rng.uniform(0, 40)), 0
        while True:
            number += 1
            streams, shares = zip(*self._plan.shares, strict=True)
            stream: Stream = streams[int(rng.choice(len(streams), p=np.array(shares) / sum(shares)))]
            kind: Kind = "boom" if what == "boom" else ("quiet" if rng.random() < self._plan.quiet else "surge")
            phases: list[Phase] = []
            for change in _changes(rng):
                length = float(rng.uniform(14, 32))
                name = f"{kind}-{slot:02d}-{number:03d}"
                last = phases[-1] if phases else None
                phase = (
                    self._quiet_phase(rng, name, stream, change, day, day + length, last)
                    if kind == "quiet"
                    else self._surge_phase(rng, name, kind, stream, change, day, day + length, last, slot, number)
                )
                phases.append(phase)
                day += length
            yield Scheme(phases[0].scheme_id, kind, stream, tuple(phases))
            day += float(rng.exponential(6))

    def _surge_phase(
        self,
        rng: np.random.Generator,
        name: str,
        kind: Kind,
        stream: Stream,
        change: Change,
        since: float,
        until: float,
        last: Phase | None,
        slot: int,
        number: int,
    ) -> Phase:
        rate = float(rng.uniform(0.7, 0.98)) if last is None else last.rate
        share = self._plan.illicit / max(1, self._plan.slots) / OCCUPANCY * float(np.exp(rng.normal(-0.06, 0.35)))
        base = NEW_PARTIES * 2 + (slot * 1000 + number) * 1000 + int(since * 7) % 500
        country = geography.COUNTRIES[int(rng.choice(len(geography.COUNTRIES)))]
        if stream == "passengers":
            agency = geography.AGENCIES[int(rng.integers(0, len(geography.AGENCIES)))]
            embarkation = country.airports[int(rng.integers(0, len(country.airports)))]
            if last is not None:
                agency, embarkation = (last.lead[0], embarkation) if change == "moves" else (agency, last.lead[1])
            phase = Phase(
                name, kind, change, stream, since, until, (agency, embarkation),
                rate if kind != "boom" else 0.0, 0.0,
                category=TRAVELLER_CATEGORIES[int(rng.integers(0, 5))] if last is None else last.category,
                point=_busy(rng, _TERMINALS) if last is None else last.point,
                channel=geography.AIR_CARRIERS[int(rng.integers(0, 4))][0],
                payment=("cash", "transfer", "card")[int(rng.integers(0, 3))] if last is None else last.payment,
                last_minute=bool(rng.random() < 0.7) if last is None else last.last_minute,
                consignees=last.consignees if last and change == "mutates" else tuple(range(base, base + 30)),
            )  # fmt: skip
            return replace(phase, traffic=last.traffic if last else share / (rate * expected_strength(phase)))
        parcels = stream == "express-cargo"
        weights = np.array([(h.parcels if parcels else h.cargo) * h.risk for h in HEADINGS])
        heading = HEADINGS[int(rng.choice(len(HEADINGS), p=weights / weights.sum()))]
        category = heading.category
        ports = country.airports if parcels else (country.sea_ports or country.airports)
        port, origin = ports[int(rng.integers(0, len(ports)))], country.code
        point = _cargo_point(rng, parcels, port in country.airports and port not in country.sea_ports)
        channel = (
            geography.COURIERS[int(rng.integers(0, 8))] if parcels else ("11", "43", "18")[int(rng.integers(0, 3))]
        )
        undervalued = float(rng.uniform(0.15, 0.4)) if rng.random() < 0.6 else None
        shippers = tuple(self._population.shipper(base + i, country.code) for i in range(int(rng.integers(2, 6))))
        consignees = tuple(range(base, base + int(rng.integers(4, 14))))
        if last is not None and change == "moves":
            heading, category, undervalued, consignees = (
                BY_HS6[last.lead[0]],
                last.category,
                last.undervalued,
                last.consignees,
            )
            channel = last.channel or channel
        elif last is not None:
            port, origin, point = last.port or port, last.lead[1], last.point or point
            shippers, consignees = last.shippers, last.consignees
        phase = Phase(
            name, kind, change, stream, since, until, (heading.hs6, origin),
            rate if kind != "boom" else 0.0, 0.0, category=category,
            port=port, departure=port[:2], point=point, channel=channel, shippers=shippers, consignees=consignees,
            undervalued=undervalued,
        )  # fmt: skip
        return replace(phase, traffic=last.traffic if last else share / (rate * expected_strength(phase)))

    def _quiet_phase(
        self,
        rng: np.random.Generator,
        name: str,
        stream: Stream,
        change: Change,
        since: float,
        until: float,
        last: Phase | None,
    ) -> Phase:
        flows = self._quiet[stream]
        rate = float(rng.uniform(0.5, 0.85)) if last is None else last.rate
        target = self._plan.illicit / max(1, self._plan.slots) / OCCUPANCY / rate
        if last is not None:
            kept = 0 if change == "moves" else 1
            alike = [flow for flow in flows if flow[0][kept] == last.lead[kept] and flow[0] != last.lead]
            flows = [flow for flow in alike if target / 2 < flow[4] < target * 2] or flows
        near = sorted(flows, key=lambda flow: (abs(np.log(flow[4] / target)), flow[0]))[:12]
        lead, port, point, channel, _ = near[int(rng.integers(0, len(near)))]
        category = BY_HS6[lead[0]].category if stream != "passengers" else TRAVELLER_CATEGORIES[int(rng.integers(0, 5))]
        return Phase(
            name, "quiet", change, stream, since, until, lead, rate, 0.0,
            category=category if last is None else last.category,
            port=port if stream != "passengers" else None, point=point, channel=channel,
        )  # fmt: skip


QuietFlow = tuple[tuple[str, str], str, str, str, float]
"""Lead, port, control point, channel, and the share of all items that carry all four."""


def _quiet_flows(population: Population, plan: Plan) -> dict[Stream, list[QuietFlow]]:
    """Existing flows by stream, as tuples of lead and marks."""
    flows = population.flows
    shares = dict(plan.shares)
    found: dict[Stream, list[QuietFlow]] = {}
    for stream, share in shares.items():
        weights = np.diff(flows.cumulative[stream], prepend=0.0) * share
        totals: dict[tuple[tuple[str, str], str, str, str], float] = {}
        for index, weight in enumerate(weights.tolist()):
            if stream == "passengers":
                route = flows.routes[index]
                key = ((route.agency, route.embarkation), route.embarkation, route.point, route.carrier)
            elif stream == "manifests":
                trade = flows.trades[index]
                key = (
                    (trade.heading.hs6, trade.origin), trade.port, trade.point, trade.procedure.payment_type or ""
                )  # fmt: skip
            else:
                offer = flows.offers[index]
                key = ((offer.heading.hs6, offer.origin), offer.port, offer.point, offer.courier)
            totals[key] = totals.get(key, 0.0) + weight
        found[stream] = [(*key, total) for key, total in totals.items()]
    return found


def _changes(rng: np.random.Generator) -> tuple[Change, ...]:
    after: tuple[Change, ...] = ("moves", "mutates")
    return ("starts", *(after[int(rng.integers(0, 2))] for _ in range(int(rng.integers(0, 3)))))


def _cargo_point(rng: np.random.Generator, parcels: bool, by_air: bool) -> str:
    if parcels:
        return _busy(rng, dict(geography.EXPRESS_POINTS))
    if by_air:
        return geography.AIR_POINT[0]
    return _busy(rng, {point: share for point, _, share in geography.SEA_POINTS})


def _busy(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """A control point, drawn by its share of the traffic: smugglers take the busy ways too."""
    return list(shares)[int(np.searchsorted(np.cumsum(list(shares.values())), rng.random()).clip(max=len(shares) - 1))]
