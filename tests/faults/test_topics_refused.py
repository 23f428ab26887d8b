"""Topics that are missing or will not take records: the worker stops or waits, and nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from streams.settings import Settings
from tests.faults.account import take_account
from tests.faults.conftest import PARTITIONS, settings_of, slack_s, surroundings
from tests.faults.crew import START_S, Crew
from tests.faults.lodger import Lodger
from tests.integration.harbour import committed
from tests.real_kafka.cluster import Cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


def lodge_some(settings: Settings, batches: int = 20) -> int:
    with Lodger(settings, PARTITIONS, batches=batches, every_s=0.0) as lodger:
        return lodger.finish()


def configure(cluster: Cluster, topic: str, **config: str) -> None:
    with cluster.admin() as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=config)])


@contextlib.contextmanager
def unwritable(cluster: Cluster, topic: str) -> Iterator[None]:
    """One of three nodes is down, and the topic wants all three replicas in sync for a write."""
    cluster.wait_until_in_sync()
    configure(cluster, topic, **{"min.insync.replicas": "3"})
    leaders = {cluster.leader(topic, partition) for partition in range(PARTITIONS)}
    node = cluster.nodes[max(leaders)]
    node.stop()
    try:
        yield
    finally:
        node.start()
        cluster.wait_until_whole()


def wait_until_one_ends(crew: Crew, within_s: float = START_S) -> dict[str, int]:
    deadline = time.monotonic() + within_s
    while not crew.ended and time.monotonic() < deadline:
        time.sleep(0.2)
    return crew.ended


def wait_until_it_decides(crew: Crew, name: str) -> None:
    """Return once a worker has a batch in hand: it rebuilds the state first, and says so."""
    deadline = time.monotonic() + START_S
    while "count rebuilt" not in crew.said(name, 1000):
        assert time.monotonic() < deadline, crew.said(name)
        time.sleep(0.1)


def test_when_the_dead_letter_topic_goes_missing_the_worker_stops_and_says_so_and_nothing_is_lost(
    kafka_node: Cluster, tmp_path: Path, keep_account: Callable[[str], None]
) -> None:
    environment = {**surroundings(kafka_node), "BORDERFLOW_REQUEST_TIMEOUT_S": "12"}
    settings = settings_of(environment)
    dead_letters = f"{settings.group}-crossings-dlq"
    with Crew(environment, tmp_path) as crew:
        name = crew.hire()
        time.sleep(6)
        with kafka_node.admin() as admin:
            admin.delete_topics([dead_letters])
        lodged = lodge_some(settings)
        assert wait_until_one_ends(crew) == {name: 1}, crew.said(name)
        assert f"topic '{dead_letters}'" in crew.said(name, 60)
        assert sum(committed(settings, f"{settings.group}-crossings").values()) < lodged
        with kafka_node.admin() as admin:
            admin.create_topics({dead_letters: {"num_partitions": 1, "replication_factor": 1}})
        crew.workers.clear()
        crew.hire()
        account = take_account(settings, PARTITIONS, lodged, within_s=180)
        keep_account(account.line())
    assert account.balanced, account.line()
    assert account.dead_lettered > 0


def test_a_topic_that_takes_no_records_for_a_while_is_waited_for(
    kafka_nodes: Cluster, tmp_path: Path, keep_account: Callable[[str], None]
) -> None:
    """Three in-sync replicas are asked for and two are there: writes are refused, and clients try again."""
    environment = surroundings(kafka_nodes)
    settings = settings_of(environment)
    with unwritable(kafka_nodes, f"{settings.group}-tallies"), Crew(environment, tmp_path) as crew:
        lodged = lodge_some(settings)
        wait_until_it_decides(crew, crew.hire())
        time.sleep(5)
        assert sum(committed(settings, f"{settings.group}-crossings").values()) == 0
        configure(kafka_nodes, f"{settings.group}-tallies", **{"min.insync.replicas": "1"})
        account = take_account(settings, PARTITIONS, lodged, within_s=180)
        keep_account(account.line())
        assert crew.ended == {}, "\n".join(crew.said(name) for name in crew.ended)
    assert account.balanced, account.line()


def test_a_topic_that_refuses_records_stops_the_worker_before_the_ack(
    kafka_node: Cluster, tmp_path: Path, keep_account: Callable[[str], None]
) -> None:
    """Records larger than the topic takes: refused for good, so waiting would not help."""
    environment = surroundings(kafka_node)
    settings = settings_of(environment)
    tallies = f"{settings.group}-tallies"
    configure(kafka_node, tallies, **{"max.message.bytes": "200"})
    lodged = lodge_some(settings)
    with Crew(environment, tmp_path) as crew:
        name = crew.hire()
        assert wait_until_one_ends(crew) == {name: 1}, crew.said(name)
        assert tallies in crew.said(name, 60)
        assert sum(committed(settings, f"{settings.group}-crossings").values()) == 0
        configure(kafka_node, tallies, **{"max.message.bytes": "1000000"})
        crew.workers.clear()
        crew.hire()
        account = take_account(settings, PARTITIONS, lodged, within_s=180)
        keep_account(account.line())
    assert account.balanced, account.line()


def test_a_worker_that_is_told_to_stop_while_writes_are_refused_still_ends(
    kafka_nodes: Cluster, tmp_path: Path, keep_account: Callable[[str], None]
) -> None:
    environment = surroundings(kafka_nodes)
    settings = settings_of(environment)
    with unwritable(kafka_nodes, f"{settings.group}-tallies"), Crew(environment, tmp_path) as crew:
        lodged = lodge_some(settings)
        name = crew.hire()
        wait_until_it_decides(crew, name)
        time.sleep(3)
        assert sum(committed(settings, f"{settings.group}-crossings").values()) == 0
        began = time.monotonic()
        assert crew.dismiss(name, signal.SIGTERM) == 70  # it gave up waiting for the batch in hand
        took = time.monotonic() - began
        configure(kafka_nodes, f"{settings.group}-tallies", **{"min.insync.replicas": "1"})
        crew.hire()
        account = take_account(settings, PARTITIONS, lodged, within_s=180)
        keep_account(f"ended {took:.1f} s after SIGTERM; {account.line()}")
    assert account.balanced, account.line()
    assert took < 30 + slack_s()
