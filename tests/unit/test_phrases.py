"""The console's sentences of other languages: every text that the loop writes as a reason has one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agents import quality, refusals
from agents.reevaluation import refusal_of
from agents.risk import indicators, layers, reason_words
from agents.risk.alerts import NOTHING_STANDS_OUT
from agents.risk.reasons import put_into_words
from agents.risk.usual import UsualValue
from agents.standing import Standing
from schemas.decisions import Reason
from schemas.items import CriterionHit, ItemFiltered, PriorRecord, RiskHit, TravellerFacts
from streams.console.accounts import Role
from streams.console.api import _RESULT_FIELDS
from tests.border import parcel

CONSOLE = Path(__file__).parents[2] / "streams" / "console"
I18N = CONSOLE / "static" / "i18n"
LANGUAGES = sorted(path.stem for path in I18N.glob("??.json") if path.stem != "en")
ENGLISH_WORD = re.compile(r"(?<![\w-])[A-Za-z][a-z]{2,}(?![\w-])")
"""A word in small letters that is no part of a code."""

COUNTED = re.compile(r"\{\w+\} (?!of )([a-z]+ )?(alert|item|package|day|shipper|inspection|seizure|find|decision)s\b")
"""A number and a word that is wrong for one."""


class Catalogue:
    """Does what `phrase` of i18n.js does, with the same file."""

    def __init__(self, language: str) -> None:
        found = msgspec.json.decode((I18N / f"phrases.{language}.json").read_bytes(), type=list[tuple[str, str]])
        self._phrases = [(re.compile(f"(?:{pattern})", re.IGNORECASE), to) for pattern, to in found]
        self._words = msgspec.json.decode((I18N / f"{language}.json").read_bytes(), type=dict[str, str])

    def phrase(self, text: str) -> str:
        for pattern, to in self._phrases:
            match = pattern.fullmatch(text)
            if match is not None:
                return re.sub(r"\$(\d)", lambda place, found=match: self.phrase(found[int(place[1])] or ""), to)
        if ", " in text:
            return ", ".join(self.phrase(part) for part in text.split(", "))
        return self._words.get(f"matched.{text.lower()}") or self._words.get(f"category.{text}") or text


def categories() -> Iterator[str]:
    """A category of every kind that has words."""
    for part in reason_words._PARTS:
        yield f"{part}=7"
    yield from reason_words._WHOLE
    for part in reason_words._UNSTATED:
        yield f"{part}=none"
    yield from ("mass=0", "mass=9", "hs6*mass=851712*9", "route*hs4=CN*VN*8517", "tariff=8*A")


def changed(filtered: ItemFiltered, first_seen_hours: float, **item: Any) -> ItemFiltered:
    """The item with these fields of its own, of a subject first seen so many hours ago."""
    return msgspec.structs.replace(
        filtered,
        item=msgspec.structs.replace(filtered.item, **item),
        monitored=msgspec.structs.replace(filtered.monitored, first_seen_hours=first_seen_hours),
    )


def traveller(**more: Any) -> TravellerFacts:
    """A traveller."""
    return TravellerFacts(
        document="d:0", name="A NAME", document_issuer="KR", document_kind="passport", nationality="KR",
        birth_year=1990, carrier="KE", mode="air", journey="KE703", embarkation="JPNRT", disembarkation="KRICN", **more
    )  # fmt: skip


def reasons() -> Iterator[Reason]:
    """Every kind of reason."""
    usual = UsualValue()
    for step in range(40):
        usual.note({"log-value-per-kg": 2.0 + step % 3 / 10, "hs4=8517": 1.0})
    known = PriorRecord(inspections=12, seizures=3)
    goods = parcel(1).item.cargo
    assert goods is not None
    dear = [
        msgspec.structs.replace(goods, goods=msgspec.structs.replace(goods.goods, value_usd=usd, duty_rate_percent=8.0))
        for usd in (0.0, 0.1, 9.0, 12.0, 14.0, 9_000.0)
    ]
    stated = {"booked_hours_ahead": 70.0, "bag_mass_kg": 30.0, "document_days_left": 1}
    items = [
        parcel(1),
        *(changed(parcel(2), hours, cargo=one, prior=known, counterpart_prior=known)
          for one, hours in zip(dear, (0.0, 1.0, 30.0, 60.0, 0.0, 900.0), strict=True)),
        changed(parcel(3), 0.0, cargo=None, traveller=traveller()),
        changed(parcel(4), 50.0, cargo=None, traveller=traveller(**stated), prior=known),
    ]  # fmt: skip
    for filtered in items:
        for about in (*categories(), *reason_words._QUANTITIES):
            for counts in ((0.0, 0.0), (0.0, 5.0), (1.0, 1.0), (2.0, 12.0)):
                yield from put_into_words({about: 1.0}, 1.0, filtered, lambda _, found=counts: found, usual, 4)
        yield layers.profile_reason(filtered, msgspec.convert({}, layers.ProfileRule))
        yield layers.anomaly_reason(filtered)
    yield layers.surge_reason(0.0)
    yield layers.surge_reason(3.4)
    yield layers.exploration_reason(0.002)
    for kind in ("watchlist", "intelligence"):
        for category, strength in ((None, 1.0), ("drugs", 1.0), ("drugs", 0.91), (None, 0.8)):
            hit = {"entry_id": "W-7", "version": 1, "kind": kind, "matched": "consignee", "severity": 3}
            yield layers.mandatory_reason(msgspec.convert({**hit, "category": category, "strength": strength}, RiskHit))
    for action in ("direct", "boost"):
        told = {"criterion_id": "C-1", "version": 2, "action": action, "weight": 1.0}
        yield layers.criterion_reason(msgspec.convert(told, CriterionHit))
    yield NOTHING_STANDS_OUT


REFUSALS = re.compile(r"RefusedError\(\s*\d+, \"([a-z-]+)\"")
SLUGS = re.compile(r"refusals\.([A-Z_]+)")


def codes() -> Iterator[str]:
    """Every key of the catalogue that a code of the loop, or of the console itself, asks for."""
    yield from (f"quality.{code}" for code in quality.MEANINGS)
    yield from (f"indicator.{code}" for code in indicators.MEANINGS)
    yield from (f"role.{role}" for role in get_args(Role))
    yield from (f"field.{name}" for name in (*_RESULT_FIELDS, "cp", "verdict"))
    yield from (f"refused.{why}" for why in ("missing-field", "wrong-type", "out-of-bounds", "unknown-code"))
    judged = inspect.getsource(refusal_of) + inspect.getsource(Standing.refusal)
    slugs = {getattr(refusals, name) for name in SLUGS.findall(judged)}
    assert len(slugs) == 6
    yield from (f"error.{slug}" for slug in slugs - {refusals.ALREADY_RESOLVED})  # that is "already-filed"
    said = {code for file in CONSOLE.glob("*.py") for code in REFUSALS.findall(file.read_text())}
    assert {"claimed", "field", "too-late", "unread"} < said
    yield from (f"error.{code}" for code in said)


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_every_code_that_the_page_may_show_has_words_in_every_language(language: str) -> None:
    words = msgspec.json.decode((I18N / f"{language}.json").read_bytes(), type=dict[str, str])
    assert [code for code in codes() if code not in words] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_a_sentence_in_every_language(language: str) -> None:
    catalogue = Catalogue(language)
    told = {reason.text: catalogue.phrase(reason.text) for reason in reasons()}
    left = {text: said for text, said in told.items() if ENGLISH_WORD.search(said)}
    assert len(told) > 150
    told["of alerts that are kept"] = catalogue.phrase("Traffic like this was not looked at for long")
    assert left == {}


def test_what_has_no_sentence_stays_as_it_is() -> None:
    catalogue = Catalogue("ko")
    assert catalogue.phrase("Beach toys from nowhere (criterion C-1 version 2)").startswith(
        "Beach toys from nowhere (선별"
    )


def test_what_is_counted_has_a_word_for_one() -> None:
    words = msgspec.json.decode((I18N / "en.json").read_bytes(), type=dict[str, str])
    assert {key for key, text in words.items() if COUNTED.search(text)} == {"urgent.many", "day.curve.say"}


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_what_is_left_of_a_score_is_told_without_a_word_of_statistics(language: str) -> None:
    (rest,) = put_into_words({}, -3.0, parcel(1), lambda _: (0.0, 0.0), UsualValue(), 4)
    words = msgspec.json.decode((I18N / f"{language}.json").read_bytes(), type=dict[str, str])
    told = Catalogue(language).phrase(rest.text)
    assert "base rate" not in told
    assert told.startswith(words["reason.remainder"])  # so that it is not said twice


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("log-packages", "1 package"),
        ("log-arrivals", "1 arrival for this consignee within 24 hours"),
        ("log-shippers", "1 shipper within 24 hours"),
        ("log-below-threshold", "1 item just below the duty-free value within 24 hours"),
    ],
)
def test_what_the_loop_counts_has_a_word_for_one(name: str, said: str) -> None:
    made = parcel(1)
    assert made.item.cargo is not None
    cargo = msgspec.structs.replace(made.item.cargo, goods=msgspec.structs.replace(made.item.cargo.goods, packages=1))
    seen = msgspec.structs.replace(made.monitored, arrivals_24h=1, shippers_24h=1, below_threshold_24h=1)
    made = msgspec.structs.replace(made, item=msgspec.structs.replace(made.item, cargo=cargo), monitored=seen)
    assert Catalogue("en").phrase(reason_words.quantity_words(name, made, UsualValue())) == said
