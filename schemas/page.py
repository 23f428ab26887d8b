"""`docs/topics-and-schemas.md`: written from the topic declarations and the types (`python -m schemas.page`)."""

from __future__ import annotations

from pathlib import Path

from schemas.documents import schema_path
from schemas.personal import personal_fields
from schemas.registry import DEAD_LETTER_MAX_BYTES, TopicDeclaration, dead_letter_topics, declarations

PATH = Path("docs/topics-and-schemas.md")

REFUSED_FROM = ("manifests", "express-cargo", "passengers", "screened", "filtered", "inspection-results")
"""The topics that a step takes in: only of these there are dead letters."""

_HEAD = """\
# Topics and schemas

This page is written from `schemas/topics/*.yaml` and the event types (`make generate`); a test compares the two.
`schemas/asyncapi.yaml` says the same to programs.

## Records

A record's value is one JSON object, an event: a fact in the past tense. Its CloudEvents 1.0 attributes are Kafka
headers (binary mode): `ce_specversion`, `ce_id`, `ce_type`, `ce_source`, `ce_time` and `content-type`.

- `ce_type` is `borderflow.<Event>.v<N>`. A lodgement without it is read as the topic's current version. A type or a
  version that the topic does not carry is dead-lettered as `unknown-schema-version`.
- `ce_id` of what a step writes is a hash of the step and of the record that this one follows from: the same after any
  redelivery. Delivery is at least once, so a consumer drops what it has seen.
- `ce_time` is when the record was sent. The Kafka timestamp is event time. For lodgements, and for what follows from
  them, that is when the lodgement says it was lodged. For results and lessons it is when the result was reported, not
  when the inspection was: replays and simulations know a result from then on.
- Producers may compress with gzip, snappy, lz4 or zstd, or not at all: every reader of borderflow reads all of them.
  A batch may unpack to 16 MiB, and a record may have 1,000 headers. Records of a larger batch, or of one that cannot be
  parsed, are dead-lettered as `unreadable-record`. Java's producers measure a batch when it is packed: give them a
  `batch.size` of 500,000 at most.
- Fields that have their default are left out. Fields that a reader does not know are passed over.
- A value from outside may have 1,000,000 bytes. What workers write holds such a value and more: `screened`, `filtered`,
  `decisions` and `alerts` take records of 1.5 MiB.
- Times are RFC 3339 with a zone. NaN and Infinity are not JSON and are refused.

## Topics

"""

_DEAD_LETTERS = """\
## Dead letters

What a step refuses goes to the dead-letter topic of the topic that it came from: `<topic>-dlq`, one partition, kept
{kept:g} days, records of at most {bytes:,} bytes, with the personal data of its source. Key, value and headers are
the source's, so whatever reads the source reads the letter. `borderflow dlq show` does; `dead-letter-desk` and
`archive` in `ops/acls.yaml` may. Of several letters of one record only the first has its value, and key and headers
where these are more than a kilobyte. These headers are added, each a text:

| header | what it says |
|---|---|
| `dlq-topic`, `dlq-partition`, `dlq-offset`, `dlq-timestamp` | where the source stands, and its timestamp (ms) |
| `dlq-step` | the step that refused it |
| `dlq-reason` | why, one of [these words](refusals-and-indicators.md#refusals) |
| `dlq-field` | the field that is wrong, empty when it is not about one |
| `dlq-error` | more about it, never a value that may be personal |
| `dlq-index`, `dlq-item-id` | the refused item's place in its lodgement, and its id; empty for a whole record |
| `dlq-attempt` | how often it has been refused: 1, and more after it was sent again |
| `dlq-omitted-bytes` | only where the value was left out: another letter of its source has it, or it is too large |

Letters come from `manifests`, `express-cargo`, `passengers`, `screened`, `filtered` and `inspection-results`, the
topics that a step takes in. Nothing is refused from the other topics, and their dead-letter topics stay empty. A
record of `criteria`, `risk-information` or `labelled-examples` that cannot be read is passed over, and the alert
[FollowerSkipped](operations.md#followerskipped) tells of it.

A letter is written again when its source is read again: topic, partition, offset and index together say which. A record
with the header `dlq-redriven-offset` is no letter: it marks one that was sent again (`borderflow dlq redrive`).

"""

_VERSIONS = """\
## Versions

The types in `schemas/*.py` are the source; `schemas/json/<topic>.v<N>.schema.json` is committed beside them, and
`schemas/examples/<topic>/v<N>/` holds examples. Compatibility is BACKWARD_TRANSITIVE: today's types read every record
that any committed version allows, because history is replayed for years.

`borderflow schemas check` compares today's types with every committed schema and names the topic, version, field and
reason of what could not be read: a new required field, a narrower type, bound, pattern or word list, an event taken off
a topic, and a changed default (defaults are left out when an event is written, so an old record would change its
meaning). `borderflow schemas generate` writes the files again, and refuses when that would hide such a change.

To change an event: add an optional field, run `make generate`, and review the difference. For a change of meaning,
raise `version` in the topic's declaration; the schemas of earlier versions stay.

## Fields about persons

The marks are `x-personal` in the schemas (`borderflow schemas personal`). [Security and
privacy](security-and-privacy.md#personal-data) says what follows from them.

"""


def topics_page() -> str:
    """The text of the page."""
    rows = ["| topic | key | events | partitions | kept | personal data |", "|---|---|---|---|---|---|"]
    rows += [_row(one) for one in declarations().values()]
    about = ["", "`partitions`: topics of one class have the same number of partitions; `one` is exactly one.", ""]
    sections = [line for one in declarations().values() for line in _section(one)]
    personal = [f"- {one.topic}: {_fields(one.topic)}" for one in declarations().values() if one.personal.holds]
    any_of_them = next(iter(dead_letter_topics().values()))
    buried = _DEAD_LETTERS.format(kept=any_of_them.retention_ms / 86_400_000, bytes=DEAD_LETTER_MAX_BYTES)
    return _HEAD + "\n".join([*rows, *about, *sections]) + "\n" + buried + _VERSIONS + "\n".join(personal) + "\n"


def _row(one: TopicDeclaration) -> str:
    kept = "for ever" if one.retention_ms < 0 else f"{one.retention_ms / 86_400_000:g} days"
    if one.tombstones:
        kept += ", the latest of each key"
    events = ", ".join(one.events)
    personal = ", ".join(one.personal.subjects) or "none"
    return f"| [{one.topic}](#{one.topic}) | {one.key} | {events} | {one.partitions} | {kept} | {personal} |"


def _section(one: TopicDeclaration) -> list[str]:
    schema = f"schemas/{schema_path(one.topic, one.version)}"
    refused = f"; what cannot be read or decided goes to `{one.dead_letter_topic}`" if one.topic in REFUSED_FROM else ""
    facts = [
        f"- from {', '.join(one.producers)}; read by {', '.join(one.consumers)}; owner: {one.owner}",
        f"- schema: [{schema}](../{schema}){refused}",
    ]
    if one.timestamp_after_max_ms is not None:
        facts.append(f"- brokers refuse records stamped more than {one.timestamp_after_max_ms // 60_000} minutes ahead")
    if one.personal.note:
        facts.append(f"- personal data: {one.personal.note}")
    return [f"### {one.topic}", "", one.description, "", *facts, ""]


def _fields(topic: str) -> str:
    return ", ".join(f"`{path}`" for path in personal_fields(topic))


if __name__ == "__main__":
    PATH.write_text(topics_page(), encoding="utf-8")
