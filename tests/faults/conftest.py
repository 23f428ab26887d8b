"""Fixtures of the fault tests."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable

import pytest

from streams.settings import Settings
from tests.conftest import ACCOUNT
from tests.real_kafka.cluster import Cluster
from tests.real_kafka.fixtures import kafka_nodes

__all__ = ["kafka_nodes"]

PARTITIONS = 4


def seeds() -> list[int]:
    """The seeds of the random faults, by `BORDERFLOW_FAULT_SEEDS`: how many (2; 20 for the record), or 4-7."""
    first, dash, last = (os.environ.get("BORDERFLOW_FAULT_SEEDS") or "2").partition("-")
    return list(range(int(first), int(last) + 1)) if dash else list(range(int(first)))


def slack_s() -> float:
    """Seconds that a takeover may take beyond what is promised, because other tests run beside this one.

    `BORDERFLOW_FAULT_SLACK_S` (90 by default) is 0 for the record.
    """
    return float(os.environ.get("BORDERFLOW_FAULT_SLACK_S") or 90)


def surroundings(cluster: Cluster) -> dict[str, str]:
    """Settings, as environment variables, of a group of its own; its topics are created."""
    group = f"f{uuid.uuid4().hex[:10]}"
    with cluster.admin() as admin:
        admin.create_topics(
            {
                f"{group}-{name}": {"num_partitions": count, "replication_factor": cluster.replication}
                for name, count in {
                    "crossings": PARTITIONS, "tallies": PARTITIONS, "totals": PARTITIONS,
                    "crossings-dlq": 1, "tallies-dlq": 1,
                }.items()
            }
        )  # fmt: skip
    return {**cluster.environment(), "BORDERFLOW_GROUP": group, "BORDERFLOW_WEB_PORT": "0"}


def settings_of(environment: dict[str, str]) -> Settings:
    """The same as settings."""
    return Settings.from_environment(environment)


@pytest.fixture
def keep_account(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Notes a line that is printed at the end of the run."""
    return lambda line: request.node.user_properties.append((ACCOUNT, f"{request.node.name}: {line}"))
