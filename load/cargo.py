"""The carriers' desk: consignments by sea and air, gathered into manifests of 20 to 200 house bills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import numpy as np

from load import geography, names
from load.desk import FlowDesk, Lodged, Setting, Slice, Watch, arrivals, combine, kept
from load.geography import BY_CODE, PER_USD
from load.parcels import CHEAP
from load.population import PROCEDURES, Population, Trade
from load.schemes import Phase
from load.tariff import BY_HS6, SEVERITY, Heading
from load.truth import Fate
from schemas.lodgements import Consignment, Container, Conveyance, GoodsLine, ManifestLodged, Procedure

TOPIC: Final = "manifests"
FULL_CONTAINER_KG = 8000.0
_DISCHARGE = {point: port for point, port, _ in geography.SEA_POINTS} | {geography.AIR_POINT[0]: geography.AIR_POINT[1]}


@dataclass(slots=True)
class _Loading:
    """A manifest being filled: its consignments and what is true of each (all of `Fate` but id and time)."""

    size: int
    consignments: list[Consignment] = field(default_factory=list)
    truths: list[tuple[float, bool, Phase | None, str]] = field(default_factory=list)


class CargoDesk(FlowDesk):
    """Makes consignments and lodges a manifest whenever a conveyance is full."""

    topic = TOPIC
    die = 0

    def __init__(self, seed: int, population: Population, setting: Setting, share: float, background: float) -> None:
        super().__init__(seed, population, setting, share, background)
        self._loading: dict[str, _Loading] = {}

    def lodge(self, time: Slice, phases: Sequence[Phase]) -> list[Lodged]:
        """The manifests that fill up in one slice. A consignment waits for the rest of its conveyance."""
        rng, flows = self._rng, self._population.flows
        watch = Watch(phases).by_lead
        drawn = self._picks(time)
        n, picks = len(drawn), drawn.tolist()
        extra = arrivals(rng, time, phases)
        moments = sorted(time.moment(rng.random(n + len(extra))))
        masses = np.exp(0.6 * rng.standard_normal(n)).tolist()
        prices = np.exp(0.3 * rng.standard_normal(n)).tolist()
        draws, others = rng.random(n).tolist(), rng.random(n).tolist()
        background = flows.background[TOPIC][picks].tolist() if n else []
        every = len(moments) // (len(extra) + 1) + 1
        made: list[Lodged] = []
        i = 0
        for turn, moment in enumerate(moments):
            if extra and (turn % every == every - 1 or i >= n):
                self._smuggle(extra.pop(), watch)
            elif i < n:
                trade = flows.trades[picks[i]]
                mass = trade.heading.cargo_kg * masses[i]
                value = mass * trade.heading.usd_per_kg * trade.price * prices[i]
                probability, phase = background[i], None
                candidates = watch.get((trade.heading.hs6, trade.origin))
                if candidates is not None:
                    probability, phase = _judge(candidates, trade, mass, value, probability)
                self._load(trade, mass, value, probability, phase, draws[i], others[i])
                i += 1
            for point, loading in self._loading.items():
                if len(loading.consignments) >= loading.size:
                    made.append(self._sail(point, loading, moment))
                    del self._loading[point]
                    break
        return made

    def _smuggle(self, phase: Phase, watch: dict[tuple[str, str], list[Phase]]) -> None:
        rng = self._rng
        usual = self._population.flows.trades[int(rng.integers(0, len(self._population.flows.trades)))]
        heading, origin = BY_HS6[phase.lead[0]], phase.lead[1]
        port, point, channel, shipper, cheap = kept(rng)
        country = BY_CODE[phase.departure or origin]
        usual_payment = usual.procedure.payment_type
        trade = Trade(
            importer=phase.consignees[int(rng.integers(0, len(phase.consignees)))],
            shipper=phase.shippers[int(rng.integers(0, len(phase.shippers)))] if shipper else usual.shipper,
            heading=heading,
            origin=origin,
            departure=country.code,
            port=(phase.port or usual.port) if port else (country.sea_ports or country.airports)[0],
            point=(phase.point or usual.point) if point else usual.point,
            currency="USD" if usual.currency == "USD" else country.currency,
            procedure=_with_payment((phase.channel if channel else usual_payment) or "11"),
            price=1.0,
        )
        mass = max(1.0, heading.cargo_kg * float(np.exp(rng.normal(-0.2, 0.5))))
        value = mass * heading.usd_per_kg * float(np.exp(rng.normal(0, 0.3)))
        if phase.undervalued is not None and cheap:
            value *= phase.undervalued
        probability, best = _judge(
            watch.get(phase.lead, []), trade, mass, value, self._background * heading.risk
        )  # fmt: skip
        draw, other = rng.random(2).tolist()
        self._load(trade, mass, value, probability, best, draw, other)

    def _load(
        self,
        trade: Trade,
        mass: float,
        value: float,
        probability: float,
        phase: Phase | None,
        draw: float,
        other: float,
    ) -> None:
        self._serial = serial = self._serial + 1
        loading = self._loading.get(trade.point)
        if loading is None:
            size = int(np.clip(np.exp(self._rng.normal(4.1, 0.6)), 20, 200))
            loading = self._loading[trade.point] = _Loading(size)
        goods: tuple[GoodsLine, ...] = (_line(trade, trade.heading, mass, value, other),)
        if trade.extra and other < 0.5:
            goods += tuple(
                _line(trade, heading, mass * 0.1, mass * 0.1 * heading.usd_per_kg, other) for heading in trade.extra
            )
        loading.consignments.append(
            Consignment(
                house_bill=f"{trade.port[2:]}{serial:08d}",
                consignee=self._population.firm(trade.importer),
                shipper=trade.shipper,
                departure=trade.departure,
                port_of_loading=trade.port,
                goods=goods,
                containers=() if trade.point == geography.AIR_POINT[0] else _containers(mass, serial, other),
                procedure=trade.procedure,
            )
        )
        illicit = draw < probability
        loading.truths.append((probability, illicit, phase, phase.category if phase else trade.heading.category))

    def _sail(self, point: str, loading: _Loading, moment: int) -> Lodged:
        rng = self._rng
        lodged_at = self._setting.at(moment)
        self._serial += 1
        if point == geography.AIR_POINT[0]:
            carrier, prefix = geography.AIR_CARRIERS[int(rng.integers(0, len(geography.AIR_CARRIERS)))]
            manifest_id = names.air_waybill(prefix, self._serial)
            conveyance = Conveyance(mode="air", voyage=f"{carrier}{rng.integers(100, 999)}")
            eta = lodged_at + timedelta(minutes=int(rng.integers(240, 600)))
        else:
            carrier = geography.SEA_CARRIERS[int(rng.integers(0, len(geography.SEA_CARRIERS)))]
            manifest_id = f"{carrier}{lodged_at:%y}{self._serial:09d}"
            conveyance = Conveyance(
                mode="sea",
                name=f"{('Haenuri', 'Blue Meridian', 'Sea Lantern', 'Nordstar')[int(rng.integers(0, 4))]} "
                f"{int(rng.integers(1, 12))}",
                identifier=f"IMO{imo_number(int(rng.integers(900_000, 990_000)))}",
                voyage=f"{rng.integers(1, 99):03d}{'EW'[int(rng.integers(0, 2))]}",
            )
            eta = lodged_at + timedelta(minutes=int(rng.integers(1440, 3600)))
        fates = [
            Fate(
                f"{TOPIC}/{manifest_id}/{consignment.house_bill}",
                TOPIC,
                point,
                lodged_at,
                probability,
                illicit,
                phase.scheme_id if phase else None,
                phase.kind if phase else None,
                category if illicit else None,
                SEVERITY[category] if illicit else 0,
            )
            for consignment, (probability, illicit, phase, category) in zip(
                loading.consignments, loading.truths, strict=True
            )
        ]
        self._setting.truth.add(TOPIC, manifest_id, fates)
        manifest = ManifestLodged(
            manifest_id=manifest_id,
            lodged_at=lodged_at,
            control_point=point,
            carrier=carrier,
            conveyance=conveyance,
            port_of_discharge=_DISCHARGE[point],
            eta=eta,
            consignments=tuple(loading.consignments),
        )
        return Lodged(lodged_at, TOPIC, manifest_id, manifest)


def imo_number(six_digits: int) -> str:
    """A ship's IMO number: six digits and a check digit, the last digit of their sum weighted 7 to 2 (Res. A.1117)."""
    text = f"{six_digits:06d}"
    return text + str(sum(int(digit) * weight for digit, weight in zip(text, range(7, 1, -1), strict=True)) % 10)


def _judge(
    candidates: list[Phase], trade: Trade, mass: float, value: float, background: float
) -> tuple[float, Phase | None]:
    best, most = None, 0.0
    for phase in candidates:
        matched = (
            (phase.port == trade.port)
            + (phase.point == trade.point)
            + (phase.channel == trade.procedure.payment_type)
            + (trade.shipper in phase.shippers)
            + (phase.undervalued is not None and value < CHEAP * mass * trade.heading.usd_per_kg)
        )
        probability = phase.probability(matched)
        if probability > most:
            best, most = phase, probability
    return combine(background, best, most)


def _line(trade: Trade, heading: Heading, mass: float, value: float, other: float) -> GoodsLine:
    return GoodsLine(
        hs_code=heading.hs6 + ("0000" if other < 0.5 else ""),
        description=heading.words[int(other * 997) % len(heading.words)],
        packages=1 + int(mass / 18),
        package_kind="CT",
        gross_mass_kg=round(mass * 1.06, 2),
        net_mass_kg=round(mass, 2),
        declared_value=round(value * PER_USD[trade.currency], 2),
        currency=trade.currency,
        origin=trade.origin,
        origin_marked="EGYBS"[int(other * 991) % 5],
        duty_rate_percent=heading.duty,
        duty_regime="A",
    )


def _containers(mass: float, serial: int, other: float) -> tuple[Container, ...]:
    """Full containers of its own, or a place in a shared one."""
    owner = geography.SEA_CARRIERS[int(other * 983) % len(geography.SEA_CARRIERS)]
    if mass < FULL_CONTAINER_KG:
        return (Container(number=names.container_number("LCLU", serial // 12), size_type="42G1"),)
    return tuple(
        Container(
            number=names.container_number(owner, serial * 4 + box), seals=(f"S{serial:07d}{box}",), size_type="22G1"
        )
        for box in range(min(4, 1 + int(mass / 24_000)))
    )


_BY_PAYMENT = {procedure.payment_type: procedure for procedure in reversed(PROCEDURES)}


def _with_payment(payment: str) -> Procedure:
    return _BY_PAYMENT[payment]
