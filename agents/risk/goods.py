"""Goods in common units: kilograms, US dollars at the reference rates, HS codes that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from agents import quality, refusals
from agents.adding import added
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
_MOST_KG = 1e9  # schemas.marks.Kilograms
_MOST_PACKAGES = 1_000_000_000  # schemas.marks.Count


def goods_facts(lines: Sequence[GoodsLine], rates: Mapping[str, float], odd: list[str]) -> GoodsFacts:
    """Sum the lines of an item; its codes are those of the line with the greatest value, the first of equals.

    Net mass is known when every line declares it: that of some lines beside the value of all would say anything.
    What is odd is added to `odd` (`agents.quality`). Raises `Undecidable` for a code that does not exist: without its
    chapter, its currency or its origin an item cannot be compared with any other.
    """
    main = lines[0]
    if len(lines) == 1:
        total = _value(main, 0, rates, odd)
        gross, net, packages = main.gross_mass_kg, main.net_mass_kg, main.packages
    else:
        values = [_value(line, place, rates, odd) for place, line in enumerate(lines)]
        main = lines[values.index(max(values))]
        total = added(values)
        gross = min(added([line.gross_mass_kg for line in lines]), _MOST_KG)
        declared = [line.net_mass_kg for line in lines if line.net_mass_kg is not None]
        net = min(added(declared), _MOST_KG) if len(declared) == len(lines) else None
        packages = min(sum([line.packages for line in lines]), _MOST_PACKAGES)
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
    if is_vague(main.description):
        odd.append(quality.VAGUE_DESCRIPTION)
    return GoodsFacts(
        hs6=main.hs_code[:6],
        description=main.description,
        lines=len(lines),
        packages=packages,
        gross_mass_kg=gross,
        net_mass_kg=net,
        value_usd=total,
        declared_value=main.declared_value,
        currency=main.currency,
        origin=main.origin,
        origin_marked=main.origin_marked,
        duty_rate_percent=main.duty_rate_percent,
        duty_regime=main.duty_regime,
    )


def _value(line: GoodsLine, place: int, rates: Mapping[str, float], odd: list[str]) -> float:
    """The value of a line in US dollars, after its codes were checked."""
    rate = rates.get(line.currency)
    if rate is None:
        field, detail = f"goods[{place}].currency", f"{line.currency} is no ISO 4217 currency with a reference rate"
        raise Undecidable(refusals.UNKNOWN_CURRENCY, field, detail)
    if line.origin not in KNOWN_ORIGINS:
        raise Undecidable(refusals.UNKNOWN_COUNTRY, f"goods[{place}].origin", f"{line.origin} is no country code")
    if line.hs_code[:4] not in HEADINGS:
        odd.append(_heading_problem(line.hs_code, place))
    return line.declared_value * rate


@lru_cache(maxsize=16_384)
def is_vague(description: str) -> bool:
    """Whether a description tells nothing of the goods; the same few thousand descriptions come again and again."""
    return fold_text(description) in quality.VAGUE


def _heading_problem(code: str, place: int) -> str:
    if code[:2] not in CHAPTERS:
        field = f"goods[{place}].hs_code"
        raise Undecidable(refusals.UNKNOWN_HEADING, field, f"HS 2022 has no chapter {code[:2]}")
    if code[:2] in _SPECIAL_CHAPTERS:
        return quality.SPECIAL_CHAPTER
    return quality.RETIRED_HEADING if code[:4] in RETIRED_HEADINGS else quality.UNKNOWN_HEADING
