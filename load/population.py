"""Who trades and travels: heavy-tailed firms, consumers, shops, couriers, routes and travellers.

Traffic is drawn from three kinds of flow: a `Trade` (an importer buys a heading from a shipper by sea or air), an
`Offer` (a shop sells a heading to consumers through a courier) and a `Route` (an agency books travellers onto a
flight). Flow weights are Zipf-like. Parties are built from their index when first needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from load import geography, names
from load.geography import COUNTRIES
from load.tariff import HEADINGS, Heading
from schemas.lodgements import Party, Procedure

Floats = NDArray[np.float64]

NEW_PARTIES = 10_000_000
"""Indices from here on are parties that did not exist when the world began."""


@dataclass(frozen=True, slots=True)
class Trade:
    """Goods of one heading from one shipper to one importer, by sea or air freight."""

    importer: int
    shipper: Party
    heading: Heading
    origin: str
    departure: str
    port: str
    point: str
    currency: str
    procedure: Procedure
    price: float
    extra: tuple[Heading, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """One heading of one shop, sent as parcels by one courier to one express control point."""

    seller: Party
    heading: Heading
    origin: str
    departure: str
    port: str
    point: str
    courier: str
    platform: str | None
    currency: str
    price: float


@dataclass(frozen=True, slots=True)
class Route:
    """Bookings of one agency onto one daily flight to one passenger control point."""

    agency: str
    embarkation: str
    itinerary: tuple[str, ...]
    carrier: str
    flight: str
    disembarkation: str
    point: str
    payment: str
    one_way: float
    hours_ahead: float


@dataclass(slots=True)
class Flows:
    """The flows of one stream with their cumulative weights and background probabilities."""

    trades: list[Trade]
    offers: list[Offer]
    routes: list[Route]
    cumulative: dict[str, Floats]
    background: dict[str, Floats]


def zipf(n: int, exponent: float = 0.85, head: float = 12.0) -> Floats:
    """Zipf-Mandelbrot shares of `n` flows: a heavy tail without one flow that dwarfs all."""
    weights = 1.0 / np.power(np.arange(n) + head, exponent)
    return np.asarray(weights / weights.sum())


class Population:
    """Everyone in the world, from a seed. `background` is the mean illicit probability outside of schemes."""

    def __init__(
        self, seed: int, *, background: float, trades: int = 2400, offers: int = 3200, routes: int = 420
    ) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self._firms: dict[int, Party] = {}
        self._consumers: dict[int, Party] = {}
        countries = COUNTRIES
        self._cargo_countries = _shares([c.cargo for c in countries])
        self._parcel_countries = _shares([c.parcels for c in countries])
        self._traveller_countries = _shares([c.travellers for c in countries])
        self._cargo_headings = _shares([h.cargo for h in HEADINGS])
        self._parcel_headings = _shares([h.parcels for h in HEADINGS])
        self.flows = Flows(
            [self.new_trade() for _ in range(trades)],
            self._shops(offers),
            self._routes(routes),
            {},
            {},
        )
        for stream, n in (("manifests", trades), ("express-cargo", offers), ("passengers", routes)):
            weights = self._rng.permutation(zipf(n))
            self.flows.cumulative[stream] = np.cumsum(weights)
            risks = np.array([self._risk(stream, i) for i in range(n)])
            self.flows.background[stream] = np.minimum(0.08, risks * background / float(weights @ risks))

    def firm(self, index: int) -> Party:
        """A firm that imports."""
        party = self._firms.get(index)
        if party is None:
            party = self._firms[index] = Party(
                name=names.korean_firm(index),
                identifier=names.business_number(index),
                address=names.korean_address(index),
                country="KR",
            )
        return party

    def consumer(self, index: int) -> Party:
        """A person who orders parcels."""
        party = self._consumers.get(index)
        if party is None:
            if len(self._consumers) > 400_000:
                self._consumers.clear()
            party = self._consumers[index] = Party(
                name=names.korean_person(index),
                identifier=names.customs_code(index),
                address=names.korean_address(index),
                country="KR",
            )
        return party

    def shipper(self, index: int, country: str) -> Party:
        """A shipper or seller abroad."""
        return Party(
            name=names.foreign_firm(index, country),
            identifier=f"{country}{names.mix(index, 8) % 10**8:08d}",
            address=f"{names.mix(index, 9) % 200 + 1} Harbour Rd, {country}",
            country=country,
        )

    def new_trade(self, importer: int | None = None) -> Trade:
        """A trade with a drawn importer, shipper, heading and way."""
        rng = self._rng
        heading = HEADINGS[_draw(rng, self._cargo_headings)]
        country = COUNTRIES[_draw(rng, self._cargo_countries)]
        by_air = not country.sea_ports or (heading.cargo_kg < 1200 and rng.random() < 0.75)
        ports = country.airports if by_air else country.sea_ports
        point = geography.AIR_POINT[0] if by_air else geography.SEA_POINTS[_draw(rng, _SEA_SHARES)][0]
        return Trade(
            importer=int(1800 * rng.random() ** 2) if importer is None else importer,
            shipper=self.shipper(int(1500 * rng.random() ** 1.6), country.code),
            heading=heading,
            origin=country.code if rng.random() < 0.85 else COUNTRIES[_draw(rng, self._cargo_countries)].code,
            departure=country.code,
            port=ports[_favoured(rng, len(ports))],
            point=point,
            currency=country.currency if rng.random() < 0.4 else "USD",
            procedure=PROCEDURES[_favoured(rng, len(PROCEDURES))],
            price=float(np.exp(rng.normal(0, heading.spread * 0.8))),
            extra=tuple(HEADINGS[_draw(rng, self._cargo_headings)] for _ in range(2)) if rng.random() < 0.15 else (),
        )

    def new_offer(self, shop: Offer | None = None) -> Offer:
        """An offer of `shop`, or of a new one."""
        rng = self._rng
        heading = HEADINGS[_draw(rng, self._parcel_headings)]
        price = float(np.exp(rng.normal(0, heading.spread * 0.8)))
        if shop is not None:
            return replace(shop, heading=heading, price=price)
        country = COUNTRIES[_draw(rng, self._parcel_countries)]
        return Offer(
            seller=self.shipper(int(rng.integers(100_000, 200_000)), country.code),
            heading=heading,
            origin=country.code if rng.random() < 0.8 else COUNTRIES[_draw(rng, self._cargo_countries)].code,
            departure=country.code,
            port=country.airports[_favoured(rng, len(country.airports))],
            point=geography.EXPRESS_POINTS[_draw(rng, _EXPRESS_SHARES)][0],
            courier=geography.COURIERS[_favoured(rng, len(geography.COURIERS))],
            platform=geography.PLATFORMS[_favoured(rng, len(geography.PLATFORMS))] if rng.random() < 0.8 else None,
            currency=country.currency if rng.random() < 0.5 else "USD",
            price=price,
        )

    def renew(self, share: float) -> None:
        """Let `share` of the cargo flows end and new ones take their weight: ordinary newcomers are not smugglers.

        The background probability stays with the slot; the new importer or shop is unknown to every record.
        """
        rng = self._rng
        for trade in rng.integers(0, len(self.flows.trades), rng.poisson(share * len(self.flows.trades))):
            self.flows.trades[trade] = self.new_trade(importer=NEW_PARTIES + int(rng.integers(0, 1_000_000)))
        for offer in rng.integers(0, len(self.flows.offers), rng.poisson(share * len(self.flows.offers))):
            self.flows.offers[offer] = self.new_offer()

    def _shops(self, offers: int) -> list[Offer]:
        made: list[Offer] = []
        while len(made) < offers:
            shop = self.new_offer()
            made.append(shop)
            made += [self.new_offer(shop) for _ in range(int(self._rng.integers(0, 5)))]
        return made[:offers]

    def _routes(self, routes: int) -> list[Route]:
        rng = self._rng
        made: list[Route] = []
        flight = 100
        while len(made) < routes:
            country = COUNTRIES[_draw(rng, self._traveller_countries)]
            airport = country.airports[_favoured(rng, len(country.airports))]
            point, port, _ = geography.PASSENGER_POINTS[_draw(rng, _PASSENGER_SHARES)]
            carrier = geography.AIR_CARRIERS[int(rng.integers(0, len(geography.AIR_CARRIERS)))][0]
            flight += 1
            for _ in range(int(rng.integers(2, 8))):
                via = (BY_VIA[int(rng.integers(0, len(BY_VIA)))],) if rng.random() < 0.15 else ()
                made.append(
                    Route(
                        agency=geography.AGENCIES[_favoured(rng, len(geography.AGENCIES))],
                        embarkation=airport,
                        itinerary=(airport, *[v for v in via if v not in (airport, port)], port),
                        carrier=carrier,
                        flight=f"{carrier}{flight}",
                        disembarkation=port,
                        point=point,
                        payment=("card", "card", "card", "transfer", "cash")[int(rng.integers(0, 5))],
                        one_way=0.35 if rng.random() < 0.15 else 0.06,
                        hours_ahead=float(np.exp(rng.normal(6.2, 0.6))),
                    )
                )
        return made[:routes]

    def _risk(self, stream: str, index: int) -> float:
        noise = float(np.exp(self._rng.normal(0, 0.5)))
        if stream == "passengers":
            route = self.flows.routes[index]
            return noise * geography.BY_CODE[route.embarkation[:2]].risk * (1.6 if route.payment == "cash" else 1.0)
        flow = self.flows.trades[index] if stream == "manifests" else self.flows.offers[index]
        return noise * flow.heading.risk * geography.BY_CODE[flow.origin].risk


PROCEDURES = (
    Procedure(process_type="B", import_type="11", import_use="21", payment_type="11"),
    Procedure(process_type="B", import_type="11", import_use="21", payment_type="43"),
    Procedure(process_type="B", import_type="15", import_use="11", payment_type="18"),
    Procedure(process_type="B", import_type="94", import_use="21", payment_type="11"),
    Procedure(process_type="A", import_type="11", import_use="26", payment_type="14"),
)
BY_VIA = ("HKHKG", "SGSIN", "AEDXB", "THBKK", "TRIST", "CNPVG")


def _shares(weights: list[float]) -> Floats:
    cumulative = np.cumsum(np.array(weights, dtype=np.float64))
    return np.asarray(cumulative / cumulative[-1])


_SEA_SHARES = _shares([share for _, _, share in geography.SEA_POINTS])
_EXPRESS_SHARES = _shares([share for _, share in geography.EXPRESS_POINTS])
_PASSENGER_SHARES = _shares([share for _, _, share in geography.PASSENGER_POINTS])


def _draw(rng: np.random.Generator, cumulative: Floats) -> int:
    return int(np.searchsorted(cumulative, rng.random(), side="right").clip(0, len(cumulative) - 1))


def _favoured(rng: np.random.Generator, n: int) -> int:
    """An index below `n`, the first ones more often."""
    return min(n - 1, int(n * rng.random() ** 1.6))
