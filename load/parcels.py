"""The couriers' desk: parcels as they are declared before arrival (the 7+1 advance fields)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np

from load.desk import FlowDesk, Lodged, Slice, Watch, arrivals, combine, kept, scattered
from load.geography import BY_CODE, PER_USD
from load.population import Offer
from load.schemes import Phase
from load.tariff import BY_HS6, SEVERITY
from load.truth import Fate
from schemas.lodgements import ExpressConsignmentLodged, GoodsLine, ListClearance, Party, Procedure

TOPIC: Final = "express-cargo"
LIST_CLEARANCE_USD = 150.0
"""Parcels up to this value are cleared by list (the Korean limit; 200 for goods from the US is left out)."""
CHEAP = 0.5
"""A declared value below this share of the usual price per kilogram counts as undervalued."""
_PROCEDURES = (
    Procedure(process_type="B", import_type="15", import_use="26", payment_type="11"),
    Procedure(process_type="B", import_type="94", import_use="26", payment_type="43"),
)


class ParcelDesk(FlowDesk):
    """Makes express parcels: regular ones from offers, and those of the schemes."""

    topic = TOPIC
    die = 1

    def lodge(self, time: Slice, phases: Sequence[Phase]) -> list[Lodged]:
        """The parcels of one slice."""
        rng, flows = self._rng, self._population.flows
        watch = Watch(phases).by_lead
        picks = self._picks(time)
        n = len(picks)
        background = flows.background[TOPIC][picks].tolist()
        moments = time.moment(rng.random(n))
        masses = np.exp(0.55 * rng.standard_normal(n)).tolist()
        prices = np.exp(0.35 * rng.standard_normal(n)).tolist()
        buyers = (250_000 * rng.random(n) ** 2.2).astype(int).tolist()
        fates, others = rng.random(n).tolist(), rng.random(n).tolist()
        offers, consumer, firm = flows.offers, self._population.consumer, self._population.firm
        made: list[Lodged] = []
        for i, pick in enumerate(picks.tolist()):
            offer = offers[pick]
            other = others[i]
            mass = offer.heading.parcel_kg * masses[i]
            value = mass * offer.heading.usd_per_kg * offer.price * prices[i]
            consignee = firm(buyers[i] % 1800) if other < 0.08 else consumer(buyers[i])
            probability, phase = background[i], None
            candidates = watch.get((offer.heading.hs6, offer.origin))
            if candidates is not None:
                probability, phase = self._judge(candidates, offer, mass, value, probability)
            made.append(self._parcel(moments[i], offer, consignee, mass, value, other, probability, phase, fates[i]))
        extra = arrivals(rng, time, phases)
        made += [
            self._smuggled(phase, watch, at)
            for phase, at in zip(extra, time.moment(rng.random(len(extra))), strict=True)
        ]
        return made

    def _smuggled(self, phase: Phase, watch: dict[tuple[str, str], list[Phase]], moment: int) -> Lodged:
        rng = self._rng
        usual = self._population.flows.offers[int(rng.integers(0, len(self._population.flows.offers)))]
        heading, origin = BY_HS6[phase.lead[0]], phase.lead[1]
        port, point, channel, shipper, cheap = kept(rng)
        departure = phase.departure or origin
        offer = Offer(
            seller=phase.shippers[int(rng.integers(0, len(phase.shippers)))] if shipper else usual.seller,
            heading=heading,
            origin=origin,
            departure=departure,
            port=(phase.port or usual.port) if port else BY_CODE[departure].airports[0],
            point=(phase.point or usual.point) if point else usual.point,
            courier=(phase.channel or usual.courier) if channel else usual.courier,
            platform=usual.platform,
            currency="USD" if usual.currency == "USD" else BY_CODE[departure].currency,
            price=1.0,
        )
        mass = max(0.05, heading.parcel_kg * float(np.exp(rng.normal(0.2, 0.5))))
        value = mass * heading.usd_per_kg * float(np.exp(rng.normal(0, 0.3)))
        if phase.undervalued is not None and cheap:
            value *= phase.undervalued
        consignee = self._population.consumer(phase.consignees[int(rng.integers(0, len(phase.consignees)))])
        risk = self._background * heading.risk
        probability, best = self._judge(watch.get(phase.lead, []), offer, mass, value, risk)
        draw, other = rng.random(2).tolist()
        return self._parcel(moment, offer, consignee, mass, value, other, probability, best, draw)

    def _judge(
        self, candidates: list[Phase], offer: Offer, mass: float, value: float, background: float
    ) -> tuple[float, Phase | None]:
        best, most = None, 0.0
        for phase in candidates:
            matched = (
                (phase.port == offer.port)
                + (phase.point == offer.point)
                + (phase.channel == offer.courier)
                + (offer.seller in phase.shippers)
                + (phase.undervalued is not None and value < CHEAP * mass * offer.heading.usd_per_kg)
            )
            probability = phase.probability(matched)
            if probability > most:
                best, most = phase, probability
        return combine(background, best, most)

    def _parcel(
        self,
        moment: int,
        offer: Offer,
        consignee: Party,
        mass: float,
        value: float,
        other: float,
        probability: float,
        phase: Phase | None,
        draw: float,
    ) -> Lodged:
        self._serial += 1
        number = scattered(self._serial)
        waybill = f"{offer.courier[:3]}{number:010d}"
        lodged_at = self._setting.at(moment)
        heading = offer.heading
        words = heading.words
        goods = GoodsLine(
            hs_code=heading.hs6 + ("0000" if other < 0.4 else ""),
            description=words[int(other * 997) % len(words)],
            packages=1,
            package_kind="PK",
            gross_mass_kg=round(mass * 1.08 + 0.02, 3),
            net_mass_kg=round(mass, 3),
            declared_value=round(value * PER_USD[offer.currency], 2),
            currency=offer.currency,
            origin=offer.origin,
            origin_marked="EGY"[int(other * 991) % 3],
            duty_rate_percent=heading.duty,
            duty_regime="A",
        )
        parcel = ExpressConsignmentLodged(
            waybill=waybill,
            lodged_at=lodged_at,
            control_point=offer.point,
            courier=offer.courier,
            seller=offer.seller,
            consignee=consignee,
            departure=offer.departure,
            port_of_loading=offer.port,
            eta=lodged_at + timedelta(minutes=120 + int(other * 300)),
            goods=(goods,),
            procedure=_PROCEDURES[other < 0.2],
            list_clearance=ListClearance(list_id=f"{offer.courier}-{moment // 3_600_000}", line=number % 1000)
            if value < LIST_CLEARANCE_USD
            else None,
            platform=offer.platform,
        )
        illicit = draw < probability
        category = phase.category if phase else heading.category
        self._setting.truth.add(
            TOPIC,
            waybill,
            (
                Fate(
                    f"{TOPIC}/{waybill}",
                    TOPIC,
                    offer.point,
                    lodged_at,
                    probability,
                    illicit,
                    phase.scheme_id if phase else None,
                    phase.kind if phase else None,
                    category if illicit else None,
                    SEVERITY[category] if illicit else 0,
                ),
            ),
        )
        return Lodged(lodged_at, TOPIC, waybill, parcel)
