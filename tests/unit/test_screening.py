"""Screening: what is checked, what is refused with which field, and what is known of a party."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.step import Arrival, Outcome
from schemas.codec import codec_for, encode
from schemas.inspections import OutcomeLearned
from schemas.items import GoodsFacts, ItemScreened
from schemas.knowledge import RiskInformationPublished
from schemas.lodgements import (
    Booking,
    Consignment,
    Container,
    Conveyance,
    ExpressConsignmentLodged,
    GoodsLine,
    ManifestLodged,
    Party,
    PassengerExpected,
    TravelDocument,
)
from schemas.marks import Upstream
from streams.policies import load_policy

AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1000)
POLICY = load_policy()
LINE = GoodsLine(
    hs_code="851713",
    description="smart phone",
    gross_mass_kg=0.4,
    declared_value=100.0,
    currency="EUR",
    origin="CN",
)
PARCEL = ExpressConsignmentLodged(
    waybill="DASH0001",
    lodged_at=AT,
    control_point="KRICN-EXP",
    courier="DASHPOST",
    seller=Party(name="Lumen Parts", country="US"),
    consignee=Party(name="이몽룡"),
    departure="CN",
    port_of_loading="CNCAN",
    eta=AT + timedelta(hours=20),
    goods=(LINE,),
)
CONSIGNMENT = Consignment(
    house_bill="HB1",
    consignee=Party(name="주식회사 한빛무역", identifier="214-86-00000"),
    shipper=Party(name="Pujiang Homeware Co., Ltd."),
    departure="CN",
    port_of_loading="CNSHA",
    goods=(LINE,),
    containers=(Container(number="CSQU3054383"),),
)
MANIFEST = ManifestLodged(
    manifest_id="MSNU26KR0412",
    lodged_at=AT,
    control_point="KRPUS-SEA",
    carrier="MSNU",
    conveyance=Conveyance(mode="sea", identifier="IMO 9074729"),
    port_of_discharge="KRPUS",
    eta=AT + timedelta(days=1),
    consignments=(CONSIGNMENT,),
)
TRAVELLER = PassengerExpected(
    journey_id="QK102-20260302",
    passenger_reference="P1",
    lodged_at=AT,
    control_point="KRICN-T1",
    carrier="QK",
    embarkation="CNPVG",
    disembarkation="KRICN",
    eta=AT + timedelta(hours=3),
    document=TravelDocument(kind="passport", number="M12345678", issuer="CN", expires="2030-01-01"),
    family_name="LI",
    given_names="MING",
    birth_date="1988-02-29",
    nationality="CN",
    booking=Booking(booked_at=AT - timedelta(days=10), payment="cash"),
)
LODGED_ON: dict[Any, str] = {
    ManifestLodged: "manifests",
    ExpressConsignmentLodged: "express-cargo",
    PassengerExpected: "passengers",
}


def screened(
    event: Any,
    *,
    profiles: Profiles | None = None,
    information: RiskInformationBook | None = None,
    at_ms: int = AT_MS,
    key: bytes = b"key",
) -> Outcome:
    """Screen one lodgement as a worker does: over the codec, a manifest's consignments still raw."""
    topic = LODGED_ON[type(event)]
    step = Screening(POLICY, profiles or Profiles(), information or RiskInformationBook(), key)
    return step.decide(None, [Arrival(codec_for(topic).decode(encode(event)), topic, 2, 9, at_ms, at_ms)])


def only(outcome: Outcome) -> ItemScreened:
    assert not outcome.refusals
    (output,) = outcome.outputs
    assert isinstance(output.event, ItemScreened)
    return output.event


def goods_of(item: ItemScreened) -> GoodsFacts:
    assert item.cargo is not None
    return item.cargo.goods


def test_a_parcel_becomes_an_item_in_common_units() -> None:
    item = only(screened(PARCEL))
    assert (item.item_id, item.stream) == ("express-cargo/DASH0001", "express-cargo")
    assert item.due_at == PARCEL.eta
    assert goods_of(item).value_usd == pytest.approx(100 / 0.853)
    assert item.quality == ()
    assert item.origin.lodgement_id == "DASH0001"


def test_what_is_lodged_after_its_arrival_is_due_at_once() -> None:
    assert only(screened(replace(PARCEL, eta=AT - timedelta(hours=1)))).due_at == AT


def test_a_lodger_s_clock_may_be_as_far_ahead_as_the_policy_says_and_no_further() -> None:
    most = AT + timedelta(minutes=POLICY.clock_ahead_minutes)
    assert only(screened(replace(PARCEL, lodged_at=most))).lodged_at == most
    (refusal,) = screened(replace(PARCEL, lodged_at=most + timedelta(milliseconds=1))).refusals
    assert refusal.reason == "clock-ahead"


def test_the_coded_facts_are_those_of_the_line_of_greatest_value() -> None:
    shoes = replace(LINE, hs_code="6404110000", declared_value=5.0, gross_mass_kg=1.6, net_mass_kg=1.0, packages=2)
    gold = replace(LINE, hs_code="711319", declared_value=900.0, origin="TR", currency="USD")
    goods = goods_of(only(screened(replace(PARCEL, goods=(shoes, gold, LINE)))))
    assert (goods.hs6, goods.origin, goods.lines, goods.packages) == ("711319", "TR", 3, 4)
    assert goods.gross_mass_kg == pytest.approx(2.4)
    assert goods.net_mass_kg is None


def test_net_mass_is_known_when_every_line_declares_it() -> None:
    both = [replace(LINE, gross_mass_kg=gross, net_mass_kg=net) for gross, net in ((1000.0, 990.0), (0.2, 0.1))]
    assert goods_of(only(screened(replace(PARCEL, goods=tuple(both))))).net_mass_kg == pytest.approx(990.1)
    small = (replace(both[0], net_mass_kg=None), both[1])
    assert goods_of(only(screened(replace(PARCEL, goods=small)))).net_mass_kg is None


def test_three_broken_consignments_of_five_hundred_are_refused_alone() -> None:
    consignments = [replace(CONSIGNMENT, house_bill=f"HB{n}") for n in range(500)]
    consignments[41] = replace(consignments[41], goods=(LINE, replace(LINE, currency="XXX")))
    consignments[77] = replace(consignments[77], house_bill="HB3")
    sent = msgspec.json.decode(encode(replace(MANIFEST, consignments=tuple(consignments))))
    sent["consignments"][17]["goods"][0]["hs_code"] = "84ZZ"
    event = codec_for("manifests").decode(msgspec.json.encode(sent))
    step = Screening(POLICY, Profiles(), RiskInformationBook(), b"key")
    outcome = step.decide(None, [Arrival(event, "manifests", 0, 1, AT_MS, AT_MS)])
    assert len(outcome.outputs) == 497
    assert [(one.reason, one.field, one.index, one.item_id) for one in outcome.refusals] == [
        ("out-of-bounds", "consignments[17].goods[0].hs_code", 17, "manifests/MSNU26KR0412/HB17"),
        ("unknown-currency", "consignments[41].goods[1].currency", 41, "manifests/MSNU26KR0412/HB41"),
        ("duplicate-house-bill", "consignments[77].house_bill", 77, "manifests/MSNU26KR0412/HB3"),
    ]
    assert len({output.ce_id for output in outcome.outputs}) == 497


@pytest.mark.parametrize(
    ("event", "reason", "field"),
    [
        (replace(PARCEL, control_point="XXXXX"), "unknown-control-point", "control_point"),
        (replace(PARCEL, control_point="KRICN-T1"), "unknown-control-point", "control_point"),
        (replace(PARCEL, lodged_at=AT + timedelta(days=1)), "clock-ahead", "lodged_at"),
        (replace(PARCEL, lodged_at=datetime(1999, 1, 1, tzinfo=UTC)), "impossible-date", "lodged_at"),
        (replace(PARCEL, departure="QQ"), "unknown-country", "departure"),
        (replace(PARCEL, port_of_loading="QQABC"), "unknown-port", "port_of_loading"),
        (replace(PARCEL, goods=(replace(LINE, origin="QQ"),)), "unknown-country", "goods[0].origin"),
        (replace(PARCEL, goods=(LINE, replace(LINE, hs_code="770000"))), "unknown-heading", "goods[1].hs_code"),
        (replace(PARCEL, consignee=Party(name="...")), "blank-name", "consignee.name"),
        (replace(MANIFEST, port_of_discharge="QQPUS"), "unknown-port", "port_of_discharge"),
        (replace(TRAVELLER, birth_date="1987-02-29"), "impossible-date", "birth_date"),
        (replace(TRAVELLER, birth_date="2026-03-03"), "impossible-date", "birth_date"),
        (replace(TRAVELLER, nationality="QQ"), "unknown-country", "nationality"),
        (replace(TRAVELLER, embarkation="QQPVG"), "unknown-port", "embarkation"),
        (replace(TRAVELLER, document=replace(TRAVELLER.document, issuer="QQ")), "unknown-country", "document.issuer"),
    ],
)
def test_what_cannot_be_decided_is_refused_with_its_field(event: Any, reason: str, field: str) -> None:
    outcome = screened(event)
    assert not outcome.outputs
    (refusal,) = outcome.refusals
    assert (refusal.reason, refusal.field, refusal.offset) == (reason, field, 9)


def test_a_refusal_tells_nothing_about_a_person() -> None:
    for change in ({"nationality": "QQ"}, {"birth_date": "1987-02-29"}):
        (refusal,) = screened(replace(TRAVELLER, **change)).refusals
        assert not any(value in refusal.detail for value in (*change.values(), "LI", "M12345678"))


@pytest.mark.parametrize(
    ("event", "check"),
    [
        (replace(PARCEL, goods=(replace(LINE, gross_mass_kg=0.0),)), "zero-mass"),
        (replace(PARCEL, goods=(replace(LINE, declared_value=0.0),)), "zero-value"),
        (replace(PARCEL, goods=(replace(LINE, packages=0),)), "zero-packages"),
        (replace(PARCEL, goods=(replace(LINE, net_mass_kg=0.5),)), "net-above-gross"),
        (replace(PARCEL, goods=(replace(LINE, description="Gift!"),)), "vague-description"),
        (replace(PARCEL, goods=(replace(LINE, description=""),)), "vague-description"),
        (replace(PARCEL, goods=(replace(LINE, hs_code="880330"),)), "retired-heading"),
        (replace(PARCEL, goods=(replace(LINE, hs_code="850011"),)), "unknown-heading"),
        (replace(PARCEL, goods=(replace(LINE, hs_code="980100"),)), "special-chapter"),
        (replace(PARCEL, goods=(replace(LINE, origin="ZZ"),)), "origin-unknown"),
        (replace(PARCEL, departure="ZZ", port_of_loading=None), "departure-unknown"),
        (replace(PARCEL, eta=AT - timedelta(hours=1)), "lodged-after-arrival"),
        (replace(PARCEL, waybill="180-12345676"), "air-waybill-check-digit"),
        (replace(MANIFEST, conveyance=Conveyance(mode="sea", identifier="9074728")), "imo-check-digit"),
        (
            replace(MANIFEST, consignments=(replace(CONSIGNMENT, containers=(Container(number="CSQU3054384"),)),)),
            "container-check-digit",
        ),
        (replace(TRAVELLER, document=replace(TRAVELLER.document, number="여권 123")), "document-number-form"),
        (replace(TRAVELLER, document=replace(TRAVELLER.document, expires="2026-03-01")), "document-expired"),
        (replace(TRAVELLER, document=replace(TRAVELLER.document, expires="2026-02-30")), "document-expiry-date"),
        (replace(TRAVELLER, birth_date="1960-00-00"), "birth-date-incomplete"),
        (replace(TRAVELLER, nationality="XX"), "issuer-not-a-country"),
        (replace(TRAVELLER, family_name="YI\u200b"), "name-characters"),
        (replace(PARCEL, consignee=Party(name="J\u041eHN SMITH")), "name-characters"),
        (replace(PARCEL, seller=Party(name="Lumen\u202e Parts", country="US")), "name-characters"),
    ],
)
def test_what_is_merely_odd_is_told_and_decided(event: Any, check: str) -> None:
    assert only(screened(event)).quality == (check,)


def test_a_party_is_one_subject_however_its_name_is_written() -> None:
    first = only(screened(replace(PARCEL, consignee=Party(name="Müller & Söhne GmbH", country="DE")))).subject
    second = only(screened(replace(PARCEL, consignee=Party(name="SOHNE, MULLER", country="DE")))).subject
    other = only(screened(replace(PARCEL, consignee=Party(name="SOHNE, MULLER", country="AT")))).subject
    assert first == second != other
    by_number = {
        only(screened(replace(PARCEL, consignee=Party(name=name, identifier=number)))).subject
        for name, number in (("Han Bit", "214-86-00000"), ("한빛", "2148600000"))
    }
    assert len(by_number) == 1


def test_nobody_without_the_key_can_tell_who_a_subject_is() -> None:
    item = only(screened(TRAVELLER))
    assert item.subject != only(screened(TRAVELLER, key=b"another")).subject
    assert "M12345678" not in item.subject
    assert encode(item).count(b"M12345678") == 0


def test_prior_records_of_both_parties_come_with_the_item() -> None:
    plain = only(screened(PARCEL))
    assert plain.cargo is not None
    assert plain.prior.inspections == 0
    assert plain.counterpart_prior is None
    profiles = Profiles()
    learned = OutcomeLearned(
        decision_id="d-1",
        result_id="r-1",
        stream="express-cargo",
        control_point="KRICN-EXP",
        subject=plain.subject,
        counterpart=plain.cargo.shipper,
        layer="model",
        lane="red",
        score=0.5,
        features={},
        label=1,
        outcome="seizure",
        propensity=1.0,
        model_version=0,
        lodged_at=AT,
        inspected_at=AT,
        upstream=Upstream(topic="inspection-results", partition=0, offset=0),
    )
    profiles.fold(6, None, learned)
    item = only(screened(PARCEL, profiles=profiles))
    assert (item.prior.seizures, item.profile_version) == (1, 7)
    assert item.counterpart_prior is not None
    assert item.counterpart_prior.seizures == 1


def test_risk_information_speaks_for_cargo_and_for_travellers() -> None:
    book = RiskInformationBook()
    for offset, targets in enumerate(
        (
            {"kind": "watchlist", "documents": ("M 1234 5678",)},
            {"kind": "trusted-trader", "party_identifiers": ("2148600000",)},
            {"kind": "intelligence", "conveyances": ("9074729",), "containers": ("CSQU3054383",)},
        )
    ):
        entry: dict[str, Any] = {
            "event": "RiskInformationPublished",
            "entry_id": f"E{offset}",
            "version": 1,
            "streams": ["manifests", "passengers"],
            "valid_from": "2026-01-01T00:00:00Z",
            **targets,
        }
        book.fold(offset, None, msgspec.convert(entry, RiskInformationPublished))
    traveller = only(screened(TRAVELLER, information=book))
    assert [(hit.entry_id, hit.matched) for hit in traveller.hits] == [("E0", "document")]
    assert traveller.risk_information_version == 3
    cargo = only(screened(MANIFEST, information=book))
    assert {hit.entry_id for hit in cargo.hits} == {"E1", "E2"}
    assert cargo.trusted
    shipper_only = replace(CONSIGNMENT, consignee=Party(name="Someone"), shipper=CONSIGNMENT.consignee)
    assert not only(screened(replace(MANIFEST, consignments=(shipper_only,)), information=book)).trusted


@pytest.mark.parametrize("listed", ["9074729", "IMO 9074729", "imo9074729", "Ever Given", "EVERGIVEN"])
@pytest.mark.parametrize("identifier", ["IMO 9074729", "9074729", None])
def test_a_listed_ship_is_found_however_it_is_written(listed: str, identifier: str | None) -> None:
    book = RiskInformationBook()
    listed_ship = RiskInformationPublished(
        entry_id="E", version=1, kind="watchlist", streams=("manifests",), valid_from=AT, conveyances=(listed,)
    )
    book.fold(0, "E", listed_ship)
    ship = Conveyance(mode="sea", name="Ever Given", identifier=identifier)
    item = only(screened(replace(MANIFEST, conveyance=ship), information=book))
    found = [hit.matched for hit in item.hits]
    assert found == ([] if identifier is None and not listed.startswith(("Ever", "EVER")) else ["conveyance"])
    assert item.cargo is not None
    assert item.cargo.conveyance == ("9074729" if identifier else "Ever Given")


@pytest.mark.parametrize("name", ["." * 32 + "Ever Given", "- " * 100 + "EVER - GIVEN"])
def test_a_listed_ship_is_found_behind_marks_that_fill_up_its_name(name: str) -> None:
    book = RiskInformationBook()
    listed_ship = RiskInformationPublished(
        entry_id="E", version=1, kind="watchlist", streams=("manifests",), valid_from=AT, conveyances=("Ever Given",)
    )
    book.fold(0, "E", listed_ship)
    ship = Conveyance(mode="sea", name=name)
    item = only(screened(replace(MANIFEST, conveyance=ship), information=book))
    assert [hit.matched for hit in item.hits] == ["conveyance"]
    assert codec_for("screened").decode(encode(item)) == item


def test_a_ship_whose_long_name_is_listed_as_its_beginning_is_found() -> None:
    name, book = "Queen of the Northern and the Southern Seas", RiskInformationBook()
    listed_ship = RiskInformationPublished(
        entry_id="E", version=1, kind="watchlist", streams=("manifests",), valid_from=AT, conveyances=(name[:32],)
    )
    book.fold(0, "E", listed_ship)
    item = only(screened(replace(MANIFEST, conveyance=Conveyance(mode="sea", name=name)), information=book))
    assert [hit.matched for hit in item.hits] == ["conveyance"]


def test_a_house_bill_that_was_refused_does_not_stand_in_for_the_next_of_its_number() -> None:
    refused = replace(CONSIGNMENT, goods=(replace(LINE, currency="XXX"),))
    outcome = screened(replace(MANIFEST, consignments=(refused, CONSIGNMENT, CONSIGNMENT)))
    assert [output.event.upstream.index for output in outcome.outputs] == [1]
    assert [(one.reason, one.index) for one in outcome.refusals] == [
        ("unknown-currency", 0),
        ("duplicate-house-bill", 2),
    ]


def test_a_ship_with_an_identifier_that_grows_when_it_is_folded_is_an_item_that_can_be_read() -> None:
    item = only(screened(replace(MANIFEST, conveyance=Conveyance(mode="sea", identifier="ß" * 32))))
    assert codec_for("screened").decode(encode(item)) == item


def test_containers_that_grow_when_they_are_folded_take_no_more_room_than_their_lodgement() -> None:
    boxes = (Container(number="\ufdfa"),) * 40_000
    lodged = replace(MANIFEST, consignments=(replace(CONSIGNMENT, containers=boxes),))
    assert len(encode(only(screened(lodged)))) < len(encode(lodged)) < 1_000_000


def test_a_lodgement_that_comes_again_becomes_the_same_items() -> None:
    assert screened(MANIFEST) == screened(MANIFEST)


@pytest.mark.parametrize("hours", [-12, 0, 9, 14])
def test_the_day_of_arrival_is_that_of_utc_whatever_zone_the_lodger_writes(hours: int) -> None:
    arrival = TRAVELLER.eta.astimezone(timezone(timedelta(hours=hours)))
    facts = only(screened(replace(TRAVELLER, eta=arrival))).traveller
    assert facts is not None
    assert facts.document_days_left == 1401


def test_an_arrival_on_the_last_day_of_the_calendar_is_screened() -> None:
    last = datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=12)))
    assert only(screened(replace(TRAVELLER, eta=last))).quality == ("document-expired",)


def test_a_traveller_keeps_what_selection_may_use() -> None:
    facts = only(screened(TRAVELLER)).traveller
    assert facts is not None
    assert facts.booked_hours_ahead == 243.0
    assert facts.document_days_left == 1401
    assert facts.name == "LI, MING"


def test_an_officer_reads_the_whole_name_of_a_traveller() -> None:
    long = replace(TRAVELLER, family_name="F" * 200, given_names="G" * 199)
    item = only(screened(long))
    assert item.traveller is not None
    assert item.traveller.name == f"{'F' * 200}, {'G' * 199}"
    longest = only(screened(replace(long, given_names="G" * 200)))
    assert codec_for("screened").decode(encode(longest)) == longest
