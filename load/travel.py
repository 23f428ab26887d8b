"""The airlines' desk: travellers expected on a journey, with document and booking data.

Nationality, birth date and gender carry no risk in this world: whatever a model makes of them is a mistake of the
model. Risk lies with the route, the agency, the booking and the schemes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal

import numpy as np

from load import geography, names
from load.desk import FlowDesk, Lodged, Slice, Watch, arrivals, combine, kept, scattered
from load.population import Route
from load.schemes import TRAVELLER_CATEGORIES, Phase
from load.tariff import SEVERITY
from load.truth import Fate
from schemas.lodgements import Booking, PassengerExpected, TravelDocument

TOPIC: Final = "passengers"
LAST_MINUTE_HOURS = 48.0
_PAYMENTS: dict[str, Literal["card", "cash", "transfer"]] = {"card": "card", "cash": "cash", "transfer": "transfer"}
_DISEMBARKATION = {point: port for point, port, _ in geography.PASSENGER_POINTS}


class TravelDesk(FlowDesk):
    """Makes passengers: regular ones from routes, and couriers of the schemes."""

    topic = TOPIC
    die = 2

    def lodge(self, time: Slice, phases: Sequence[Phase]) -> list[Lodged]:
        """The passengers of one slice."""
        rng, flows = self._rng, self._population.flows
        watch = Watch(phases).by_lead
        picks = self._picks(time)
        n = len(picks)
        background = flows.background[TOPIC][picks].tolist()
        moments = time.moment(rng.random(n))
        travellers = (90_000 * rng.random(n) ** 1.8).astype(int).tolist()
        ahead = np.exp(0.8 * rng.standard_normal(n)).tolist()
        draws, others = rng.random(n).tolist(), rng.random(n).tolist()
        made: list[Lodged] = []
        for i, pick in enumerate(picks.tolist()):
            route = flows.routes[pick]
            hours = route.hours_ahead * ahead[i]
            probability, phase = background[i], None
            candidates = watch.get((route.agency, route.embarkation))
            if candidates is not None:
                probability, phase = _judge(candidates, route, hours, probability)
            made.append(
                self._passenger(moments[i], route, travellers[i], hours, others[i], probability, phase, draws[i])
            )
        extra = arrivals(rng, time, phases)
        made += [
            self._mule(phase, watch, at) for phase, at in zip(extra, time.moment(rng.random(len(extra))), strict=True)
        ]
        return made

    def _mule(self, phase: Phase, watch: dict[tuple[str, str], list[Phase]], moment: int) -> Lodged:
        rng = self._rng
        usual = self._population.flows.routes[int(rng.integers(0, len(self._population.flows.routes)))]
        agency, embarkation = phase.lead
        point, channel, payment, last_minute, _ = kept(rng)
        at = (phase.point or usual.point) if point else usual.point
        carrier = (phase.channel or usual.carrier) if channel else usual.carrier
        route = Route(
            agency=agency,
            embarkation=embarkation,
            itinerary=(embarkation, _DISEMBARKATION[at]),
            carrier=carrier,
            flight=f"{carrier}{100 + names.mix(sum(map(ord, embarkation)), 21) % 800}",
            disembarkation=_DISEMBARKATION[at],
            point=at,
            payment=(phase.payment or usual.payment) if payment else usual.payment,
            one_way=0.5,
            hours_ahead=20.0 if phase.last_minute and last_minute else 400.0,
        )
        hours = route.hours_ahead * float(np.exp(rng.normal(0, 0.4)))
        traveller = phase.consignees[int(rng.integers(0, len(phase.consignees)))]
        probability, best = _judge(watch.get(phase.lead, []), route, hours, self._background)
        draw, other = rng.random(2).tolist()
        return self._passenger(moment, route, traveller, hours, other, probability, best, draw)

    def _passenger(
        self,
        moment: int,
        route: Route,
        traveller: int,
        hours: float,
        other: float,
        probability: float,
        phase: Phase | None,
        draw: float,
    ) -> Lodged:
        self._serial = serial = self._serial + 1
        lodged_at = self._setting.at(moment)
        journey_id = f"{route.flight}-{lodged_at:%Y%m%d}"
        reference = f"R{scattered(serial):010d}"
        who = names.mix(traveller, 22)
        nationality = "KR" if who % 100 < 55 else route.embarkation[:2]
        family_name, given_names = names.traveller_name(traveller, nationality == "KR")
        passenger = PassengerExpected(
            journey_id=journey_id,
            passenger_reference=reference,
            lodged_at=lodged_at,
            control_point=route.point,
            carrier=route.carrier,
            embarkation=route.embarkation,
            disembarkation=route.disembarkation,
            eta=lodged_at + timedelta(minutes=150 + int(other * 500)),
            document=TravelDocument(
                kind="passport",
                number=f"{'MSEG'[who % 4]}{who % 10**8:08d}",
                issuer=nationality,
                expires=f"{2026 + who % 9}-{who % 12 + 1:02d}-{who % 28 + 1:02d}",
            ),
            family_name=family_name,
            given_names=given_names,
            birth_date=f"{1945 + (who >> 8) % 62}-{(who >> 16) % 12 + 1:02d}-{(who >> 20) % 28 + 1:02d}",
            nationality=nationality,
            gender="F" if (who >> 28) % 2 else "M",
            booking=Booking(
                locator=f"{(who ^ serial) % 36**6:06X}"[-6:],
                booked_at=lodged_at - timedelta(minutes=int(hours * 60)),
                payment=_PAYMENTS[route.payment],
                agency=route.agency,
                itinerary=route.itinerary,
                one_way=other < route.one_way,
                party_size=1 + int(other * 331) % 4 // 2,
                bags=int(other * 337) % 3,
                bag_mass_kg=round(8 + 20 * (other * 97 % 1), 1),
            ),
        )
        lodgement_id = f"{journey_id}/{reference}"
        illicit = draw < probability
        category = phase.category if phase else TRAVELLER_CATEGORIES[serial % len(TRAVELLER_CATEGORIES)]
        self._setting.truth.add(
            TOPIC,
            lodgement_id,
            (
                Fate(
                    f"{TOPIC}/{lodgement_id}",
                    TOPIC,
                    route.point,
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
        return Lodged(lodged_at, TOPIC, lodgement_id, passenger)


def _judge(candidates: list[Phase], route: Route, hours: float, background: float) -> tuple[float, Phase | None]:
    best, most = None, 0.0
    for phase in candidates:
        matched = (
            (phase.point == route.point)
            + (phase.channel == route.carrier)
            + (phase.payment is not None and phase.payment == route.payment)
            + (phase.last_minute and hours < LAST_MINUTE_HOURS)
        )
        probability = phase.probability(matched)
        if probability > most:
            best, most = phase, probability
    return combine(background, best, most)
