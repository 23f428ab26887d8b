"""`schemas/asyncapi.yaml`: the topics as an AsyncAPI 3.0 document, for those who integrate with borderflow.

It is made from the topic declarations and says, for every topic, who sends and who receives, the key, the CloudEvents
headers, the Kafka settings, and which fields are about persons (`x-personal`). Payloads point to the committed schemas.
What is refused has a channel of its own for each topic; its payload is whatever was sent.
"""

from __future__ import annotations

from typing import Any

import yaml

from schemas.documents import schema_path
from schemas.personal import personal_fields
from schemas.registry import (
    DEAD_LETTER_MAX_BYTES,
    DeadLetterTopic,
    TopicDeclaration,
    dead_letter_topics,
    declarations,
    event_types,
)

ASYNCAPI_PATH = "asyncapi.yaml"
_STEPS = frozenset({"screening", "filtering", "selection", "reevaluation"})
_SCHEMA_FORMAT = "application/schema+json;version=2020-12"
_BINDING = "0.5.0"
_LETTER = "DeadLetter"
_LETTER_HEADERS = {
    "dlq-topic": "Where the refused record stands.",
    "dlq-partition": "Its partition.",
    "dlq-offset": "Its offset.",
    "dlq-timestamp": "Its timestamp, in milliseconds.",
    "dlq-step": "The step that refused it.",
    "dlq-reason": "Why: one of the words of docs/refusals-and-indicators.md.",
    "dlq-field": "The field that is wrong; empty when it is not about one.",
    "dlq-error": "More about it, never a value that may be personal.",
    "dlq-index": "The refused item's place in its lodgement; empty for a whole record.",
    "dlq-item-id": "The item; empty where it could not be read.",
    "dlq-attempt": "How often it has been refused.",
    "dlq-omitted-bytes": "Only where the value was left out: how many bytes it has.",
    "dlq-redriven-offset": "Only in a record that is no letter: the letter at this offset was sent again.",
}
Document = dict[str, Any]


def asyncapi_document() -> Document:
    """The document: one channel a topic, one message an event, and an operation where borderflow sends or receives.

    Dead-letter topics have no operations: whichever step refuses writes to them.
    """
    declared = declarations().values()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "borderflow",
            "version": f"{max(one.version for one in declared)}.0.0",
            "description": (
                "Real-time border selectivity. Records are JSON, CloudEvents 1.0 in binary mode: the attributes are "
                "Kafka headers, the value is the event. Delivery is at least once; ce_id is equal after any "
                "redelivery, so consumers drop what they have seen."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            **{one.topic: _channel(one) for one in declared},
            **{one.topic: _letters(one) for one in dead_letter_topics().values()},
        },
        "operations": dict(sorted(operation for one in declared for operation in _operations(one))),
        "components": {
            "messages": {
                **{name: _message(one, name) for one in declared for name in one.events},
                _LETTER: _letter(),
            },
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
        },
    }


def render_asyncapi() -> str:
    """The text of the committed document."""
    head = "# Generated from schemas/topics/*.yaml by `borderflow schemas generate`; do not edit.\n"
    return head + yaml.safe_dump(asyncapi_document(), sort_keys=False, allow_unicode=True, width=120)


def _channel(one: TopicDeclaration) -> Document:
    settings: Document = {
        "cleanup.policy": [one.cleanup_policy],
        "retention.ms": one.retention_ms,
        "max.message.bytes": one.max_message_bytes,
    }
    kafka: Document = {"topic": one.topic, "topicConfiguration": settings, "bindingVersion": _BINDING}
    if one.one_partition:
        kafka["partitions"] = 1
    return {
        "address": one.topic,
        "description": one.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in one.events},
        "bindings": {"kafka": kafka},
        "x-owner": one.owner,
        "x-producers": list(one.producers),
        "x-consumers": list(one.consumers),
        "x-partitions": one.partitions,
        "x-compatibility": one.compatibility,
        "x-dead-letter-topic": one.dead_letter_topic,
        "x-personal": {
            "holds": one.personal.holds,
            "subjects": list(one.personal.subjects),
            "note": one.personal.note,
        },
    }


def _letters(one: DeadLetterTopic) -> Document:
    source = one.source
    settings: Document = {
        "cleanup.policy": ["delete"],
        "retention.ms": one.retention_ms,
        "max.message.bytes": DEAD_LETTER_MAX_BYTES,
    }
    kafka: Document = {
        "topic": one.topic, "partitions": 1, "topicConfiguration": settings, "bindingVersion": _BINDING,
    }  # fmt: skip
    return {
        "address": one.topic,
        "description": f"What of {source.topic} could not be read or decided.",
        "messages": {_LETTER: {"$ref": f"#/components/messages/{_LETTER}"}},
        "bindings": {"kafka": kafka},
        "x-source": source.topic,
        "x-personal": {"holds": source.personal.holds, "subjects": list(source.personal.subjects)},
    }


def _letter() -> Document:
    """A letter of any topic. Its payload is the refused record's, which need not be JSON."""
    return {
        "name": _LETTER,
        "title": _LETTER,
        "summary": "A refused record: its own key, value and headers, and headers that say where it stands and why.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", "description": said} for name, said in _LETTER_HEADERS.items()},
        },
        "bindings": {
            "kafka": {"key": {"type": "string", "description": "The source's key."}, "bindingVersion": _BINDING}
        },
    }


def _message(one: TopicDeclaration, event: str) -> Document:
    kind = event_types()[event]
    fields = personal_fields(one.topic)
    if len(one.events) > 1:
        fields = tuple(path.removeprefix(f"{event}:") for path in fields if path.startswith(f"{event}:"))
    return {
        "name": event,
        "title": event,
        "summary": (kind.__doc__ or event).strip().splitlines()[0],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "headers": {
            "type": "object",
            "required": ["ce_type"],
            "properties": {"ce_type": {"type": "string", "const": one.ce_type(event)}},
        },
        "payload": {
            "schemaFormat": _SCHEMA_FORMAT,
            "schema": {"$ref": f"./{schema_path(one.topic, one.version)}#/$defs/{event}"},
        },
        "bindings": {"kafka": {"key": {"type": "string", "description": one.key}, "bindingVersion": _BINDING}},
        "x-personal": list(fields),
    }


def _headers() -> Document:
    """The attributes that every record carries. A lodgement without ce_type is read as the topic's current version."""
    texts = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "Equal after any redelivery of the same record."},
        "ce_source": {"type": "string", "description": "/<group>/<step> of a worker, or the URI of the sender."},
        "ce_time": {"type": "string", "format": "date-time", "description": "When the record was sent, UTC."},
        "content-type": {"type": "string", "const": "application/json"},
    }
    return {"type": "object", "properties": texts}


def _operations(one: TopicDeclaration) -> list[tuple[str, Document]]:
    found: list[tuple[str, Document]] = []
    for action, parties in (("receive", one.consumers), ("send", one.producers)):
        for step in (party for party in parties if party in _STEPS):
            operation = {
                "action": action,
                "channel": {"$ref": f"#/channels/{one.topic}"},
                "summary": f"{step} {'reads' if action == 'receive' else 'writes'} {one.topic}",
            }
            found.append((f"{step}.{action}.{one.topic}", operation))
    return found
