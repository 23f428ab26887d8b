"""Sends what a replay decides to topics of its own: never to one that lives."""

from __future__ import annotations

import contextlib
import re
from typing import Final

from kafka import KafkaProducer
from kafka.errors import TopicAlreadyExistsError

from agents.step import Output
from schemas.codec import ce_type_of, encode
from schemas.registry import dead_letter_topics, declarations
from streams.archive.layout import ArchiveError
from streams.settings import Settings
from streams.topics import admin
from streams.wire import cloud_event, rfc3339

SENT: Final = ("decisions", "alerts", "monitoring")
_PREFIX: Final = re.compile(r"^[a-z0-9][a-z0-9.-]{0,62}[.-]$")


def replay_topics(prefix: str) -> dict[str, str]:
    """Where outputs of each topic go. Raises `ArchiveError` for a prefix that could name a live topic."""
    if not _PREFIX.match(prefix):
        raise ArchiveError(f"--prefix: {prefix!r} must be lower case and end with a dash or a dot, as `replay-`")
    named = {topic: prefix + topic for topic in SENT}
    live = {*declarations(), *dead_letter_topics()}
    if taken := sorted(live & set(named.values())):
        raise ArchiveError(f"--prefix: {taken[0]} is a live topic")
    return named


class TopicSink:
    """Produces outputs to prefixed topics, which it creates. `at_ms` (event time) stays the records' timestamp."""

    def __init__(self, settings: Settings, prefix: str, partitions: int) -> None:
        self._topics = replay_topics(prefix)
        with admin(settings) as client, contextlib.suppress(TopicAlreadyExistsError):
            client.create_topics(
                {
                    name: {"num_partitions": partitions, "replication_factor": settings.replication}
                    for name in self._topics.values()
                },
                wait_for_metadata=True,
            )
        self._producer = KafkaProducer(
            **settings.client_options(),
            client_id=f"{settings.group}-replay",
            acks="all",
            enable_idempotence=settings.idempotence,
        )

    def send(self, outputs: list[Output]) -> None:
        """Deliver outputs; raises the client's `KafkaError` when one is not delivered."""
        sent = [
            self._producer.send(
                self._topics[one.topic],
                value=encode(one.event),
                key=one.key.encode(),
                headers=cloud_event(
                    one.ce_id, ce_type_of(type(one.event)), b"/borderflow/replay", rfc3339(one.at_ms / 1000)
                ),
                partition=one.partition,
                timestamp_ms=one.at_ms,
            )
            for one in outputs
        ]
        self._producer.flush()
        for future in sent:
            future.get(timeout=60)

    def close(self) -> None:
        """Let go of the connection."""
        self._producer.close()
