"""Whatever decodes is decided or refused: no lodgement can stop a worker, and every item is accounted for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.filtering import Filtering
from agents.refusals import MEANINGS
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import read_policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.step import Arrival
from schemas.codec import decode, encode
from schemas.items import Stream
from schemas.knowledge import CriterionPublished, RiskInformationPublished
from schemas.lodgements import ExpressConsignmentLodged, ManifestLodged, PassengerExpected
from tests.contract.event_strategies import events

POLICY = read_policy(yaml.safe_load(Path("streams/policies/default.yaml").read_text()))
PLACES: dict[Stream, str] = {"manifests": "KRPUS-SEA", "express-cargo": "KRICN-EXP", "passengers": "KRICN-T1"}
NOW = datetime(2026, 3, 2, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


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


def _books() -> tuple[RiskInformationBook, CriteriaBook]:
    information, criteria = RiskInformationBook(), CriteriaBook()
    streams: tuple[Stream, ...] = ("manifests", "express-cargo", "passengers")
    for n, target in enumerate(
        (
            {"headings": ("85",), "origins": ("CN",)},
            {"party_names": ("AAAAA BBBBB",), "similarity": 0.8},
            {"departures": ("CN",)},
            {"ports_of_loading": ("CNSHA",), "headings": ("8517", "851713")},
        )
    ):
        information.fold(
            n,
            None,
            RiskInformationPublished(
                entry_id=f"E{n}",
                version=1,
                kind="watchlist",
                streams=streams,
                valid_from=NOW,
                **target,  # type: ignore[arg-type]  # mypy cannot see the keys
            ),
        )
    for n, condition in enumerate(("anomaly >= 0", "arrivals_24h > 1", "not (revision > 2)")):
        criteria.fold(
            n,
            None,
            CriterionPublished(
                criterion_id=f"C{n}",
                version=1,
                title="",
                streams=streams,
                condition=condition,
                action="direct",
                valid_from=NOW,
            ),
        )
    return information, criteria


_LODGEMENTS: tuple[tuple[Stream, Any], ...] = (
    ("manifests", ManifestLodged),
    ("express-cargo", ExpressConsignmentLodged),
    ("passengers", PassengerExpected),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.one_of([st.tuples(st.just(stream), events(kind), st.booleans()) for stream, kind in _LODGEMENTS]))
def test_every_item_of_whatever_decodes_is_filtered_or_refused(given_: tuple[Stream, Any, bool]) -> None:
    stream, event, believable = given_
    event = decode(stream, encode(_believable(event, stream) if believable else event))
    information, criteria = _books()
    screening = Screening(POLICY, Profiles(), information, b"key")
    filtering = Filtering(POLICY, criteria)
    screened = screening.decide(None, [Arrival(event, stream, 0, 3, NOW_MS, NOW_MS)])
    sent = len(getattr(event, "consignments", [event]))
    whole = [one for one in screened.refusals if one.index is None]
    assert len(screened.outputs) + len(screened.refusals) == (1 if whole else sent)
    state = filtering.begin(0, 0)
    for offset, output in enumerate(screened.outputs):
        item = decode("screened", encode(output.event))
        assert item == output.event
        filtered = filtering.decide(state, [Arrival(item, "screened", 0, offset, output.at_ms, 0)])
        assert not filtered.refusals
        for one in filtered.outputs:
            assert decode(one.topic, encode(one.event)) == one.event
    for refusal in screened.refusals:
        assert refusal.reason in MEANINGS
