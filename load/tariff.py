"""What is traded: a small tariff of HS 2022 subheadings with the words, prices and masses that go with each.

`usd_per_kg` is a median, `spread` the standard deviation of its logarithm; masses are medians in kg, of a parcel and
of a consignment by sea or air. `risk` multiplies the background rate of illicit goods. All figures are made up.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """One HS subheading as this world trades it."""

    hs6: str
    words: tuple[str, ...]
    usd_per_kg: float
    spread: float
    parcel_kg: float
    cargo_kg: float
    parcels: float
    cargo: float
    risk: float
    duty: float
    category: str


SEVERITY = {
    "drugs": 3, "weapons": 3, "gold": 2, "medicines": 2, "tobacco": 2, "currency": 2, "endangered-species": 3,
    "counterfeit": 2, "quarantine": 2, "unsafe-goods": 2, "undervaluation": 1, "origin-fraud": 1,
}  # fmt: skip
"""Severity of a find by category, 1 (irregular) to 3 (dangerous)."""


def _rows() -> tuple[Heading, ...]:
    food, fake, value, unsafe = "quarantine", "counterfeit", "undervaluation", "unsafe-goods"
    raw: tuple[tuple[str, str, float, float, float, float, float, float, float, float, str], ...] = (
        ("030617", "frozen shrimp|frozen vannamei shrimp", 8, 0.3, 0, 9000, 0, 2, 1.0, 20, food),
        ("070320", "fresh garlic|peeled garlic", 1.2, 0.4, 0, 22000, 0, 1.5, 1.5, 360, "origin-fraud"),
        ("071080", "frozen vegetables|frozen red pepper", 1.1, 0.4, 0, 21000, 0, 3, 1.2, 27, "origin-fraud"),
        ("080132", "cashew nuts shelled", 7.5, 0.3, 1.5, 9000, 0.5, 1, 0.8, 8, food),
        ("090121", "roasted coffee beans|coffee whole bean", 9, 0.5, 1.2, 3500, 1.6, 1.5, 0.9, 8, food),
        ("090240", "black tea|tea leaves", 6, 0.7, 0.5, 1500, 0.8, 0.7, 1.2, 40, food),
        ("120740", "sesame seeds", 1.9, 0.3, 0, 19000, 0, 1, 1.5, 630, "origin-fraud"),
        ("121190", "dried herbs|medicinal plants", 9, 0.9, 0.6, 1200, 0.9, 0.6, 2.4, 8, "drugs"),
        ("150920", "extra virgin olive oil", 7, 0.4, 1.5, 6000, 0.6, 1, 0.6, 5, food),
        ("160100", "sausages|dried meat snack", 6, 0.5, 0.8, 2500, 0.7, 0.5, 2.2, 18, food),
        ("170490", "candy|jelly confectionery", 5, 0.5, 0.8, 3200, 1.4, 1, 0.8, 8, food),
        ("180690", "chocolate gift box|chocolate bars", 9, 0.5, 0.7, 3000, 1.6, 1, 0.7, 8, food),
        ("210690", "dietary supplement|vitamins|protein powder", 28, 0.7, 0.9, 1800, 9, 2, 1.9, 8, "medicines"),
        ("220421", "bottled wine|red wine", 8, 0.7, 1.6, 8000, 0.8, 1.5, 0.9, 15, value),
        ("220830", "single malt whisky|blended whisky", 22, 0.7, 1.5, 5000, 0.6, 0.8, 1.3, 20, value),
        ("240220", "cigarettes|filter cigarettes", 22, 0.3, 0.6, 2600, 0.2, 0.2, 5.0, 40, "tobacco"),
        ("240412", "e-liquid|nicotine pouches", 65, 0.4, 0.3, 600, 0.7, 0.2, 3.5, 6.5, "tobacco"),
        ("293790", "hormone preparation", 420, 0.8, 0.1, 60, 0.1, 0.1, 4.0, 6.5, "drugs"),
        ("300490", "medicine tablets|ointment|capsules", 95, 0.8, 0.3, 400, 1.4, 0.8, 3.2, 8, "medicines"),
        ("330300", "eau de parfum|perfume set", 48, 0.6, 0.4, 900, 2.5, 0.6, 1.6, 6.5, fake),
        ("330499", "facial cream|cosmetics|serum set", 30, 0.6, 0.5, 1500, 5, 1.5, 1.1, 6.5, fake),
        ("330510", "shampoo", 7, 0.4, 0.9, 4000, 1, 0.8, 0.4, 6.5, unsafe),
        ("382499", "chemical preparation|industrial additive", 6, 0.9, 0, 9000, 0, 1.6, 1.1, 6.5, "drugs"),
        ("390120", "polyethylene resin pellets", 1.3, 0.2, 0, 24000, 0, 2.4, 0.2, 6.5, value),
        ("392690", "plastic articles|phone case|storage box", 9, 0.8, 0.4, 2600, 6, 4, 0.8, 8, unsafe),
        ("401110", "car tyres new", 4.5, 0.3, 0, 12000, 0, 1.2, 0.4, 8, value),
        ("420221", "leather handbag|leather shoulder bag", 150, 0.9, 0.9, 450, 2.4, 0.5, 3.2, 8, fake),
        ("420222", "nylon handbag|canvas tote bag", 38, 0.7, 0.7, 900, 2.6, 0.8, 2.4, 8, fake),
        ("420292", "travel bag|backpack", 19, 0.6, 1.1, 1600, 2, 1, 1.5, 8, fake),
        ("442199", "wooden articles|wooden hangers", 5, 0.6, 0.8, 5200, 0.6, 1.2, 0.6, 8, food),
        ("490199", "books|printed books", 9, 0.5, 1.0, 1800, 1.8, 0.7, 0.3, 0, value),
        ("540761", "polyester woven fabric", 7, 0.4, 0, 7600, 0, 1.8, 0.4, 8, value),
        ("610910", "cotton t-shirt|t-shirts knitted", 24, 0.6, 0.4, 2400, 6, 2.4, 1.4, 13, fake),
        ("611030", "sweater|hooded sweatshirt", 26, 0.6, 0.7, 2200, 4, 1.6, 1.3, 13, fake),
        ("620342", "men's cotton trousers|jeans", 24, 0.5, 0.8, 2100, 2.6, 1.2, 1.0, 13, fake),
        ("620462", "women's trousers", 25, 0.5, 0.7, 2000, 2.6, 1.2, 0.8, 13, fake),
        ("621210", "brassieres", 42, 0.5, 0.2, 700, 1.2, 0.4, 0.5, 13, fake),
        ("630790", "textile articles|masks|cleaning cloth", 9, 0.7, 0.4, 2800, 1.8, 1.6, 0.7, 10, unsafe),
        ("640299", "plastic sandals|shoes", 18, 0.5, 0.9, 2600, 2, 1.2, 1.5, 13, fake),
        ("640399", "leather shoes", 38, 0.6, 1.3, 1900, 1.4, 0.8, 1.6, 13, fake),
        ("640411", "sports shoes|running shoes", 34, 0.6, 1.1, 2300, 4.4, 1.2, 2.4, 13, fake),
        ("650500", "baseball cap|knitted hat", 28, 0.6, 0.2, 800, 1.6, 0.5, 1.6, 8, fake),
        ("691110", "porcelain tableware", 5, 0.6, 1.6, 7600, 0.7, 1, 0.4, 8, unsafe),
        ("690721", "ceramic tiles", 0.6, 0.3, 0, 24500, 0, 1.6, 0.3, 8, value),
        ("711319", "gold necklace|gold ring", 26000, 0.7, 0.02, 1.5, 0.4, 0.1, 2.8, 8, "gold"),
        ("711719", "fashion earrings|imitation jewellery", 48, 0.8, 0.1, 260, 2.2, 0.4, 1.3, 8, fake),
        ("720839", "hot-rolled steel coils", 0.7, 0.2, 0, 26000, 0, 1.8, 0.2, 0, value),
        ("730890", "steel structures|steel frames", 2.6, 0.4, 0, 17000, 0, 1.3, 0.4, 8, value),
        ("732690", "iron articles|metal brackets", 5, 0.7, 1.0, 4800, 1.2, 2, 0.6, 8, "weapons"),
        ("761699", "aluminium articles", 8, 0.6, 0.7, 3000, 0.7, 1.4, 0.6, 8, unsafe),
        ("841459", "ventilation fans|usb fan", 11, 0.5, 0.9, 2200, 1, 1, 0.7, 8, unsafe),
        ("847130", "notebook computer|laptop", 360, 0.4, 2.2, 700, 1.4, 0.8, 0.9, 0, value),
        ("848180", "valves|industrial valves", 21, 0.7, 1.2, 1600, 0.4, 1.6, 0.4, 8, value),
        ("850440", "power adapter|static converters", 26, 0.7, 0.4, 1300, 2.6, 1.6, 1.3, 8, unsafe),
        ("850760", "lithium-ion batteries|power bank", 32, 0.6, 0.6, 2600, 2.2, 1.5, 1.6, 8, unsafe),
        ("851713", "smartphone|mobile phone", 1500, 0.5, 0.45, 180, 2, 0.6, 1.7, 0, value),
        ("851762", "wifi router|network apparatus", 130, 0.7, 0.6, 420, 1.4, 1, 0.9, 0, unsafe),
        ("851830", "wireless earphones|headphones", 110, 0.8, 0.3, 380, 4, 0.8, 2.2, 8, fake),
        ("852872", "television|led monitor", 16, 0.4, 9, 3800, 0.8, 0.8, 0.4, 8, unsafe),
        ("854231", "integrated circuits|processors", 1700, 0.9, 0.2, 90, 0.6, 1.2, 0.4, 0, value),
        ("854370", "electrical apparatus|massage gun", 42, 0.8, 0.9, 900, 1.8, 1, 1.5, 8, unsafe),
        ("870899", "vehicle parts|brake parts", 10, 0.7, 2.4, 3600, 1.6, 2.2, 1.1, 8, fake),
        ("871200", "bicycle", 16, 0.5, 13, 3200, 0.4, 0.5, 0.4, 8, unsafe),
        ("900410", "sunglasses", 140, 0.8, 0.15, 180, 1.4, 0.3, 2.3, 8, fake),
        ("901890", "medical instruments|syringes", 95, 0.8, 0.4, 420, 0.5, 0.8, 1.2, 8, "medicines"),
        ("910211", "wrist watch|quartz watch", 950, 1.0, 0.2, 60, 1.5, 0.3, 3.0, 8, fake),
        ("940161", "upholstered seats|sofa", 6, 0.4, 14, 4200, 0.4, 1.2, 0.3, 8, unsafe),
        ("940360", "wooden furniture|shelf", 3.6, 0.5, 12, 5600, 0.6, 1.4, 0.4, 8, food),
        ("950300", "toys|building blocks|doll", 13, 0.6, 0.8, 2600, 4.6, 1.8, 1.5, 8, unsafe),
        ("950450", "video game console", 130, 0.5, 2.0, 500, 0.8, 0.4, 0.8, 0, fake),
        ("950691", "fitness equipment|yoga mat", 5, 0.6, 2.6, 3600, 1.2, 0.8, 0.4, 8, unsafe),
    )
    return tuple(
        Heading(code, tuple(words.split("|")), price, spread, parcel, freight, parcels, cargo, risk, duty, category)
        for code, words, price, spread, parcel, freight, parcels, cargo, risk, duty, category in raw
    )


HEADINGS = _rows()
BY_HS6 = {heading.hs6: heading for heading in HEADINGS}
