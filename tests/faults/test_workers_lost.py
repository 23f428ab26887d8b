"""One of three workers is killed, stopped or frozen at random moments, again and again; nothing is lost or doubled."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.account import take_account
from tests.faults.conftest import PARTITIONS, seeds, settings_of, slack_s, surroundings
from tests.faults.crew import Crew
from tests.faults.disturbing import disturb
from tests.faults.lodger import Lodger
from tests.real_kafka.cluster import Cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


@pytest.mark.parametrize("seed", seeds())
def test_every_crossing_is_decided_once_whatever_becomes_of_the_workers(
    kafka_node: Cluster, tmp_path: Path, keep_account: Callable[[str], None], seed: int
) -> None:
    """Even seeds: a steady flow. Odd seeds: a backlog that is worked off at full speed, hit at shorter intervals."""
    environment = surroundings(kafka_node)
    settings = settings_of(environment)
    dice = random.Random(seed)  # noqa: S311 - chooses faults, keeps no secret
    steady = seed % 2 == 0
    with Crew(environment, tmp_path) as crew:
        if steady:
            for _ in range(3):
                crew.hire()
            time.sleep(4)
            with Lodger(settings, PARTITIONS, batches=200) as lodger:
                suffered = disturb(crew, dice, settings.session_timeout_s, longest_s=4.0)
                lodged = lodger.finish()
        else:
            with Lodger(settings, PARTITIONS, batches=800, every_s=0.0) as lodger:
                lodged = lodger.finish()
            for _ in range(3):
                crew.hire()
            time.sleep(2)
            suffered = disturb(crew, dice, settings.session_timeout_s, longest_s=1.0)
        account = take_account(settings, PARTITIONS, lodged, within_s=180)
        keep_account(f"{'+'.join(suffered)}: {account.line()}")
        assert crew.ended == {}, "\n".join(crew.said(name) for name in crew.ended)
    assert account.lodged == lodged
    assert account.balanced, account.line()
    if steady:
        assert account.slowest_s < settings.session_timeout_s + 10 + slack_s(), account.line()


@pytest.mark.parametrize("pause_s", [0.0, 1.5])
def test_a_worker_that_was_thrown_out_of_the_group_still_stops_in_good_order(
    kafka_node: Cluster, tmp_path: Path, keep_account: Callable[[str], None], pause_s: float
) -> None:
    """It finds on waking that its partitions have gone, and is told to stop while it joins again."""
    environment = surroundings(kafka_node)
    settings = settings_of(environment)
    with Crew(environment, tmp_path) as crew:
        frozen, _ = crew.hire(), crew.hire()
        time.sleep(3)
        with Lodger(settings, PARTITIONS, batches=150) as lodger:
            time.sleep(2)
            crew.send(frozen, signal.SIGSTOP)
            time.sleep(settings.session_timeout_s + 3)
            crew.send(frozen, signal.SIGCONT)
            time.sleep(pause_s)
            began = time.monotonic()
            assert crew.dismiss(frozen, signal.SIGTERM) == 0, crew.said(frozen)
            took = time.monotonic() - began
            lodged = lodger.finish()
        account = take_account(settings, PARTITIONS, lodged, within_s=180)
        keep_account(f"ended {took:.1f} s after SIGTERM; {account.line()}")
    assert account.balanced, account.line()
