"""One of three workers is killed, stopped or frozen at random moments, again and again; nothing is lost or doubled."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.account import take_account
from tests.faults.conftest import PARTITIONS, seeds, settings_of, surroundings
from tests.faults.crew import Crew
from tests.faults.lodger import Lodger
from tests.real_kafka.cluster import Cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

FAULTS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)


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
            names = [crew.hire() for _ in range(3)]
            time.sleep(4)
            with Lodger(settings, PARTITIONS, batches=200) as lodger:
                suffered = _disturb(crew, names, dice, settings.session_timeout_s, longest_s=4.0)
                lodged = lodger.finish()
        else:
            with Lodger(settings, PARTITIONS, batches=800, every_s=0.0) as lodger:
                lodged = lodger.finish()
            names = [crew.hire() for _ in range(3)]
            time.sleep(2)
            suffered = _disturb(crew, names, dice, settings.session_timeout_s, longest_s=1.0)
        account = take_account(settings, PARTITIONS, lodged, within_s=60)
        keep_account(f"{'+'.join(suffered)}: {account.line()}")
        assert crew.ended == {}, "\n".join(crew.said(name) for name in crew.ended)
    assert account.lodged == lodged
    assert account.balanced, account.line()
    if steady:
        assert account.slowest_s < settings.session_timeout_s + 10


def _disturb(
    crew: Crew, names: list[str], dice: random.Random, session_timeout_s: float, longest_s: float
) -> list[str]:
    """One fault of each kind, in random order, at random moments, on random workers; returns what they were."""
    suffered = []
    for fault in dice.sample(FAULTS, 3):
        time.sleep(dice.uniform(0.2, longest_s))
        victim = names.pop(dice.randrange(len(names)))
        suffered.append(fault.name)
        if fault is signal.SIGSTOP:
            crew.send(victim, fault)
            time.sleep(session_timeout_s + dice.uniform(1.0, 4.0))
            crew.send(victim, signal.SIGCONT)
            names.append(victim)
        else:
            code = crew.dismiss(victim, fault)
            assert code == (0 if fault is signal.SIGTERM else -signal.SIGKILL), crew.said(victim)
            time.sleep(dice.uniform(0.0, 2.0))
            names.append(crew.hire())
    return suffered
