"""The topics as they are declared in `schemas/topics/<topic>.yaml`: the one place that says what a topic is.

Topic creation, the codec, the JSON Schemas, the AsyncAPI document and docs/topics-and-schemas.md are all made from
these declarations. Reading them touches package files only; nothing is read at import.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

from schemas import casework, decisions, inspections, items, knowledge, lodgements, monitoring

DEAD_LETTER_SUFFIX = "-dlq"
DEAD_LETTER_MAX_BYTES = 2_097_152
"""A dead letter holds the source's whole record and the headers that say where it came from and why."""

_STEPS = frozenset({"screening", "filtering", "selection", "reevaluation"})

Spread = Literal["lodgements", "subjects", "control-points", "one"]
"""How a topic is partitioned. All topics of one class have the same number of partitions, so that a key is in the same
partition of each; `one` is exactly one partition: a log whose order every worker follows."""

Compatibility = Literal["BACKWARD_TRANSITIVE", "NONE"]
Slug = Annotated[str, Meta(pattern="^[a-z][a-z-]*$", max_length=64)]


class PersonalData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether records hold personal data, of whom, and how long they may. Paths are in `schemas.personal`."""

    holds: bool
    subjects: tuple[str, ...] = ()
    note: str = ""


class TopicDeclaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One topic. `version` is that of its events' schema: today's types read every version from 1 up to it.

    `retention_ms` -1 keeps records for ever; `timestamp_after_max_ms` is the broker's bound on lodgers' clocks.
    """

    topic: Slug
    description: str
    key: str
    version: Annotated[int, Meta(ge=1, le=999)]
    events: Annotated[tuple[str, ...], Meta(min_length=1)]
    owner: Slug
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: Spread
    compatibility: Compatibility = "BACKWARD_TRANSITIVE"
    cleanup_policy: Literal["delete", "compact"] = "delete"
    retention_ms: Annotated[int, Meta(ge=-1)]
    max_message_bytes: Annotated[int, Meta(ge=1024)] = 1_048_588
    timestamp_after_max_ms: Annotated[int, Meta(ge=0)] | None = None
    personal: PersonalData
    dead_letter_topic: Slug

    @property
    def one_partition(self) -> bool:
        """Whether the topic must have exactly one partition."""
        return self.partitions == "one"

    @property
    def written_by_workers(self) -> bool:
        """Whether a step writes to it, so that its records follow from others."""
        return not _STEPS.isdisjoint(self.producers)

    @property
    def tombstones(self) -> bool:
        """Whether a null value is meaningful: on a compacted topic it ends the entry of its key."""
        return self.cleanup_policy == "compact"

    @property
    def kafka_config(self) -> dict[str, str]:
        """The topic's Kafka configuration, as the admin protocol takes it."""
        config = {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "CreateTime",
            "compression.type": "producer",  # to pack anew a broker unpacks in its memory, without a bound
        }
        if self.timestamp_after_max_ms is not None:
            config["message.timestamp.after.max.ms"] = str(self.timestamp_after_max_ms)
        return config

    @property
    def types(self) -> tuple[type[msgspec.Struct], ...]:
        """The msgspec types of the events, in the order of the declaration."""
        return tuple(event_types()[name] for name in self.events)

    def ce_type(self, event: str, version: int | None = None) -> str:
        """The CloudEvents `ce_type` of an event, e.g. `borderflow.ManifestLodged.v1`; None: the current version."""
        return f"borderflow.{event}.v{version or self.version}"


class DeadLetterTopic(msgspec.Struct, frozen=True, kw_only=True):
    """Where what cannot be read or decided goes: the source's raw bytes and key, one partition, kept 90 days."""

    topic: str
    source: TopicDeclaration
    retention_ms: int = 90 * 24 * 3600 * 1000

    @property
    def kafka_config(self) -> dict[str, str]:
        """The topic's Kafka configuration. The record's time is that of the dead letter, not of the source."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(DEAD_LETTER_MAX_BYTES),
            "message.timestamp.type": "CreateTime",
            "compression.type": "producer",  # to pack anew a broker unpacks in its memory, without a bound
        }


@cache
def event_types() -> MappingProxyType[str, type[msgspec.Struct]]:
    """Every event type of `schemas`, by its tag."""
    found: dict[str, type[msgspec.Struct]] = {}
    for module in (lodgements, items, decisions, inspections, casework, knowledge, monitoring):
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, msgspec.Struct)
                and value.__module__ == module.__name__
                and isinstance(value.__struct_config__.tag, str)
            ):
                found[value.__struct_config__.tag] = value
    return MappingProxyType(found)


@cache
def declarations() -> MappingProxyType[str, TopicDeclaration]:
    """Every declared topic by name, in the order of the flow.

    Raises `ValueError` naming the file when a declaration is malformed, names an event that has no type, or when one
    event is declared on two topics.
    """
    read: dict[str, TopicDeclaration] = {}
    for file in resources.files("schemas").joinpath("topics").iterdir():
        if not file.name.endswith(".yaml"):
            continue
        try:
            one = msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), TopicDeclaration)
        except (yaml.YAMLError, msgspec.ValidationError) as error:
            raise ValueError(f"schemas/topics/{file.name}: {error}") from error
        if file.name != f"{one.topic}.yaml":
            raise ValueError(f"schemas/topics/{file.name}: declares topic {one.topic}")
        for event in one.events:
            if event not in event_types():
                raise ValueError(f"schemas/topics/{file.name}: no such event {event}")
        read[one.topic] = one
    carried = [event for one in read.values() for event in one.events]
    if doubled := sorted({name for name in carried if carried.count(name) > 1}):
        raise ValueError(f"schemas/topics: declared on more than one topic: {', '.join(doubled)}")
    return MappingProxyType({name: read[name] for name in sorted(read, key=_place_in_flow)})


@cache
def dead_letter_topics() -> MappingProxyType[str, DeadLetterTopic]:
    """Every dead-letter topic by name, in the order of their sources."""
    return MappingProxyType(
        {
            one.dead_letter_topic: DeadLetterTopic(topic=one.dead_letter_topic, source=one)
            for one in declarations().values()
        }
    )


def declaration(topic: str) -> TopicDeclaration:
    """The declaration of one topic. Raises `KeyError` when there is none."""
    return declarations()[topic]


@cache
def topic_of(event: type[msgspec.Struct]) -> TopicDeclaration:
    """The one topic that carries `event`. Raises `KeyError` when none does."""
    for one in declarations().values():
        if event in one.types:
            return one
    raise KeyError(f"no topic carries {event.__name__}")


_FLOW = (
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
)


def _place_in_flow(topic: str) -> tuple[int, str]:
    return (_FLOW.index(topic) if topic in _FLOW else len(_FLOW), topic)
