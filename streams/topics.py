"""Creates, lists and describes the topics of the loop from their declarations in `schemas/topics/`.

Creation is idempotent: what exists is left as it is, and where it differs from its declaration that is said. Changing
a live topic (more partitions move keys, retention deletes history) is a person's decision, made with Kafka's tools.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.registry import dead_letter_topics, declaration, declarations
from streams.deadletter import dead_letter_topic

if TYPE_CHECKING:
    from agents.step import Memory, Step
    from streams.settings import Settings

_ANSWER_S = 10.0
"""Seconds that brokers have to answer at all: a person waits at a terminal."""


_DAY_MS = 86_400_000
_SLACK_MS = 6 * 3_600_000
"""What is lodged now must be there for some hours yet."""


class RetentionTooShortError(ValueError):
    """A topic keeps its records for less time than they are needed for."""


class TopicsUnfitError(LookupError):
    """Topics that a worker needs are missing, or do not have the partitions that its steps count on."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the brokers have it; `config` is empty when they do not say (the embedded broker)."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Created:
    """What `create` did to one topic. `differences` are sentences, none when the topic is as declared.

    `command` is the one of Kafka's that gives it the settings that it is declared with; None where it has them.
    """

    name: str
    created: bool
    differences: tuple[str, ...] = field(default=())
    command: str | None = None


def wanted_topics(settings: Settings) -> tuple[Wanted, ...]:
    """Every declared topic and its dead-letter topic, with this cluster's partitions and replication.

    With three replicas or more a write needs all but one of them, so that one broker may be away.
    """
    durable = {"min.insync.replicas": str(max(1, settings.replication - 1))}
    items = [
        Wanted(
            one.topic,
            1 if one.one_partition else settings.partitions,
            settings.replication,
            {**one.kafka_config, **durable},
        )
        for one in declarations().values()
    ]
    buried = [
        Wanted(one.topic, 1, settings.replication, {**one.kafka_config, **durable})
        for one in dead_letter_topics().values()
    ]
    return (*items, *buried)


@contextlib.contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An admin client for these brokers. Raises kafka-python's `KafkaError` when they cannot be reached."""
    client = KafkaAdminClient(
        **settings.client_options(),
        client_id=f"{settings.group}-admin",
        bootstrap_timeout_ms=int(min(_ANSWER_S, settings.request_timeout_s) * 1000),
    )
    try:
        yield client
    finally:
        client.close()


def create_topics(settings: Settings) -> tuple[Created, ...]:
    """Create what is missing; say what differs in what is there. Raises kafka-python's `KafkaError`."""
    wanted = wanted_topics(settings)
    with admin(settings) as client:
        there = {one.name: one for one in _found(client, [one.name for one in wanted])}
        missing = [one for one in wanted if one.name not in there]
        if missing:
            # Another tool may create the same topics at this moment.
            with contextlib.suppress(TopicAlreadyExistsError):
                client.create_topics(
                    {
                        one.name: {
                            "num_partitions": one.partitions,
                            "replication_factor": one.replication,
                            "configs": one.config,
                        }
                        for one in missing
                    },
                    wait_for_metadata=True,
                )
            there |= {one.name: one for one in _found(client, [one.name for one in missing])}
    created = {one.name for one in missing}
    return tuple(
        Created(
            one.name,
            one.name in created,
            tuple(topic_differences(one, there.get(one.name))),
            altering(one, there.get(one.name), settings.brokers),
        )
        for one in wanted
    )


def describe_topics(client: KafkaAdminClient, settings: Settings) -> tuple[tuple[Wanted, Found | None], ...]:
    """Every declared topic as it should be, and as the brokers have it (None when it is missing)."""
    wanted = wanted_topics(settings)
    there = {one.name: one for one in _found(client, [one.name for one in wanted])}
    return tuple((one, there.get(one.name)) for one in wanted)


def needed_topics(steps: Iterable[Step], broadcast: Iterable[str]) -> tuple[str, ...]:
    """The topics of these steps and these broadcast topics, dead-letter topics too, each once."""
    needed: dict[str, None] = dict.fromkeys(broadcast)
    for step in steps:
        remembered = (memory.topic for memory in step.memory)
        needed |= dict.fromkeys((*step.inputs, *step.produces, *remembered))
        needed |= dict.fromkeys(dead_letter_topic(topic) for topic in step.inputs)
    return tuple(needed)


def check_topics(client: KafkaAdminClient, steps: Iterable[Step], broadcast: Iterable[str]) -> None:
    """Refuse to start without the topics of these steps and these broadcast topics.

    A log that a step's state is folded from must have as many partitions as the step's input, because the state of a
    partition is folded from the same partition of both. A broadcast topic has one, because only that is in one order
    for all. Raises `TopicsUnfitError` naming each topic.
    """
    steps, broadcast = tuple(steps), tuple(broadcast)
    needed = needed_topics(steps, broadcast)
    there = {one.name: one.partitions for one in _shapes(client, list(needed))}
    if missing := [name for name in needed if name not in there]:
        raise TopicsUnfitError(f"no such topic: {', '.join(missing)}: create them with `borderflow topics create`")
    for topic in broadcast:
        if there[topic] != 1:
            raise TopicsUnfitError(f"{topic} has {there[topic]} partitions: every worker folds it from exactly one")
    for step in steps:
        for memory in step.memory:
            for topic in step.inputs:
                if there[topic] != there[memory.topic]:
                    raise TopicsUnfitError(
                        f"{topic} has {there[topic]} partitions and {memory.topic} {there[memory.topic]}: "
                        f"{step.name} needs as many of both"
                    )


def check_history(settings: Settings, topics: Iterable[str], first: datetime) -> None:
    """Refuse to lodge history from `first` on where brokers would delete it.

    A record's timestamp is its event time, and retention goes by it. Raises `RetentionTooShortError`, which names the
    topics and says how to keep more. Brokers that do not tell are taken to keep everything.
    """
    back_ms = (datetime.now(UTC) - first).total_seconds() * 1000
    with admin(settings) as client:
        found = _configs(client, list(topics))
    kept = {name: int(config.get("retention.ms", "-1")) for name, config in found.items()}
    short = {name: ms for name, ms in kept.items() if 0 <= ms < back_ms + _SLACK_MS}
    if short:
        days = ", ".join(f"{name} keeps {ms / _DAY_MS:.3g} days" for name, ms in sorted(short.items()))
        raise RetentionTooShortError(
            f"what is lodged begins {back_ms / _DAY_MS:,.0f} days ago, and the brokers would delete it: {days}. "
            f"Keep more first, for example: for topic in {' '.join(sorted(short))}; do kafka-configs.sh "
            f"--bootstrap-server {settings.brokers} --alter --entity-type topics --entity-name $topic "
            f"--add-config retention.ms={math.ceil(back_ms / _DAY_MS + 30) * _DAY_MS}; done"
        )


def check_retention(memories: Iterable[Memory]) -> None:
    """Refuse a horizon that is longer than its topic's declared retention. Raises `RetentionTooShortError`."""
    for memory in memories:
        keeps = declaration(memory.topic).retention_ms
        if 0 <= keeps < memory.horizon.total_seconds() * 1000:
            raise RetentionTooShortError(
                f"topic {memory.topic!r} keeps records for {timedelta(milliseconds=keeps)}, "
                f"less than the horizon of {memory.horizon}"
            )


def _found(client: KafkaAdminClient, names: list[str]) -> list[Found]:
    shapes = _shapes(client, names)
    configs = _configs(client, [one.name for one in shapes])
    return [replace(one, config=configs.get(one.name, {})) for one in shapes]


def _shapes(client: KafkaAdminClient, names: list[str]) -> list[Found]:
    return [
        Found(
            one["name"],
            len(one["partitions"]),
            min((len(part["replica_nodes"]) for part in one["partitions"]), default=0),
            {},
        )
        for one in client.describe_topics(names)
        if one["error_code"] == 0  # neither missing nor hidden from this user
    ]


def _configs(client: KafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    try:
        said: dict[str, dict[str, dict[str, Any]]] = client.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in names], config_filter="all"
        )
    except KafkaError:  # brokers that do not tell
        return {}
    return {
        name: {key: str(value["value"] if isinstance(value, dict) else value) for key, value in entries.items()}
        for name, entries in said.get("topic", {}).items()
    }


def topic_differences(wanted: Wanted, found: Found | None) -> Iterator[str]:
    """Sentences on how one topic differs from its declaration."""
    if found is None:
        yield f"{wanted.name} does not exist, or this user may not see it"
        return
    if found.partitions != wanted.partitions:
        yield f"{wanted.name} has {found.partitions} partitions, declared {wanted.partitions}"
    if found.replication != wanted.replication:
        yield f"{wanted.name} has {found.replication} replicas, declared {wanted.replication}"
    for key, value in _other_settings(wanted, found).items():
        yield f"{wanted.name} has {key} {found.config[key]}, declared {value}"


def altering(wanted: Wanted, found: Found | None, brokers: str) -> str | None:
    """The command that gives a topic the settings that it is declared with; None where it has them, or is missing."""
    settings = {} if found is None else _other_settings(wanted, found)
    if not settings:
        return None
    return (
        f"kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {wanted.name} "
        f"--add-config {','.join(f'{key}={value}' for key, value in settings.items())}"
    )


def _other_settings(wanted: Wanted, found: Found) -> dict[str, str]:
    """What a topic is declared with and has otherwise."""
    return {key: value for key, value in wanted.config.items() if found.config.get(key, value) != value}
