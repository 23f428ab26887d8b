"""The pairs of coarse facts that the anomaly score counts: what usually comes with what.

Each pair is (context, cell): the cell is the context and one fact more. Nationality, sex and age of travellers are not
among the facts, nor anything that another pair already tells.
"""

from __future__ import annotations

from math import frexp

from schemas.items import CargoFacts, ItemScreened, TravellerFacts

Pairs = list[tuple[str, str]]


def pairs_of(item: ItemScreened) -> Pairs:
    """The pairs of an item; empty for one that is neither cargo nor traveller."""
    if item.cargo is not None:
        return _cargo(item.cargo)
    if item.traveller is not None:
        return _traveller(item.traveller)
    return []


def _cargo(cargo: CargoFacts) -> Pairs:
    goods = cargo.goods
    hs4 = goods.hs6[:4]
    hs2 = hs4[:2]
    mass = goods.net_mass_kg or goods.gross_mass_kg
    route = f"r{cargo.departure}"
    price = octave(goods.value_usd / mass) if mass > 0.0 else "none"
    return [
        (route, f"{route}>{cargo.port_of_loading}"),
        (f"o{hs2}", f"o{hs2}{goods.origin}"),
        (f"d{cargo.departure}", f"d{cargo.departure}{goods.origin}"),
        (f"h{cargo.carrier}", f"h{cargo.carrier}{hs2}"),
        (f"v{hs4}", f"v{hs4}@{price}"),
        (f"m{hs4}", f"m{hs4}@{octave(mass)}"),
    ]


def _traveller(traveller: TravellerFacts) -> Pairs:
    route = f"r{traveller.embarkation}"
    ahead = traveller.booked_hours_ahead
    return [
        (f"e{traveller.disembarkation}", f"e{traveller.disembarkation}{traveller.embarkation}"),
        (route, f"{route}>{'-'.join(traveller.itinerary)}"),
        (f"{route}a", f"{route}a{traveller.document_issuer}"),
        (f"{route}p", f"{route}p{traveller.payment}{'1' if traveller.one_way else '2'}"),
        (f"{route}b", f"{route}b{min(traveller.bags, 9)}/{min(traveller.party_size, 9)}"),
        (f"{route}t", f"{route}t{'none' if ahead is None else octave(ahead)}"),
    ]


def octave(amount: float) -> str:
    """The power of two below an amount, as text: amounts within a factor of two share it."""
    return str(frexp(amount)[1])
