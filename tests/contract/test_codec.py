"""The codec: what every event survives, and what every broken record is told."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.codec import (
    MAX_RECORD_BYTES,
    UNDECODABLE_REASONS,
    ManifestEnvelope,
    Undecodable,
    Unencodable,
    ce_type_of,
    codec_for,
    decode,
    decode_consignment,
    encode,
    read_house_bill,
)
from schemas.documents import examples
from schemas.lodgements import Consignment, ManifestLodged
from schemas.monitoring import DriftDetected
from schemas.registry import declaration, declarations, event_types
from tests.contract.event_strategies import events

SECRET = "Hong Gildong M00000001"  # noqa: S105 - a name that must appear in no text about a refusal


def parcel(**changes: Any) -> bytes:
    fields = json.loads(examples("express-cargo", 1)["minimal.json"])
    return json.dumps({**fields, **changes}).encode()


def refusal(value: bytes | None, topic: str = "express-cargo", ce_type: bytes | str | None = None) -> Undecodable:
    with pytest.raises(Undecodable) as caught:
        decode(topic, value, ce_type)
    return caught.value


def refused_or_none(topic: str, value: bytes) -> Undecodable | None:
    """Read a record to the end, its consignments included."""
    try:
        event = decode(topic, value)
        if isinstance(event, ManifestEnvelope):
            for index, raw in enumerate(event.consignments):
                decode_consignment(raw, index)
    except Undecodable as error:
        return error
    return None


@pytest.mark.parametrize("name", sorted(event_types()))
def test_every_event_comes_back_as_it_went(name: str) -> None:
    kind = event_types()[name]
    topic = next(one.topic for one in declarations().values() if name in one.events)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(events(kind))
    def comes_back(event: Any) -> None:
        value = encode(event)
        assert encode(event) == value
        for ce_type in (None, ce_type_of(kind), ce_type_of(kind).encode()):
            read = decode(topic, value, ce_type)
            if isinstance(read, ManifestEnvelope):
                consignments = tuple(decode_consignment(raw) for raw in read.consignments)
                read = ManifestLodged(
                    **{
                        name: getattr(read, name)
                        for name in ManifestEnvelope.__struct_fields__
                        if name != "consignments"
                    },
                    consignments=consignments,
                )
            assert read == event
            assert encode(read) == value

    comes_back()


def test_the_envelope_reads_what_a_manifest_says() -> None:
    def fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
        return {
            one.name: (one.type, one.required) for one in msgspec.structs.fields(kind) if one.name != "consignments"
        }

    assert fields(ManifestEnvelope) == fields(ManifestLodged)
    assert ce_type_of(ManifestEnvelope) == ce_type_of(ManifestLodged) == "borderflow.ManifestLodged.v1"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null-value"),
        (b"", "empty-value"),
        (b"\x00\xff\xfe garbage", "not-json"),
        (b'{"waybill": "cut off', "not-json"),
        (b'{"waybill": "\xff\xfe"}', "not-json"),
        (b'{"waybill": "\\ud800"}', "not-json"),
        (parcel() + b"{}", "not-json"),
        (b'{"unknown": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "not-json"),
        (parcel(revision=float("nan")), "not-a-number"),
        (parcel(revision=float("inf")), "not-a-number"),
        (parcel(unknown=-float("inf")), "not-a-number"),
        (b"x" * (MAX_RECORD_BYTES + 1), "too-large"),
        (parcel(event="ManifestLodged"), "unknown-schema-version"),
        (b"null", "wrong-type"),
        (b"[1, 2]", "wrong-type"),
    ],
)
def test_a_record_that_is_no_event_is_refused_with_its_own_reason(value: bytes | None, reason: str) -> None:
    assert refusal(value).reason == reason


@pytest.mark.parametrize("topic", ["screened", "filtered", "alerts"])
def test_whatever_brokers_take_of_a_worker_is_read(topic: str) -> None:
    most = declaration(topic).max_message_bytes
    written = next(iter(examples(topic, 1).values()))
    larger = written.rstrip().removesuffix(b"}") + b',"unknown":"'
    larger += b"x" * (most - len(larger) - 2) + b'"}'
    assert len(larger) == most > MAX_RECORD_BYTES
    decode(topic, larger)
    with pytest.raises(Undecodable, match="too-large"):
        decode(topic, larger + b" ")


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"waybill": 7}, "wrong-type", "waybill"),
        ({"waybill": ""}, "out-of-bounds", "waybill"),
        ({"seller": {}}, "missing-field", "seller.name"),
        ({"goods": []}, "out-of-bounds", "goods"),
        ({"goods": [{"hs_code": "851762"}]}, "missing-field", "goods[0].gross_mass_kg"),
        ({"departure": "kr"}, "out-of-bounds", "departure"),
        ({"departure": "KR\n"}, "out-of-bounds", "departure"),
        ({"eta": "2026-03-02T10:00:00"}, "out-of-bounds", "eta"),
        ({"eta": "2026-02-30T10:00:00Z"}, "out-of-bounds", "eta"),
        ({"mode": "rocket"}, "unknown-code", "mode"),
        ({"revision": -1}, "out-of-bounds", "revision"),
        ({"revision": 1.5}, "wrong-type", "revision"),
    ],
)
def test_a_refused_field_is_named(changes: dict[str, Any], reason: str, field: str) -> None:
    refused = refusal(parcel(**changes))
    assert (refused.reason, refused.field) == (reason, field)


def test_digits_of_other_scripts_are_no_hs_code() -> None:
    goods = json.loads(parcel())["goods"][0]
    for code in ("٨٥١٧٦٢", "851762\n", "85176", "8517620", "85176200001"):
        assert refusal(parcel(goods=[{**goods, "hs_code": code}])).field == "goods[0].hs_code"


def test_a_number_beyond_all_numbers_is_out_of_bounds() -> None:
    refused = refusal(parcel().replace(b'"gross_mass_kg": 0.35', b'"gross_mass_kg": 1e999'))
    assert (refused.reason, refused.field) == ("out-of-bounds", "goods[0].gross_mass_kg")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.just(SECRET) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just(SECRET), inner),
        max_leaves=8,
    ),
    st.sampled_from(["event", "waybill", "lodged_at", "mode", "seller", "goods", "revision", "platform"]),
)
@settings(max_examples=200, deadline=None)
@example(f"{SECRET}` - at `$.{SECRET}`", "mode")
@example(f"x - at `{SECRET}", "event")
def test_no_refusal_ever_quotes_a_value(junk: Any, field: str) -> None:
    refused = refused_or_none("express-cargo", json.dumps({**json.loads(parcel()), field: junk}).encode())
    if refused is not None:
        shown = "".join(traceback.format_exception(refused))
        assert SECRET not in f"{shown} {refused.reason} {refused.field} {refused.detail} {refused.args}"
        assert refused.__context__ is None
        assert refused.__cause__ is None


@given(st.binary(max_size=200), st.sampled_from(sorted(declarations())))
@settings(max_examples=300, deadline=None)
def test_whatever_bytes_come_they_are_an_event_or_refused(value: bytes, topic: str) -> None:
    refused = refused_or_none(topic, value)
    assert refused is None or refused.reason in UNDECODABLE_REASONS


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_record_is_an_event_or_refused(data: st.DataObject) -> None:
    value = bytearray(data.draw(st.sampled_from(sorted(examples("manifests", 1).values()))))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    refused = refused_or_none("manifests", bytes(value))
    assert refused is None or refused.reason in UNDECODABLE_REASONS


@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize(
    "ce_type",
    ["borderflow.ExpressConsignmentLodged.v2", "borderflow.ManifestLodged.v1", "borderflow.Nonsense.v1", "", "v1"],
)
def test_an_event_type_that_the_topic_does_not_carry_is_refused(ce_type: str, as_bytes: bool) -> None:
    header = ce_type.encode() if as_bytes else ce_type
    assert refusal(parcel(), ce_type=header).reason == "unknown-schema-version"


def test_a_header_that_names_another_event_of_the_topic_is_refused() -> None:
    drift = examples("monitoring", 1)["drift.json"]
    assert decode("monitoring", drift, b"borderflow.DriftDetected.v1") == decode("monitoring", drift)
    assert refusal(drift, "monitoring", b"borderflow.CoverageReported.v1").reason == "unknown-schema-version"


def test_a_lodgement_without_a_type_header_is_read_as_the_current_version() -> None:
    named = decode("express-cargo", parcel(), b"borderflow.ExpressConsignmentLodged.v1")
    assert decode("express-cargo", parcel()) == named


def test_a_null_value_ends_an_entry_of_a_compacted_topic_and_nothing_else() -> None:
    for topic, declared in declarations().items():
        if declared.tombstones:
            assert decode(topic, None) is None
        else:
            assert refusal(None, topic).reason == "null-value"


def test_three_broken_consignments_of_five_hundred_are_refused_alone() -> None:
    manifest = json.loads(examples("manifests", 1)["minimal.json"])
    good = manifest["consignments"][0]
    lines = [{**good, "house_bill": f"HB{number}"} for number in range(500)]
    lines[3] = {**lines[3], "goods": [{**good["goods"][0], "gross_mass_kg": "heavy"}]}
    lines[77] = {key: value for key, value in lines[77].items() if key != "consignee"}
    lines[499] = {"house_bill": None}
    envelope = decode("manifests", json.dumps({**manifest, "consignments": lines}).encode())
    read, refused = [], {}
    for index, raw in enumerate(envelope.consignments):
        try:
            read.append(decode_consignment(raw, index))
        except Undecodable as error:
            refused[index] = (error.reason, error.field, read_house_bill(raw))
    assert len(read) == 497
    assert refused == {
        3: ("wrong-type", "consignments[3].goods[0].gross_mass_kg", "HB3"),
        77: ("missing-field", "consignments[77].consignee", "HB77"),
        499: ("wrong-type", "consignments[499].house_bill", None),
    }


def test_a_consignment_that_is_no_object_is_named_by_its_place() -> None:
    with pytest.raises(Undecodable) as caught:
        decode_consignment(msgspec.Raw(b"5"), 12)
    assert (caught.value.reason, caught.value.field) == ("wrong-type", "consignments[12]")
    with pytest.raises(Undecodable) as caught:
        decode_consignment(msgspec.Raw(b"{}"))
    assert (caught.value.reason, caught.value.field) == ("missing-field", "house_bill")


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_cannot_hold_is_not_sent_as_null(lost: float) -> None:
    drift = DriftDetected(what="log-loss", at=datetime(2026, 3, 2, tzinfo=UTC), before=lost, after=0.1)
    with pytest.raises(Unencodable, match=r"^DriftDetected\.before is not a finite number$"):
        encode(drift)


@pytest.mark.parametrize("word", ["null", "9:null"])
def test_the_word_null_in_a_text_is_only_a_word(word: str) -> None:
    event = decode("express-cargo", parcel(waybill=word))
    assert decode("express-cargo", encode(event)) == event


def test_every_number_of_an_event_stands_behind_a_name() -> None:
    """`encode` looks for a lost one there alone."""
    for event in event_types().values():
        for name, schema in msgspec.json.schema(event)["$defs"].items():
            assert not numbers_without_a_name(schema), name


def numbers_without_a_name(schema: Any, *, listed: bool = False) -> bool:
    """Whether a JSON Schema has a number among the items of an array."""
    if isinstance(schema, list):
        return any(numbers_without_a_name(one, listed=listed) for one in schema)
    if not isinstance(schema, dict):
        return False
    if listed and schema.get("type") == "number":
        return True
    return any(
        numbers_without_a_name(one, listed=name in ("items", "prefixItems") or (listed and name == "anyOf"))
        for name, one in schema.items()
    )


def test_the_codec_of_a_topic_is_made_once() -> None:
    assert codec_for("alerts") is codec_for("alerts")
    with pytest.raises(KeyError):
        codec_for("no-such-topic")


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert decode("express-cargo", parcel(added_in_version_9={"a": [1]})) == decode("express-cargo", parcel())


def test_a_consignment_alone_is_the_type_that_screening_gets() -> None:
    envelope = decode("manifests", examples("manifests", 1)["two-consignments-by-sea.json"])
    assert [type(decode_consignment(raw)) for raw in envelope.consignments] == [Consignment, Consignment]
