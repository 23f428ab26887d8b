"""A centre is given partitions while the brokers are away for a moment: it must not stay deaf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from schemas.codec import ce_type_of, encode
from streams.archive.rows import Archived
from streams.centre import CentreClient, _Assignments
from streams.settings import Settings
from streams.wire import cloud_event
from tests.border import DESK
from tests.browser.centre import alert

AT = [TopicPartition("alerts", number) for number in range(2)]


def raised(partition: int, offset: int) -> Archived:
    """An alert as it lies on the topic."""
    event = alert(10 * partition + offset + 1)
    headers = cloud_event(f"ce-{partition}-{offset}", ce_type_of(type(event)), b"/test", b"2026-03-02T12:00:00.000Z")
    return Archived("alerts", partition, offset, 0, DESK.encode(), encode(event), headers)


class Consumer:
    """Two partitions of three alerts each. At each poll the next assignment comes, when there is one.

    `away` are the answers of the brokers when they are asked where partitions begin.
    """

    def __init__(self, client: CentreClient, assignments: Sequence[Sequence[TopicPartition]], away: Sequence[bool]):
        self.listener = _Assignments(client)
        self.assignments, self.away = list(assignments), list(away)
        self.assigned: Sequence[TopicPartition] = ()
        self.positions: dict[TopicPartition, int] = {}
        self.commits: list[dict[int, int]] = []
        self.offline: set[int] = set()

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Archived]]:
        if self.assignments:
            self.assigned = self.assignments.pop(0)
            self.positions = dict.fromkeys(self.assigned, 0)
            self.listener.on_partitions_assigned(self.assigned)
        found = {at: [raised(at.partition, one) for one in range(self.positions[at], 3)] for at in self.assigned}
        self.positions = dict.fromkeys(self.assigned, 3)
        return found

    def beginning_offsets(self, asked: Sequence[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        if (self.away and self.away.pop(0)) or self.offline & {at.partition for at in asked}:
            raise KafkaTimeoutError("no offsets in 60 s")
        return dict.fromkeys(asked, 0)

    def committed(self, at: TopicPartition, timeout_ms: int) -> int:
        return 0

    def seek(self, at: TopicPartition, offset: int) -> None:
        self.positions[at] = offset

    def commit(self, places: dict[TopicPartition, Any], timeout_ms: int) -> None:
        self.commits.append({at.partition: place.offset for at, place in places.items()})


def centre_with(assignments: Sequence[Sequence[TopicPartition]], *away: bool) -> tuple[CentreClient, Consumer]:
    """A client of such a consumer."""
    client = CentreClient(Settings.from_environment({}), "test", (DESK,))
    consumer = Consumer(client, assignments, away)
    client._consumer = cast(Any, consumer)
    return client, consumer


def test_partitions_that_come_while_the_brokers_are_away_are_taken_up_when_they_answer() -> None:
    client, _ = centre_with([AT], False, True, True)  # the first answers, the second does not
    found = [one.ce_id for one in client.alerts(idle_s=0.05)]
    assert found == [f"ce-{partition}-{offset}" for partition in range(2) for offset in range(3)]


def test_the_others_are_taken_up_while_a_partition_is_offline_and_that_one_when_it_comes_back() -> None:
    client, consumer = centre_with([AT])
    consumer.offline = {0}
    first = list(client.alerts(idle_s=0.05))
    assert [one.ce_id for one in first] == [f"ce-1-{offset}" for offset in range(3)]
    for one in first:
        client.acknowledge(one, quietly=True)
    client._commit()
    assert consumer.commits == [{1: 3}]  # nothing of the one that was not read
    consumer.offline = set()
    assert [one.ce_id for one in client.alerts(idle_s=0.05)] == [f"ce-0-{offset}" for offset in range(3)]
    assert not list(client.alerts(idle_s=0.05))


def test_a_centre_waits_for_offline_partitions_a_small_part_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("streams.centre.time.monotonic", lambda: clock[0])
    client, consumer = centre_with([AT])
    consumer.offline = {0}
    waited: list[float] = []
    answer = consumer.beginning_offsets

    def ask(asked: Sequence[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        if consumer.offline & {at.partition for at in asked}:
            clock[0] += timeout_ms / 1000
            waited.append(timeout_ms / 1000)
        return answer(asked, timeout_ms)

    monkeypatch.setattr(consumer, "beginning_offsets", ask)
    for _ in range(400):
        client._poll()
        clock[0] += 0.25
    assert len(waited) > 3
    assert sum(waited) < 0.25 * (clock[0] - 100)


def test_what_was_taken_away_is_not_committed_by_a_centre_that_could_not_take_up_the_rest() -> None:
    client, consumer = centre_with([AT])
    alerts = list(client.alerts(idle_s=0.05))
    assert len(alerts) == 6
    consumer.assignments, consumer.away = [AT[:1]], [True] * 1000
    assert not list(client.alerts(idle_s=0.05))
    client._committed_at = 0.0
    for one in alerts:
        client.acknowledge(one, quietly=True)
    client._commit()
    assert all(set(places) <= {0} for places in consumer.commits)


def test_a_centre_that_was_told_to_stop_asks_brokers_to_note_its_place_once() -> None:
    client, consumer = centre_with([AT])
    alerts = list(client.alerts(idle_s=0.05))
    client.stop()
    for one in alerts:
        client.acknowledge(one, quietly=True)
    assert not consumer.commits
    client._commit()
    assert consumer.commits == [{0: 3, 1: 3}]
