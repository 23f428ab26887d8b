"""Fixtures of the whole suite: one embedded broker per session, and topics and a group of each test's own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from kafka.admin import KafkaAdminClient

from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.real_kafka.fixtures import asked_for, kafka_node

__all__ = ["kafka_node"]

# How long an example takes says more about what else the machine does than about the code.
# Explaining a failure takes minutes here, and hides it behind a timeout.
PHASES = [phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain]
hypothesis.settings.register_profile("borderflow", deadline=None, phases=PHASES)
hypothesis.settings.load_profile("borderflow")

LONGEST = (
    "faults/test_brokers_lost.py", "integration/test_loop_end_to_end.py", "real_kafka/test_security.py",
    "faults/test_topics_refused.py", "faults/test_border_under_fire.py", "integration/test_audit.py",
    "integration/test_faust_defects.py", "faults/test_workers_lost.py", "integration/test_archive.py",
    "integration/test_replay.py", "real_kafka/test_demo.py", "faults/test_logs_cut_off.py",
    "integration/test_streaming_core.py", "integration/test_notify.py", "faults/test_disk_full.py",
    "integration/test_doctor.py", "integration/test_metrics.py", "integration/test_centre.py",
    "browser/test_half_written.py", "browser/test_promises.py", "contract/test_alert_rules.py",
)  # fmt: skip
"""The files of tests that take longest in `make test-kafka` or `make test`, some 40 seconds and more, in that order."""

ACCOUNT = "account"
"""The user property of a test that holds a line on what became of every record it lodged."""


@pytest.fixture(scope="session")
def broker_environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Settings, as environment variables, for a real broker.

    That of `BORDERFLOW_BROKERS` when set; an Apache Kafka node in `make test-kafka`; else the embedded one.
    """
    given = os.environ.get("BORDERFLOW_BROKERS")
    if given:
        yield {
            "BORDERFLOW_BROKERS": given,
            "BORDERFLOW_SESSION_TIMEOUT_S": "6",
            "BORDERFLOW_HEARTBEAT_S": "1",
        }
        return
    if asked_for():
        yield request.getfixturevalue("kafka_node").environment()
        return
    with EmbeddedBroker(start_timeout_s=60) as broker:
        yield broker.environment()


@pytest.fixture
def worker_environment(broker_environment: dict[str, str]) -> dict[str, str]:
    """The same with a consumer group of this test's own (which also prefixes its topics) and any free web port."""
    return {**broker_environment, "BORDERFLOW_GROUP": f"t{uuid.uuid4().hex[:10]}", "BORDERFLOW_WEB_PORT": "0"}


@pytest.fixture
def broker_settings(worker_environment: dict[str, str]) -> Settings:
    """Settings of a worker of this test."""
    return Settings.from_environment(worker_environment)


@pytest.fixture
def create_topics(broker_settings: Settings) -> Iterator[Callable[[dict[str, int]], None]]:
    """Creates topics with the given numbers of partitions; the test's group prefixes their names."""
    admin = KafkaAdminClient(**broker_settings.client_options())

    def create(partitions: dict[str, int]) -> None:
        admin.create_topics(
            {
                f"{broker_settings.group}-{name}": {"num_partitions": count, "replication_factor": 1}
                for name, count in partitions.items()
            },
            wait_for_metadata=True,
        )

    yield create
    admin.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then tests that wait for brokers: the others fill the processors beside them.

    Processes take one file after the other (`--no-loadscope-reorder` has pytest-xdist keep this order, where it would
    take the files of most tests first): nothing long comes last, while the other processes have nothing to do.
    """
    folder = Path(__file__).parent
    place = {folder / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path, len(LONGEST)), item.get_closest_marker("broker") is None))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the accounts (of every process that ran tests)."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    lines = sorted(line for one in reports for name, line in one.user_properties if name == ACCOUNT)
    if lines:
        terminalreporter.section("accounts")
        for line in lines:
            terminalreporter.write_line(line)
