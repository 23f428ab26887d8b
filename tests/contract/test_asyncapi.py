"""The AsyncAPI document is valid, says what the declarations say, and points at schemas that exist."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agents.step import Refusal
from schemas.asyncapi import ASYNCAPI_PATH, asyncapi_document
from schemas.codec import ce_type_of
from schemas.personal import personal_fields
from schemas.registry import dead_letter_topics, declarations, event_types
from streams.archive.rows import Archived
from streams.commands.schemas import package_folder
from streams.deadletter import OMITTED, dead_letter
from streams.redrive import MARKER

# The AsyncAPI 3.0.0 JSON Schema of the AsyncAPI Initiative (npm @asyncapi/specs 6.11.1, Apache-2.0), unchanged.
META = Path(__file__).parent / "asyncapi-3.0.0.schema.json.gz"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((package_folder() / ASYNCAPI_PATH).read_text())
    return read


def test_the_document_is_valid_asyncapi_3(document: dict[str, Any]) -> None:
    schema = json.loads(gzip.decompress(META.read_bytes()))
    errors = [
        f"{one.json_path}: {one.message[:200]}" for one in jsonschema.Draft7Validator(schema).iter_errors(document)
    ]
    assert errors == []


def test_the_validation_finds_what_is_wrong(document: dict[str, Any]) -> None:
    schema = json.loads(gzip.decompress(META.read_bytes()))
    wrong = {**document, "operations": {"x": {"action": "publish", "channel": {"$ref": "#/channels/alerts"}}}}
    assert not jsonschema.Draft7Validator(schema).is_valid(wrong)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return here + [found for inner in value.values() for found in references(inner)]
        if isinstance(value, list):
            return [found for inner in value for found in references(inner)]
        return []

    found = references(document)
    assert len(found) > 40
    for reference in found:
        file, _, pointer = reference.partition("#")
        place: Any = json.loads((package_folder() / file).read_text()) if file else document
        for step in pointer.strip("/").split("/"):
            place = place[step]
        assert place


def test_every_topic_is_a_channel_and_every_event_a_message(document: dict[str, Any]) -> None:
    assert list(document["channels"]) == [*declarations(), *dead_letter_topics()]
    assert sorted(document["components"]["messages"]) == sorted([*event_types(), "DeadLetter"])
    for one in declarations().values():
        kafka = document["channels"][one.topic]["bindings"]["kafka"]
        assert kafka["topicConfiguration"]["retention.ms"] == one.retention_ms
        assert kafka.get("partitions") == (1 if one.one_partition else None)


def test_messages_say_their_type_and_their_personal_fields(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    for name, kind in event_types().items():
        assert messages[name]["headers"]["properties"]["ce_type"]["const"] == ce_type_of(kind)
    assert messages["PassengerExpected"]["x-personal"] == list(personal_fields("passengers"))
    assert messages["ModelPromoted"]["x-personal"] == ["by", "why"]
    assert messages["OutcomeLearned"]["x-personal"] == []


def test_dead_letters_have_a_channel_with_the_headers_that_a_letter_has(document: dict[str, Any]) -> None:
    for one in dead_letter_topics().values():
        channel = document["channels"][one.topic]
        kafka = channel["bindings"]["kafka"]
        assert (channel["address"], channel["x-source"], kafka["partitions"]) == (one.topic, one.source.topic, 1)
        said = {name: value for name, value in one.kafka_config.items() if name in kafka["topicConfiguration"]}
        assert said == {
            name: ",".join(value) if isinstance(value, list) else str(value)
            for name, value in kafka["topicConfiguration"].items()
        }
        assert channel["x-personal"]["holds"] == one.source.personal.holds
    lodged = Archived("manifests", 0, 7, 0, b"key", b"{}", [("ce_id", b"x")])
    letter = dead_letter(lodged, Refusal(7, "not-json", "", ""), "screening", 0)
    assert not isinstance(letter.headers, bytes)
    described = document["components"]["messages"]["DeadLetter"]["headers"]["properties"]
    ours = {name for name, _ in letter.headers if name.startswith("dlq-")}
    assert set(described) == {*ours, OMITTED, MARKER}


def test_it_says_which_step_reads_and_writes_what(document: dict[str, Any]) -> None:
    assert document["operations"]["selection.send.alerts"]["action"] == "send"
    assert document["operations"]["screening.receive.manifests"]["action"] == "receive"
    assert asyncapi_document() == document
