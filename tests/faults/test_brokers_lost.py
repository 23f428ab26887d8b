"""Brokers are killed and restarted, leaders and coordinators move, and the workers go on by themselves."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.centre import CentreClient
from streams.settings import Settings
from streams.wire import Outgoing
from tests.border import DESK
from tests.browser.centre import alert, record
from tests.faults.account import take_account
from tests.faults.conftest import PARTITIONS, settings_of, surroundings
from tests.faults.crew import Crew
from tests.faults.lodger import Lodger
from tests.integration.harbour import publisher
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


def test_a_centre_gets_the_alerts_of_the_other_partitions_while_one_has_no_leader(kafka_nodes: Cluster) -> None:
    """Each alert once: of two partitions at once, of the third when its only broker is back."""
    with kafka_nodes.admin() as admin:
        admin.create_topics({"alerts": {"num_partitions": 3, "replication_factor": 1}})
    settings = settings_of(kafka_nodes.environment())
    kafka_nodes.wait_until_in_sync()
    asyncio.run(raise_alerts(settings, range(1, 31)))
    lost = kafka_nodes.leader("alerts", 0)
    away = {number for number in range(3) if kafka_nodes.leader("alerts", number) == lost}
    assert away != set(range(3))
    kafka_nodes.nodes[lost].kill()
    kafka_nodes.wait_for(lambda _: kafka_nodes.leader("alerts", 0) == -1, "the partition has no leader")
    back = False
    found: list[tuple[int, str]] = []
    with CentreClient(settings, "offline", (DESK,)) as centre:
        began = time.monotonic()
        while len(found) < 30 and time.monotonic() - began < 120:
            for one in centre.alerts(idle_s=1.0):
                assert back or one.partition not in away
                found.append((one.partition, one.event.alert_id))
                centre.acknowledge(one, quietly=True)
            if len(found) == 10 * (3 - len(away)) and not back:
                back = True
                kafka_nodes.nodes[lost].start()
        assert not list(centre.alerts(idle_s=3.0))
    kafka_nodes.wait_until_whole()
    assert sorted(name for _, name in found) == sorted(alert(number).alert_id for number in range(1, 31))
    with CentreClient(settings, "offline", (DESK,)) as centre:
        assert not list(centre.alerts(idle_s=8.0))  # all places were noted


async def raise_alerts(settings: Settings, numbers: range) -> None:
    """Produce these alerts, in turn to each of three partitions."""
    async with publisher(settings) as to:
        for number in numbers:
            made = record(alert(number), DESK)
            await to.publish("alerts", [Outgoing(made.key, made.value, made.timestamp, made.headers, number % 3)])
