"""The pairs of coarse facts that the anomaly score counts: what usually comes with what.

Each pair is a context and a cell: how often the cell comes of all the times that its context does. Which facts are
worth counting was measured (docs/adr/0007-anomaly-score.md): amounts beside what is usual for the heading, and the
place of departure; rare combinations of places, goods and carriers are mostly just rare. Nationality, sex and age of
travellers are not among the facts.
"""

from __future__ import annotations

from math import frexp, log2

from agents.risk.features import MOST
from schemas.items import CargoFacts, ItemScreened, TravellerFacts

Pairs = tuple[tuple[str, tuple[str, ...]], ...]
"""Contexts, each with its cells."""


def pairs_of(item: ItemScreened) -> Pairs:
    """The pairs of an item; none for one that is neither cargo nor traveller."""
    if item.cargo is not None:
        return _cargo(item.cargo)
    if item.traveller is not None:
        return _traveller(item.traveller)
    return ()


def _cargo(cargo: CargoFacts) -> Pairs:
    goods = cargo.goods
    heading, packages = goods.hs6[:4], goods.packages
    mass = goods.net_mass_kg or goods.gross_mass_kg
    price = goods.value_usd / mass if mass > 0.0 else 0.0
    cells = (
        f"{heading}$/kg{quarter_octave(price)}",
        f"{heading}kg{quarter_octave(mass)}",
        f"{heading}#{packages if packages < 50 else 50}",
    )
    return (("*", (cargo.departure,)), (heading, cells))


def _traveller(traveller: TravellerFacts) -> Pairs:
    ahead = traveller.booked_hours_ahead
    bags, party = traveller.bags, traveller.party_size
    cells = (
        traveller.embarkation,
        f"paid {traveller.payment} {'one way' if traveller.one_way else 'return'}",
        "booked" if ahead is None else f"booked {frexp(ahead)[1]}",
        f"bags {bags if bags < 9 else 9} of {party if party < 9 else 9}",
    )
    return (("*", cells),)


def quarter_octave(amount: float) -> int:
    """The quarter of a power of two that an amount lies in: amounts within a fifth of each other mostly share it.

    A price over a mass of next to nothing may be infinite, and counts as the largest amount there is.
    """
    return int(4.0 * log2(amount if amount < MOST else MOST)) if amount > 0.0 else -999
