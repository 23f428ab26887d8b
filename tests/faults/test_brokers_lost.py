"""Brokers are killed and restarted, leaders and coordinators move, and the workers go on by themselves."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.account import take_account
from tests.faults.conftest import PARTITIONS, settings_of, surroundings
from tests.faults.crew import Crew
from tests.faults.lodger import Lodger
from tests.real_kafka.cluster import Cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

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
        account = take_account(settings, PARTITIONS, lodged, within_s=60)
        keep_account(account.line())
        assert crew.ended == {}, "\n".join(crew.said(name) for name in crew.ended)
    assert account.lodged == lodged
    assert account.balanced, account.line()


@pytest.mark.parametrize("what", ["leader", "coordinator"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_workers_go_on_when_a_broker_of_three_is_lost(
    kafka_nodes: Cluster, tmp_path: Path, keep_account: Callable[[str], None], what: str, how: signal.Signals
) -> None:
    environment = surroundings(kafka_nodes)
    settings = settings_of(environment)
    kafka_nodes.wait_until_in_sync()
    with Crew(environment, tmp_path) as crew:
        crew.hire(), crew.hire()
        time.sleep(5)
        with Lodger(settings, PARTITIONS, batches=200) as lodger:
            time.sleep(4)
            if what == "leader":
                number = kafka_nodes.leader(f"{settings.group}-tallies", 0)
            else:
                number = kafka_nodes.group_coordinator(settings.group)
            node = kafka_nodes.nodes[number]
            if how is signal.SIGSTOP:
                node.freeze()
                time.sleep(AWAY_S)
                node.thaw()
            else:
                node.kill() if how is signal.SIGKILL else node.stop()
                time.sleep(AWAY_S)
                node.start()
            kafka_nodes.wait_until_whole()
            lodged = lodger.finish()
        account = take_account(settings, PARTITIONS, lodged, within_s=60)
        keep_account(account.line())
        assert crew.ended == {}, "\n".join(crew.said(name) for name in crew.ended)
        kafka_nodes.wait_until_in_sync()
    assert account.lodged == lodged
    assert account.balanced, account.line()
