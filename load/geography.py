"""Where goods and travellers come from: countries with their ports, control points, carriers, couriers, platforms.

Port codes are UN/LOCODE, countries ISO 3166-1 alpha-2. Weights are shares of traffic, made up but shaped like the
trade of an East Asian importer. Carriers, couriers and platforms are fictional.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    """A country of departure: its weight in cargo, parcels and travellers, its currency, ports and background risk."""

    code: str
    cargo: float
    parcels: float
    travellers: float
    currency: str
    sea_ports: tuple[str, ...]
    airports: tuple[str, ...]
    risk: float = 1.0


COUNTRIES: tuple[Country, ...] = (
    Country("CN", 26, 44, 17, "CNY", ("CNSHA", "CNNGB", "CNTAO", "CNYTN", "CNTXG"), ("CNPVG", "CNCAN", "CNYNT"), 1.1),
    Country("US", 10, 17, 9, "USD", ("USLAX", "USLGB", "USNYC", "USSEA"), ("USJFK", "USORD", "USSFO"), 0.9),
    Country("JP", 10, 7, 16, "JPY", ("JPOSA", "JPTYO", "JPYOK"), ("JPNRT", "JPKIX"), 0.6),
    Country("VN", 7, 2, 9, "USD", ("VNSGN", "VNHPH"), ("VNSGN", "VNHAN"), 1.3),
    Country("HK", 4, 9, 6, "HKD", ("HKHKG",), ("HKHKG",), 1.5),
    Country("TW", 4, 2, 6, "USD", ("TWKHH", "TWKEL"), ("TWTPE",), 0.7),
    Country("TH", 4, 1.5, 8, "USD", ("THLCH", "THBKK"), ("THBKK",), 1.4),
    Country("DE", 4, 4, 2, "EUR", ("DEHAM", "DEBRV"), ("DEFRA",), 0.7),
    Country("SG", 3, 1, 4, "USD", ("SGSIN",), ("SGSIN",), 0.8),
    Country("ID", 3, 0.6, 3, "USD", ("IDJKT", "IDSUB"), ("IDCGK",), 1.1),
    Country("MY", 3, 0.8, 3, "USD", ("MYPKG", "MYPGU"), ("MYKUL",), 1.2),
    Country("IN", 3, 0.8, 2, "USD", ("INNSA", "INMAA"), ("INDEL", "INBOM"), 1.2),
    Country("PH", 2, 0.7, 4, "USD", ("PHMNL", "PHCEB"), ("PHMNL",), 1.3),
    Country("AU", 2, 1.5, 2, "USD", ("AUSYD", "AUMEL"), ("AUSYD",), 0.7),
    Country("GB", 1.5, 3, 2, "GBP", ("GBFXT", "GBSOU"), ("GBLHR",), 0.8),
    Country("IT", 1.5, 2, 1, "EUR", ("ITGOA", "ITLIV"), ("ITMXP", "ITFCO"), 1.0),
    Country("FR", 1.5, 2, 1.5, "EUR", ("FRLEH", "FRFOS"), ("FRCDG",), 0.8),
    Country("NL", 1.5, 1.2, 1, "EUR", ("NLRTM",), ("NLAMS",), 1.4),
    Country("ES", 1, 0.6, 0.7, "EUR", ("ESVLC", "ESALG"), ("ESMAD",), 1.0),
    Country("TR", 1, 0.5, 0.8, "USD", ("TRIST", "TRMER"), ("TRIST",), 1.3),
    Country("AE", 1, 0.4, 1.2, "USD", ("AEJEA",), ("AEDXB",), 1.6),
    Country("MX", 1, 0.2, 0.4, "USD", ("MXZLO",), ("MXMEX",), 2.0),
    Country("CO", 0.4, 0.1, 0.15, "USD", ("COCTG", "COBUN"), ("COBOG",), 3.0),
    Country("PE", 0.5, 0.1, 0.15, "USD", ("PECLL",), ("PELIM",), 2.5),
    Country("BR", 1, 0.2, 0.3, "USD", ("BRSSZ",), ("BRGRU",), 1.8),
    Country("ZA", 0.6, 0.1, 0.2, "USD", ("ZADUR",), ("ZAJNB",), 1.8),
    Country("KH", 0.6, 0.2, 1.0, "USD", ("KHKOS",), ("KHPNH",), 1.6),
    Country("UZ", 0.3, 0.1, 0.7, "USD", (), ("UZTAS",), 1.2),
)
BY_CODE = {country.code: country for country in COUNTRIES}

PER_USD = {"USD": 1.0, "EUR": 0.92, "CNY": 7.2, "JPY": 150.0, "GBP": 0.79, "HKD": 7.8, "KRW": 1350.0}
"""Units of currency for one US dollar, constant in this world."""

SEA_POINTS = (("KRPUS-SEA", "KRPUS", 0.62), ("KRINC-SEA", "KRINC", 0.25), ("KRKAN-SEA", "KRKAN", 0.13))
"""Sea control points: id, port of discharge, share."""
AIR_POINT = ("KRICN-AIR", "KRICN")
EXPRESS_POINTS = (("KRICN-EXP", 0.58), ("KRPTK-EXP", 0.27), ("KRINC-EXP", 0.15))
PASSENGER_POINTS = (("KRICN-T1", "KRICN", 0.52), ("KRICN-T2", "KRICN", 0.34), ("KRPUS-AIR", "KRPUS", 0.14))

SEA_CARRIERS = ("HAEU", "NMLU", "BLSU", "OCWU", "PAXU", "ESTU")
"""Fictional shipping lines; also the owner code and category letter of their containers (ISO 6346)."""
AIR_CARRIERS = (("QK", "907"), ("HB", "938"), ("SN", "964"), ("TW", "971"))
"""Fictional airlines with the prefix of their air waybills."""
COURIERS = ("HANJET", "DASHPOST", "REDKITE", "OCEANBEE", "SPRINTLY", "MOONPARCEL", "SILKLINE", "NORDVAN")
PLATFORMS = ("allmart", "taoju", "globuy", "kcart", "bidnest", "stylehub", "vitacity", "gadgeto", "petitshop")
AGENCIES = tuple(f"AG{number:03d}" for number in range(1, 61))
