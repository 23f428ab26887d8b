"""Goods in common units: kilograms, US dollars at the reference rates, HS codes that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agents import quality, refusals
from agents.risk.codelists import (
    CHAPTERS,
    HEADINGS,
    KNOWN_ORIGINS,
    RETIRED_HEADINGS,
    UNKNOWN_COUNTRY_CODE,
)
from agents.risk.normalise import fold_text
from agents.undecidable import Undecidable
from schemas.items import GoodsFacts
from schemas.lodgements import GoodsLine

_SPECIAL_CHAPTERS = ("98", "99")


def goods_facts(lines: Sequence[GoodsLine], rates: Mapping[str, float], odd: list[str]) -> GoodsFacts:
    """Sum the lines of an item; its codes are those of the line with the greatest value, the first of equals.

    What is odd is added to `odd` (`agents.quality`). Raises `Undecidable` for a code that does not exist: without its
    chapter, its currency or its origin an item cannot be compared with any other.
    """
    main = lines[0]
    most = total = gross = 0.0
    net: float | None = None
    packages = 0
    for place, line in enumerate(lines):
        rate = rates.get(line.currency)
        if rate is None:
            field, detail = f"goods[{place}].currency", f"{line.currency} is no ISO 4217 currency with a reference rate"
            raise Undecidable(refusals.UNKNOWN_CURRENCY, field, detail)
        if line.origin not in KNOWN_ORIGINS:
            raise Undecidable(refusals.UNKNOWN_COUNTRY, f"goods[{place}].origin", f"{line.origin} is no country code")
        code = line.hs_code
        if code[:4] not in HEADINGS:
            odd.append(_heading_problem(code, place))
        value = line.declared_value * rate
        total += value
        gross += line.gross_mass_kg
        if line.net_mass_kg is not None:
            net = line.net_mass_kg if net is None else net + line.net_mass_kg
        packages += line.packages
        if value > most:
            most, main = value, line
    if main.origin == UNKNOWN_COUNTRY_CODE:
        odd.append(quality.UNKNOWN_ORIGIN)
    if not gross:
        odd.append(quality.NO_MASS)
    if not total:
        odd.append(quality.NO_VALUE)
    if not packages:
        odd.append(quality.NO_PACKAGES)
    if net is not None and net > gross > 0.0:
        odd.append(quality.NET_ABOVE_GROSS)
    # A real description is longer than any vague one, and most are: those need no folding.
    if len(main.description) < 24 and fold_text(main.description) in quality.VAGUE:
        odd.append(quality.VAGUE_DESCRIPTION)
    return GoodsFacts(
        hs6=main.hs_code[:6],
        description=main.description,
        lines=len(lines),
        packages=min(packages, 1_000_000_000),
        gross_mass_kg=min(gross, 1e9),
        net_mass_kg=None if net is None else min(net, 1e9),
        value_usd=total,
        declared_value=main.declared_value,
        currency=main.currency,
        origin=main.origin,
        origin_marked=main.origin_marked,
        duty_rate_percent=main.duty_rate_percent,
        duty_regime=main.duty_regime,
    )


def _heading_problem(code: str, place: int) -> str:
    if code[:2] not in CHAPTERS:
        field = f"goods[{place}].hs_code"
        raise Undecidable(refusals.UNKNOWN_HEADING, field, f"HS 2022 has no chapter {code[:2]}")
    if code[:2] in _SPECIAL_CHAPTERS:
        return quality.SPECIAL_CHAPTER
    return quality.RETIRED_HEADING if code[:4] in RETIRED_HEADINGS else quality.UNKNOWN_HEADING
