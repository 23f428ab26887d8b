"""Topic declarations, committed JSON Schemas, examples and marks of personal data agree with the types."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from agents.risk.criteria import check_criterion
from agents.risk.risk_information import check_entry
from schemas.codec import MAX_RECORD_BYTES, decode, encode
from schemas.documents import committed_schema, examples, topic_schema
from schemas.personal import personal_fields
from schemas.registry import (
    DEAD_LETTER_MAX_BYTES,
    dead_letter_topics,
    declaration,
    declarations,
    event_types,
    topic_of,
)
from tests.contract.event_strategies import events

TOPICS = sorted(declarations())
VERSIONS = [(topic, version) for topic in TOPICS for version in range(1, declaration(topic).version + 1)]
DAY_MS = 86_400_000


def validator(topic: str, version: int = 1) -> jsonschema.Draft202012Validator:
    schema = committed_schema(topic, version)
    assert schema is not None
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_every_event_has_a_topic_and_every_topic_of_the_loop_is_declared() -> None:
    assert sorted(event for one in declarations().values() for event in one.events) == sorted(event_types())
    assert list(declarations()) == [
        "manifests",
        "express-cargo",
        "passengers",
        "screened",
        "filtered",
        "decisions",
        "alerts",
        "casework",
        "inspection-results",
        "labelled-examples",
        "criteria",
        "risk-information",
        "monitoring",
    ]
    for name, kind in event_types().items():
        assert name in topic_of(kind).events


def test_every_topic_has_its_own_dead_letter_topic_that_holds_its_largest_record() -> None:
    assert list(dead_letter_topics()) == [f"{topic}-dlq" for topic in declarations()]
    for one in declarations().values():
        assert one.max_message_bytes < DEAD_LETTER_MAX_BYTES


def test_what_workers_pass_on_has_room_for_the_largest_lodgement_and_what_they_add_to_it() -> None:
    for topic in ("screened", "filtered", "decisions", "alerts"):
        assert declaration(topic).max_message_bytes >= 1.5 * MAX_RECORD_BYTES
    assert {one.topic for one in declarations().values() if one.written_by_workers} == {
        "screened", "filtered", "decisions", "alerts", "labelled-examples", "monitoring",
    }  # fmt: skip


def test_state_can_be_rebuilt_because_topics_are_kept_longer_than_it_reaches_back() -> None:
    days = {topic: one.retention_ms / DAY_MS for topic, one in declarations().items()}
    assert days["screened"] > 7
    assert days["decisions"] > 35
    assert days["alerts"] > 30
    assert days["inspection-results"] > 30
    assert {topic for topic, kept in days.items() if kept < 0} == {"labelled-examples", "criteria", "risk-information"}


def test_steps_that_share_a_partition_share_its_class() -> None:
    for topic in ("filtered", "decisions", "alerts", "casework", "inspection-results"):
        assert declaration(topic).partitions == "control-points"
    for topic in ("labelled-examples", "criteria", "risk-information", "monitoring"):
        assert declaration(topic).one_partition


def test_brokers_refuse_lodgements_from_the_future() -> None:
    for topic in ("manifests", "express-cargo", "passengers"):
        assert declaration(topic).kafka_config["message.timestamp.after.max.ms"] == "900000"


@pytest.mark.parametrize(("topic", "version"), VERSIONS)
def test_examples_are_valid_and_several(topic: str, version: int) -> None:
    found = examples(topic, version)
    assert len(found) >= 3
    check = validator(topic, version)
    for name, value in found.items():
        errors = [f"{name}: {error.json_path}: {error.message}" for error in check.iter_errors(json.loads(value))]
        assert not errors
    said = {json.loads(value)["event"] for value in found.values()}
    assert said == set(declaration(topic).events)


@pytest.mark.parametrize("topic", TOPICS)
def test_examples_are_written_the_way_events_are_encoded(topic: str) -> None:
    for name, value in examples(topic, declaration(topic).version).items():
        event = decode(topic, value)
        if topic != "manifests":  # an envelope keeps its consignments as they came
            assert json.loads(encode(event)) == json.loads(value), name


@pytest.mark.parametrize("name", sorted(event_types()))
def test_what_a_type_allows_its_schema_allows(name: str) -> None:
    kind = event_types()[name]
    check = validator(topic_of(kind).topic, topic_of(kind).version)

    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(events(kind))
    def allowed(event: Any) -> None:
        check.validate(json.loads(encode(event)))

    allowed()


def test_examples_of_knowledge_are_ones_that_could_be_published() -> None:
    for value in examples("criteria", 1).values():
        check_criterion(decode("criteria", value))
    for value in examples("risk-information", 1).values():
        check_entry(decode("risk-information", value))


# Names of fields that are about persons wherever they stand, whole words only.
_PERSONAL_WORD = re.compile(
    r"(^|_)(name|names|address|identifier|identifiers|number|document|documents|birth|birth_date|birth_year|"
    r"gender|nationality|family|given|officer|author|note|by|why|locator|email|phone)($|_)"
)
# Fields that the pattern finds and that are about things, or are pseudonyms; each with its reason.
_NOT_PERSONAL = {
    "conveyance.name": "a ship's name",
    "conveyance.identifier": "an IMO number or a registration",
    "containers[].number": "an ISO 6346 container number",
    "document": "the whole travel document: its fields are marked",
    "traveller.document": "a pseudonym",
    "traveller.document_issuer": "a country",
    "traveller.document_kind": "passport or identity card",
    "traveller.document_days_left": "days of validity",
    "why": "the kind of quarantine, one of three words",
    "given_at": "a time",
    "given_up_at": "a time",
    "by_layer": "counts",
    "by_criterion": "counts",
}


@pytest.mark.parametrize("topic", TOPICS)
def test_every_field_about_a_person_is_marked(topic: str) -> None:
    declared = declaration(topic)
    marked = {path.split(":")[-1] for path in personal_fields(topic)}
    unmarked = [
        path
        for path in _paths(topic_schema(declared), declared.events)
        if _PERSONAL_WORD.search(path.rsplit(".", 1)[-1].removesuffix("[]"))
        and path not in marked
        and f"{path}[]" not in marked
        and not any(path == thing or path.endswith(f".{thing}") for thing in _NOT_PERSONAL)
    ]
    assert unmarked == []


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_says_that_it_holds_personal_data_exactly_when_a_field_is_marked(topic: str) -> None:
    personal = declaration(topic).personal
    assert personal.holds == bool(personal_fields(topic))
    assert bool(personal.subjects) == personal.holds


def test_decisions_and_monitoring_name_nobody() -> None:
    assert personal_fields("decisions") == ()
    assert personal_fields("monitoring") == ()


def test_keys_never_hold_a_name_or_a_document() -> None:
    assert "pseudonym" in declaration("screened").key
    assert "never the document itself" in declaration("passengers").key


def test_no_example_is_of_a_real_document() -> None:
    for path in Path("schemas/examples/passengers/v1").glob("*.json"):
        assert re.search(r"0000000", json.loads(path.read_text())["document"]["number"])


def _paths(schema: dict[str, Any], events: tuple[str, ...]) -> set[str]:
    found: set[str] = set()

    def walk(one: dict[str, Any], path: str, above: tuple[str, ...]) -> None:
        if path:
            found.add(path)
        if ref := one.get("$ref"):
            if ref not in above:
                walk(schema["$defs"][ref.removeprefix("#/$defs/")], path, (*above, ref))
            return
        for inner in one.get("anyOf", ()):
            walk(inner, path, above)
        for name, field in one.get("properties", {}).items():
            walk(field, f"{path}.{name}" if path else name, above)
        if isinstance(one.get("items"), dict):
            walk(one["items"], f"{path}[]", above)

    for event in events:
        walk({"$ref": f"#/$defs/{event}"}, "", ())
    return found
