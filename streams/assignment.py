"""Who gets which partitions: as few as possible move, and every worker has its share of every topic.

A partition that moves has its state rebuilt from the log by its new owner, so a takeover is as quick as few move.
Kafka's round robin moves nearly all of them when a worker goes; its sticky one moves few but evens out their number
over all topics together, and a worker could end up with all of one step's partitions.
docs/adr/0012-few-partitions-move.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

log = logging.getLogger("borderflow.assignment")

Held = Mapping[str, Iterable[int]]
"""Partitions by topic."""

_VERSION = 0


class FewMove(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka ships no types
    """The assignor of one consumer. A member that the group threw out (`evicted`) claims nothing of what it had."""

    name = "roundrobin"
    """So that workers that have aiokafka's own round robin may be in the group: they ignore what members claim."""

    def __init__(self, evicted: Callable[[], bool]) -> None:
        self._evicted = evicted
        self._held: dict[str, list[int]] = {}

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member subscribes to, and has."""
        if self._evicted():
            self._held = {}
        return ConsumerProtocolMemberMetadata(_VERSION, list(topics), msgspec.json.encode(self._held))

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """The leader's work: everybody's new partitions."""
        topics = {topic for one in members.values() for topic in one.subscription}
        if hidden := topics & cluster.unauthorized_topics:
            log.error(
                "no worker is given partitions of %s: this one gives out all of the group's, and these are hidden from "
                "its user; grant what ops/acls.yaml lists for its steps",
                ", ".join(sorted(hidden)),
            )
        partitions = {topic: sorted(cluster.partitions_for_topic(topic) or ()) for topic in sorted(topics)}
        subscribed = {member: set(one.subscription) for member, one in members.items()}
        shares = share_out(partitions, subscribed, {member: _claims(one.user_data) for member, one in members.items()})
        return {
            member: ConsumerProtocolMemberAssignment(_VERSION, sorted(held.items()), b"")
            for member, held in shares.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember what this member has."""
        self._held = {}
        for at in assignment.partitions():
            self._held.setdefault(at.topic, []).append(at.partition)


def share_out(
    partitions: Mapping[str, list[int]], subscribed: Mapping[str, set[str]], claims: Mapping[str, Held]
) -> dict[str, dict[str, list[int]]]:
    """Topic by topic: members keep what they claim up to their share, and who has least gets the rest.

    Shares of a topic differ by one at most.
    """
    shares: dict[str, dict[str, list[int]]] = {member: {} for member in subscribed}
    total = dict.fromkeys(sorted(subscribed), 0)
    for topic, numbers in partitions.items():
        members = [member for member in total if topic in subscribed[member]]
        if not members:
            continue
        held = {member: shares[member].setdefault(topic, []) for member in members}
        least, more = divmod(len(numbers), len(members))
        free = dict.fromkeys(numbers)
        larger = 0
        # Who has most of this topic and least of the rest keeps one more than the others.
        for member in sorted(members, key=lambda one: (-len(_valid(claims, one, topic, free)), total[one], one)):
            kept = _valid(claims, member, topic, free)
            room = least + (larger < more)
            kept = kept[:room]
            larger += len(kept) > least
            held[member] += kept
            for number in kept:
                del free[number]
        for number in free:
            needy = min(members, key=lambda one: (len(held[one]), total[one] + len(held[one]), one))
            held[needy].append(number)
        for member in members:
            held[member].sort()
            total[member] += len(held[member])
    return shares


def _valid(claims: Mapping[str, Held], member: str, topic: str, free: Mapping[int, None]) -> list[int]:
    return [number for number in claims.get(member, {}).get(topic, ()) if number in free]


def _claims(user_data: bytes) -> dict[str, list[int]]:
    """What a member says it has; nothing when it cannot be read."""
    try:
        return msgspec.json.decode(user_data, type=dict[str, list[int]])
    except msgspec.DecodeError:
        return {}
