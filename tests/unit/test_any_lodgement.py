"""Whatever decodes is decided or refused: no lodgement can stop a worker, and every item is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.loop import Sent, whole_loop
from agents.refusals import MEANINGS
from agents.risk.policy import read_policy
from schemas.codec import MAX_RECORD_BYTES, codec_for, decode, encode
from schemas.decisions import SelectionDecided
from schemas.items import Stream
from schemas.knowledge import CriterionPublished, RiskInformationPublished
from schemas.lodgements import ExpressConsignmentLodged, ManifestLodged, PassengerExpected
from tests.border import result_on
from tests.contract.event_strategies import events

PARCEL = Path("schemas/examples/express-cargo/v1/maximal.json")
TRAVELLER = Path("schemas/examples/passengers/v1/maximal.json")
PLACES: dict[Stream, str] = {"manifests": "KRPUS-SEA", "express-cargo": "KRICN-EXP", "passengers": "KRICN-T1"}
NOW = datetime(2026, 3, 2, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
POLICY = read_policy(
    {
        **yaml.safe_load(Path("streams/policies/default.yaml").read_text()),
        "cold_start": {"everything_until": (NOW + timedelta(days=1)).isoformat()},
    }
)


def _believable(event: Any, stream: Stream) -> Any:
    """The same with an office and a clock that exist, and codes that mostly do, so that it gets further."""
    event = replace(event, control_point=PLACES[stream], lodged_at=NOW)
    if isinstance(event, PassengerExpected):
        document = replace(event.document, issuer="KR")
        return replace(event, embarkation="CNPVG", disembarkation="KRICN", nationality="KR", document=document)
    if isinstance(event, ManifestLodged):
        bills = tuple(_known_codes(one, n) for n, one in enumerate(event.consignments))
        return replace(event, port_of_discharge="KRPUS", consignments=bills)
    return _known_codes(event, 0)


def _known_codes(one: Any, n: int) -> Any:
    if n % 3 == 2:
        return one
    goods = tuple(replace(line, currency="USD", origin="CN", hs_code="851713") for line in one.goods)
    return replace(one, goods=goods, departure="CN", port_of_loading="CNSHA")


STREAMS: tuple[Stream, ...] = ("manifests", "express-cargo", "passengers")


def _risk_information() -> Iterator[RiskInformationPublished]:
    targets: tuple[dict[str, Any], ...] = (
        {"headings": ("85",), "origins": ("CN",)},
        {"party_names": ("AAAAA BBBBB",), "similarity": 0.8},
        {"departures": ("CN",)},
        {"ports_of_loading": ("CNSHA",), "headings": ("8517", "851713")},
    )
    common: dict[str, Any] = {"version": 1, "kind": "watchlist", "streams": STREAMS, "valid_from": NOW}
    for n, target in enumerate(targets):
        yield RiskInformationPublished(entry_id=f"E{n}", **common, **target)


def _criteria() -> Iterator[CriterionPublished]:
    common: dict[str, Any] = {"version": 1, "title": "", "streams": STREAMS, "action": "direct", "valid_from": NOW}
    for n, condition in enumerate(("anomaly >= 0", "arrivals_24h > 1", "not (revision > 2)", "value_per_kg_usd > 1")):
        yield CriterionPublished(criterion_id=f"C{n}", condition=condition, **common)


_LODGEMENTS: tuple[tuple[Stream, Any], ...] = (
    ("manifests", ManifestLodged),
    ("express-cargo", ExpressConsignmentLodged),
    ("passengers", PassengerExpected),
)


def _round_trip(topic: str, event: Any) -> Any:
    again = decode(topic, encode(event))
    assert again == event
    return again


def _all_accounted_for(stream: Stream, event: Any) -> list[SelectionDecided]:
    """Lodge it, inspect whatever is selected (nearly everything: the service has no record yet), learn from it."""
    event = decode(stream, encode(event))
    loop = whole_loop(POLICY, b"key", pass_on=_round_trip)
    loop.send("risk-information", [Sent(one.entry_id, one, NOW_MS) for one in _risk_information()])
    loop.send("criteria", [Sent(one.criterion_id, one, NOW_MS) for one in _criteria()])
    done = loop.send(stream, [Sent("key", event, NOW_MS)])
    whole = any(refusal.index is None for _, refusal in done.refusals)
    sent = 1 if whole else len(getattr(event, "consignments", [event]))
    assert len(done.decisions) + len(done.refusals) == sent
    assert {refusal.reason for _, refusal in done.refusals} <= MEANINGS.keys()
    learnt = loop.inspect([result_on(alert, "seizure") for alert in done.alerts])
    assert len(learnt.examples) == len(done.alerts)
    return done.decisions


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.one_of([st.tuples(st.just(stream), events(kind), st.booleans()) for stream, kind in _LODGEMENTS]))
def test_every_item_of_whatever_decodes_is_decided_or_refused(given_: tuple[Stream, Any, bool]) -> None:
    stream, event, believable = given_
    _all_accounted_for(stream, _believable(event, stream) if believable else event)


@pytest.mark.parametrize("mass", [0.0, 5e-324, 1e9])
@pytest.mark.parametrize("value", [0.0, 5e-324, 1e13])
def test_the_least_and_the_largest_amounts_are_decided(mass: float, value: float) -> None:
    """A price over a mass of next to nothing is infinite; the counts of what is usual took no such price."""
    parcel = codec_for("express-cargo").decode(PARCEL.read_bytes())
    goods = tuple(replace(line, gross_mass_kg=mass, net_mass_kg=mass, declared_value=value) for line in parcel.goods)
    (decision,) = _all_accounted_for("express-cargo", _believable(replace(parcel, goods=goods), "express-cargo"))
    assert isfinite(decision.score)


def test_a_lodgement_of_all_the_bytes_that_one_may_have_is_decided_and_alerted_to() -> None:
    """What the steps add to it makes an alert that is larger than any lodgement may be; its readers take it."""
    traveller = _believable(codec_for("passengers").decode(TRAVELLER.read_bytes()), "passengers")
    for legs in ((), ("KRICN",) * ((MAX_RECORD_BYTES - len(encode(traveller)) - 40) // len(b'"KRICN",'))):
        traveller = replace(traveller, booking=replace(traveller.booking, itinerary=legs))
    assert MAX_RECORD_BYTES - 100 < len(encode(traveller)) <= MAX_RECORD_BYTES
    assert len(_all_accounted_for("passengers", traveller)) == 1
