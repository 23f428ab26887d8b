"""Brokers are killed and restarted, leaders and coordinators move, and the workers go on by themselves."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.faults.account import take_account
from tests.faults.conftest import PARTITIONS, settings_of, surroundings
from tests.faults.crew import Crew
from tests.faults.lodger import Lodger
from tests.real_kafka.cluster import Cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

AWAY_S = 8.0
"""How long a broker stays away: longer than the session timeout of the tests (6 s)."""


def test_workers_go_on_after_the_only_broker_was_killed_and_restarted(
    kafka_node: Cluster, tmp_path: Path, keep_account: Callable[[str], None]
) -> None:
    environment = surroundings(kafka_node)
    settings = settings_of(environment)
    with Crew(environment, tmp_path) as crew:
        crew.hire(), crew.hire()
        time.sleep(4)
        with Lodger(settings, PARTITIONS, batches=150) as lodger:
            time.sleep(5)
            kafka_node.nodes[1].kill()
            time.sleep(AWAY_S)
            kafka_node.nodes[1].start()
            kafka_node.wait_until_whole()
            lodged = lodger.finish()
        account = take_account(settings, PARTITIONS, lodged, within_s=180)
        keep_account(account.line())
        assert crew.ended == {}, "\n".join(crew.said(name) for name in crew.ended)
    assert account.lodged == lodged
    assert account.balanced, account.line()


@pytest.mark.parametrize("what", ["leader", "coordinator"])
def test_workers_go_on_when_one_broker_of_three_after_the_other_is_lost(
    kafka_nodes: Cluster, tmp_path: Path, keep_account: Callable[[str], None], what: str
) -> None:
    """Killed, shut down in order, and frozen: each time the one that leads a partition or coordinates the group."""
    environment = surroundings(kafka_nodes)
    settings = settings_of(environment)
    kafka_nodes.wait_until_in_sync()
    with Crew(environment, tmp_path) as crew:
        crew.hire(), crew.hire()
        time.sleep(5)
        with Lodger(settings, PARTITIONS, batches=450) as lodger:
            time.sleep(3)
            for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
                lose(kafka_nodes, settings, what, how)
            lodged = lodger.finish()
        account = take_account(settings, PARTITIONS, lodged, within_s=180)
        keep_account(account.line())
        assert crew.ended == {}, "\n".join(crew.said(name) for name in crew.ended)
        kafka_nodes.wait_until_in_sync()
    assert account.lodged == lodged
    assert account.balanced, account.line()


def lose(cluster: Cluster, settings: Settings, what: str, how: signal.Signals) -> None:
    """Take away the broker that leads or coordinates at present, for longer than the session timeout."""
    if what == "leader":
        number = cluster.leader(f"{settings.group}-tallies", 0)
    else:
        number = cluster.group_coordinator(settings.group)
    node = cluster.nodes[number]
    if how is signal.SIGSTOP:
        node.freeze()
        time.sleep(AWAY_S)
        node.thaw()
    else:
        node.kill() if how is signal.SIGKILL else node.stop()
        time.sleep(AWAY_S)
        node.start()
    cluster.wait_until_whole()
    cluster.wait_until_in_sync()
