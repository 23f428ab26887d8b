"""Reasons: in an officer's words, for every kind of item and model, with weights that sum to the score."""

from __future__ import annotations

from math import isfinite, log
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.risk.brain import Brain
from agents.risk.challengers import MODELS
from agents.risk.features import EVIDENCE, TIMES
from agents.risk.profiles import Profiles
from agents.risk.rates import OutcomeRates
from agents.risk.reason_words import category_words, quantity_words, record_words, shown_record
from agents.risk.reasons import REMAINDER, put_into_words
from agents.risk.usual import UsualValue
from schemas.inspections import ModelPromoted
from schemas.items import ItemFiltered, PriorRecord, Stream
from tests.unit.test_brain import NOW, filtered, lesson, parcel, taught, traveller

STREAMS: tuple[Stream, ...] = ("manifests", "express-cargo", "passengers")


def consignment(number: int, **goods: Any) -> ItemFiltered:
    return filtered(number, "manifests", "KRPUS-SEA", cargo=parcel(number, **goods).item.cargo)


def of(stream: Stream, number: int) -> ItemFiltered:
    if stream == "passengers":
        return traveller(number)
    return consignment(number) if stream == "manifests" else parcel(number)


def surging(number: int) -> dict[str, float]:
    return {TIMES: 0.3 * (number % 8), EVIDENCE: 2.0 * (number % 8)}


@pytest.fixture(scope="module")
def learnt() -> Brain:
    brain = Brain(Profiles())
    for number in range(180):
        item = of(STREAMS[number % 3], number)
        features = brain.appraise(item).among(surging(number)).features
        told = lesson(brain, item, int(number % 7 < 2), control_point=f"P{number % 9}", features=features)
        brain.fold(number, "k", told)
    return brain


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("limit", [1, 2, 5, 60])
def test_weights_sum_to_the_score_for_every_kind_of_item_and_every_model(
    learnt: Brain, stream: Stream, model: str, limit: int
) -> None:
    learnt.fold(learnt.version, "k", ModelPromoted(stream=stream, model=model, by="analyst", at=NOW))
    for number in range(4):
        item = of(stream, number)
        appraisal = learnt.appraise(item).among(surging(number))
        reasons = learnt.explain(item, appraisal, limit)
        assert 1 <= len(reasons) <= limit
        assert sum(reason.weight for reason in reasons) == pytest.approx(appraisal.log_odds, abs=1e-9)
        assert reasons[-1].code == REMAINDER
        assert [reason.weight for reason in reasons[:-1]] == sorted(
            (reason.weight for reason in reasons[:-1]), reverse=True
        )
        texts = [reason.text for reason in reasons]
        assert len(set(texts)) == len(texts)
        assert not any(sign in text for text in texts for sign in ("=", "rate:", "log-", "{"))


AMOUNT = st.floats(0, allow_nan=False, allow_infinity=True)


@settings(max_examples=60, deadline=None)
@given(
    mass=AMOUNT, value=AMOUNT, duty=st.none() | AMOUNT, packages=st.integers(0, 10**9), heading=st.text(max_size=8),
    seizures=st.integers(0, 10**6), hours=AMOUNT, stream=st.sampled_from(STREAMS[:2]),
)  # fmt: skip
def test_no_item_leaves_an_officer_without_finite_reasons(
    learnt: Brain, mass: float, value: float, duty: float | None, packages: int, heading: str, seizures: int,
    hours: float, stream: Stream,
) -> None:  # fmt: skip
    cargo = parcel(
        1, heading, gross_mass_kg=mass, net_mass_kg=None, value_usd=value, duty_rate_percent=duty, packages=packages
    ).item.cargo
    item = filtered(1, stream, "KRICN-EXP", cargo=cargo)
    prior = PriorRecord(inspections=seizures + 1, seizures=seizures)
    item = msgspec.structs.replace(
        item,
        item=msgspec.structs.replace(item.item, prior=prior, counterpart_prior=prior),
        monitored=msgspec.structs.replace(item.monitored, first_seen_hours=hours),
    )
    appraisal = learnt.appraise(item)
    reasons = learnt.explain(item, appraisal, 80)
    assert all(isfinite(reason.weight) and 0 < len(reason.text) <= 512 for reason in reasons)
    assert sum(reason.weight for reason in reasons) == pytest.approx(appraisal.log_odds, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    amount=st.none() | AMOUNT,
    days=st.none() | st.integers(-(10**6), 10**6),
    agency=st.none() | st.text(min_size=1, max_size=12),
    route=st.lists(st.text(min_size=1, max_size=5), max_size=3),
)
def test_no_traveller_breaks_score_or_reasons(
    learnt: Brain, amount: float | None, days: int | None, agency: str | None, route: list[str]
) -> None:
    item = traveller(1)
    assert item.item.traveller is not None
    facts = msgspec.structs.replace(
        item.item.traveller, booked_hours_ahead=amount, bag_mass_kg=amount, document_days_left=days, agency=agency,
        payment=None, itinerary=tuple(route),
    )  # fmt: skip
    item = msgspec.structs.replace(item, item=msgspec.structs.replace(item.item, traveller=facts))
    appraisal = learnt.appraise(item)
    assert isfinite(appraisal.log_odds)
    assert all(isfinite(value) for value in appraisal.features.values())
    assert sum(r.weight for r in learnt.explain(item, appraisal, 80)) == pytest.approx(appraisal.log_odds, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["hs6=851712", "rate:hs6=851712", "log-mass", "brand-new", "rate:", "=", "x=y=z", "*"]),
            st.floats(allow_nan=True, allow_infinity=True),
        ),
        max_size=12,
    )
)
def test_features_may_appear_and_disappear_between_lessons(lessons: list[dict[str, float]]) -> None:
    brain = taught(6)
    for number, features in enumerate(lessons, 6):
        told = lesson(brain, parcel(1), number % 2, decision_id=f"n{number}", features=features)
        brain.fold(number, "k", told)
    appraisal = brain.appraise(parcel(2))
    assert isfinite(appraisal.log_odds)
    assert all(isfinite(reason.weight) for reason in brain.explain(parcel(2), appraisal))


def test_the_words_are_those_of_the_border() -> None:
    usual = UsualValue()
    for number in range(20):
        usual.note({"hs4=8517": 1.0, "log-value-per-kg": log(200.0) + 0.1 * (number % 3)})
    item = parcel(1, "851712", net_mass_kg=2.0, value_usd=8.0)
    item = msgspec.structs.replace(item, monitored=msgspec.structs.replace(item.monitored, first_seen_hours=49.0))
    assert quantity_words("log-first-seen-hours", item, usual) == "consignee first seen 2 days ago"
    assert (
        quantity_words("log-value-per-kg", item, usual)
        == "value per kg far below what is usual for heading 8517: 4 US dollars"
    )
    assert quantity_words("record-seizures", item, usual) == "consignee had 1 seizure in 2 inspections"
    assert category_words("hs6*route*tariff*mass=851712*HK*CN*8*A*5") == (
        "subheading 851712, departure from HK, origin CN, duty rate 8 %, duty regime A, between 4 and 5.66 kg"
    )
    assert category_words("tariff=none*none") == "no duty rate stated, no duty regime stated"
    assert category_words("one-way=yes") == "a one-way journey"
    assert record_words(*shown_record(2.7, 12.2)) == ": 3 finds in 12 recent inspections"
    assert record_words(*shown_record(1.0, 1.0)) == ": 1 find in 1 recent inspection"
    assert record_words(*shown_record(0.0, 0.2)) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [(1_234_567.0, "1,234,567"), (1620.4, "1,620"), (83.5936, "83.6"), (3.26117, "3.26"), (0.000172, "0.000172")],
)
def test_officers_read_amounts_and_no_powers_of_ten(value: float, said: str) -> None:
    item = parcel(1, "851712", net_mass_kg=1.0, value_usd=value)
    assert quantity_words("log-value", item, UsualValue()) == f"declared value of {said} US dollars"
    assert quantity_words("log-value-per-kg", item, UsualValue()) == f"value per kg declared: {said} US dollars"
    heavy = parcel(1, "851712", net_mass_kg=value)
    assert quantity_words("log-mass", heavy, UsualValue()) == f"mass of {said} kg"


def test_no_attribute_is_told_as_a_power_of_ten() -> None:
    assert category_words("mass=21") == "between 1,024 and 1,448 kg"
    assert category_words("kg*value=1.23e+06*1e-05") == "exactly 1,230,000 kg, exactly 0.00001 US dollars"


@pytest.mark.parametrize(
    ("category", "said"),
    [
        (
            "hs6*route*tariff*kg*value=851712*HK*CN*8*A*B*1.5*90",
            "subheading 851712, departure from HK, origin CN, duty rate 8 %, duty regime A*B, exactly 1.5 kg, "
            "exactly 90 US dollars",
        ),
        ("route*tariff*mass=HK*CN*8**\u00b2*5",
         "departure from HK, origin CN, duty rate 8 %, duty regime *\u00b2, between 4 and 5.66 kg"),
        ("flow:hs6*origin*loading*control-point*carrier=851712*CN*HKHKG*AA-EXP*A*B",
         "subheading 851712, origin CN, loaded at HKHKG, control point AA-EXP, carrier A*B"),
        ("agency*embarkation=A*B*THBKK", "booked at agency A*B, embarkation at THBKK"),
        ("regime=A*B", "duty regime A*B"),
        ("declarant=c:*", "this declarant"),
    ],
)  # fmt: skip
def test_a_lodger_s_code_may_hold_the_mark_between_parts(category: str, said: str) -> None:
    assert category_words(category) == said


@settings(max_examples=60, deadline=None)
@given(regime=st.text("A*=\u00b25 ", min_size=1, max_size=8), carrier=st.text("A*5", min_size=1, max_size=4))
def test_no_code_of_a_lodger_who_was_caught_once_breaks_the_reasons(regime: str, carrier: str) -> None:
    brain = Brain(Profiles())
    known = parcel(1, duty_regime=regime, duty_rate_percent=8.0)
    assert known.item.cargo is not None
    cargo = msgspec.structs.replace(known.item.cargo, carrier=carrier)
    known = msgspec.structs.replace(known, item=msgspec.structs.replace(known.item, cargo=cargo))
    for number in range(4):
        brain.fold(number, "k", lesson(brain, known, 1, decision_id=f"d-{number}"))
    appraisal = brain.appraise(known)
    reasons = brain.explain(known, appraisal, 80)
    assert any(reason.code == "hs6*route*tariff*kg" for reason in reasons)
    assert sum(reason.weight for reason in reasons) == pytest.approx(appraisal.log_odds, abs=1e-6)


def test_nobody_is_sent_where_inspections_found_nothing() -> None:
    contributions = {"hs6=851712": 2.0, "route=HK*CN": 1.5, "carrier=HANJET": 1.0}
    records = {"hs6=851712": (0.2, 2.9), "route=HK*CN": (1.0, 2.0), "carrier=HANJET": (0.0, 0.0)}
    reasons = put_into_words(contributions, 3.0, parcel(1), records.__getitem__, UsualValue(), 5)
    assert [(reason.text, reason.weight) for reason in reasons] == [
        ("Departure from HK, origin CN: 1 find in 3 recent inspections", 1.5),
        ("Carrier HANJET", 1.0),
        ("Everything else about the item, and the base rate", 0.5),
    ]


def test_a_time_without_end_has_words_too() -> None:
    item = parcel(1)
    item = msgspec.structs.replace(item, monitored=msgspec.structs.replace(item.monitored, first_seen_hours=1e300))
    assert "consignee first seen" in quantity_words("log-first-seen-hours", item, UsualValue())


def test_every_feature_of_every_kind_of_item_has_words() -> None:
    brain = Brain(Profiles())
    for stream in STREAMS:
        item = of(stream, 1)
        for name in brain.appraise(item).among(surging(1)).features:
            about = name.removeprefix("rate:")
            words = category_words(about) if "=" in about else quantity_words(about, item, UsualValue())
            assert words.strip(), name
            assert words != about.replace("-", " "), name


def test_the_issuer_of_a_document_is_not_what_a_traveller_is_scored_by() -> None:
    brain = taught(10)
    item = traveller(1)
    assert item.item.traveller is not None
    other = msgspec.structs.replace(item.item.traveller, document_issuer="CO", nationality="CO")
    changed = msgspec.structs.replace(item, item=msgspec.structs.replace(item.item, traveller=other))
    assert brain.appraise(item).features == brain.appraise(changed).features


def test_lessons_of_long_ago_do_not_come_back() -> None:
    """Old entities leave the tables: the newest is known, the oldest is not."""
    rates = OutcomeRates(30.0, capacity=500)
    for day in range(5000):
        rates.advance(float(day))
        rates.learn([f"consignee=c:{day}"], day % 2)
    assert len(rates) <= 500
    assert rates.counts("consignee=c:0") == (0.0, 0.0)
    assert sum(rates.counts("consignee=c:4999")) > 0.9
