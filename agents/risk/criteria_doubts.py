"""What an author will hardly have meant: a criterion that can be used, and asks for what never occurs.

Workers apply such criteria as they are. `borderflow criteria check` tells them, as warnings: code lists grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, get_args, get_type_hints

from agents import quality
from agents.risk.criteria import Criterion
from agents.risk.criteria_language import Condition, Not, Test, Value
from schemas.items import RiskHit
from schemas.knowledge import CriterionPublished
from schemas.lodgements import TransportMode

_WORDS: Final[dict[str, frozenset[str]]] = {
    "quality": frozenset(quality.MEANINGS),
    "hits": frozenset(get_args(get_type_hints(RiskHit)["kind"])),
    "mode": frozenset(get_args(TransportMode)),
    "document_kind": frozenset(("passport", "identity-card", "visa", "other")),
    "payment": frozenset(("card", "cash", "transfer", "miles", "other")),
}
_COUNTRY: Final = ("two capitals (ISO 3166-1)", r"[A-Z]{2}", "XX")
_PORT: Final = ("five capitals or digits (UN/LOCODE)", r"[A-Z]{2}[A-Z0-9]{3}", "XXXXX")
_SHAPES: Final[dict[str, tuple[str, str, str]]] = {  # what it is, its pattern, and what fills up a beginning of it
    "hs2": ("two digits", r"[0-9]{2}", "00"),
    "hs4": ("four digits", r"[0-9]{4}", "0000"),
    "hs6": ("six digits", r"[0-9]{6}", "000000"),
    "currency": ("three capitals (ISO 4217)", r"[A-Z]{3}", "XXX"),
    "origin": _COUNTRY,
    "departure": _COUNTRY,
    "document_issuer": _COUNTRY,
    "port_of_loading": _PORT,
    "embarkation": _PORT,
    "disembarkation": _PORT,
    "itinerary": _PORT,
}
_RANGES: Final[dict[str, tuple[int, int]]] = {"hour": (0, 23), "weekday": (1, 7), "anomaly": (0, 1)}


def doubts(event: CriterionPublished) -> list[str]:
    """Sentences for the author of a criterion that can be used. Raises `CriterionRefusedError` for another one."""
    asked = [test for condition in Criterion(event).conditions.values() for test in _tests(condition)]
    said = [doubt for test in asked for value in test.values if (doubt := _doubt(test, value)) is not None]
    if event.cap == 0.0:
        said.append("cap is 0: it never acts")
    if event.action != "boost" and event.weight != 0.0:
        said.append(f"a weight is for a boost: it does nothing for {event.action}")
    return list(dict.fromkeys(said))


def _tests(condition: Condition) -> Iterator[Test]:
    if isinstance(condition, Test):
        yield condition
    else:
        for part in (condition.part,) if isinstance(condition, Not) else condition.parts:
            yield from _tests(part)


def _doubt(test: Test, value: Value) -> str | None:
    name = test.field.name
    if isinstance(value, float):
        low, high = _RANGES.get(name, (value, value))
        return None if low <= value <= high else f"{name} is {low} to {high}, never {value:g}"
    if test.operator == "contains" and test.field.type == "text":
        return None  # a part of a text
    begins = test.operator == "startswith"
    if name in _SHAPES:
        what, pattern, filling = _SHAPES[name]
        whole = value + filling[len(value) :] if begins else value
        return None if re.fullmatch(pattern, whole) else f"{name} is {what}, never {value!r}"
    words = _WORDS.get(name)
    if words is None or value in words or (begins and any(word.startswith(value) for word in words)):
        return None
    return f"{name} is one of {', '.join(sorted(words))}, never {value!r}"
