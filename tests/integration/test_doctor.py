"""`borderflow doctor`: nothing wrong on a running border, and a useful line for each broken one."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaConnectionError

from schemas.knowledge import RiskInformationPublished
from streams import topics
from streams.app import build_app
from streams.doctor import Finding, examine, why_not_served
from streams.knowledge import entries
from streams.settings import Settings
from streams.topics import admin, create_topics
from streams.topology import build_topology
from tests.integration.border import Border, border
from tests.real_kafka.fixtures import asked_for

pytestmark = pytest.mark.broker


def findings(environment: dict[str, str]) -> dict[str, Finding]:
    """What is found, by check; of several findings of one check the worst."""
    worst = ("wrong", "warning", "skipped", "ok")
    found: dict[str, Finding] = {}
    for one in examine(environment):
        known = found.get(one.check)
        if known is None or worst.index(one.state) < worst.index(known.state):
            found[one.check] = one
    return found


def the_wrong_one(environment: dict[str, str]) -> Finding:
    (wrong,) = [one for one in findings(environment).values() if one.state == "wrong"]
    assert wrong.advice
    return wrong


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Border]:
    with border(tmp_path / "logs") as made:
        yield made


def test_a_running_border_is_healthy(at: Border) -> None:
    at.open("one")
    found = findings(at.environment)
    assert not [one for one in found.values() if one.state == "wrong"], found
    assert {found[check].state for check in ("topics", "versions", "codecs", "policy", "brokers")} == {"ok"}
    if asked_for():  # the embedded broker does not tell
        assert found["workers"] == Finding("workers", "ok", "1 in group borderflow")
        assert (found["rights"].state, found["lag"].state) == ("ok", "ok")


def test_doctor_and_a_worker_that_starts_ask_everything_over_one_connection_each(
    at: Border, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topics(at.settings)
    asked: list[KafkaAdminClient] = []

    class Counted(KafkaAdminClient):  # type: ignore[misc]  # kafka-python carries no types
        def __init__(self, **options: Any) -> None:
            asked.append(self)
            super().__init__(**options)

    monkeypatch.setattr(topics, "KafkaAdminClient", Counted)
    assert findings(at.environment)["topics"].state == "ok"
    assert len(asked) == 1
    asyncio.run(build_app(at.settings, build_topology(at.settings))._look_around())
    assert len(asked) == 2


def test_each_broken_border_gets_the_line_that_mends_it(at: Border, tmp_path: Path) -> None:
    healthy = at.environment

    unreadable = the_wrong_one({**healthy, "BORDERFLOW_PARTITIONS": "many"})
    assert (unreadable.check, "BORDERFLOW_PARTITIONS" in unreadable.found) == ("settings", True)

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = the_wrong_one({**healthy, "BORDERFLOW_BROKERS": f"127.0.0.1:{nobody.getsockname()[1]}"})
    assert (away.check, "nothing listens" in away.found) == ("brokers", True)

    missing = the_wrong_one(healthy)
    assert (missing.check, "borderflow topics create" in missing.advice) == ("topics", True)
    create_topics(at.settings)

    other = findings({**healthy, "BORDERFLOW_PARTITIONS": "7"})["topics"]
    assert (other.state, "has 4 partitions, declared 7" in other.found) == ("warning", True)

    policy = tmp_path / "policy.yaml"
    policy.write_text("version: broken")
    refused = the_wrong_one({**healthy, "BORDERFLOW_POLICY_FILE": str(policy)})
    assert (refused.check, str(policy) in refused.found) == ("policy", True)

    if asked_for():
        idle = the_wrong_one(healthy)
        assert (idle.check, idle.advice) == ("workers", "start `borderflow worker`")


def test_a_misspelt_variable_is_a_warning(at: Border) -> None:
    found = findings({**at.environment, "BORDERFLOW_BROKRES": "x"})
    assert "BORDERFLOW_BROKRES" in found["settings"].found


def test_a_topic_that_is_missing_after_an_upgrade_is_warned_of_though_no_worker_needs_it(at: Border) -> None:
    create_topics(at.settings)
    with admin(at.settings) as client:
        client.delete_topics(["casework-dlq"])
        deadline = time.monotonic() + 30
        while "casework-dlq" in client.list_topics() and time.monotonic() < deadline:  # Kafka deletes in its own time
            time.sleep(0.1)
    found = findings(at.environment)["topics"]
    assert (found.state, "casework-dlq" in found.found) == ("warning", True)
    assert "borderflow topics create" in found.advice


def test_what_an_earlier_version_took_and_this_one_cannot_use_is_named(at: Border) -> None:
    create_topics(at.settings)
    trusted = RiskInformationPublished(
        entry_id="TT-1",
        version=1,
        kind="trusted-trader",
        streams=("express-cargo",),
        party_names=("Bonbogi Trading",),
        source="aeo",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    entries.send(at.settings, [trusted])
    found = findings(at.environment)
    told = found["risk-information"]
    assert told.state == "warning"
    assert "TT-1 (party_identifiers: a trusted trader needs one" in told.found
    assert "Bonbogi" not in told.found
    assert found["criteria"] == Finding("criteria", "ok", "all that is published can be used")


def test_logs_that_are_not_partitioned_alike_are_wrong(at: Border) -> None:
    with admin(at.settings) as client:
        client.create_topics({"decisions": {"num_partitions": 3, "replication_factor": 1}}, wait_for_metadata=True)
    create_topics(at.settings)
    unlike = the_wrong_one(at.environment)
    assert (unlike.check, "filtered has 4 partitions and decisions 3" in unlike.found) == ("topics", True)


def test_knowledge_in_several_partitions_is_wrong(at: Border) -> None:
    with admin(at.settings) as client:
        client.create_topics({"criteria": {"num_partitions": 4, "replication_factor": 1}}, wait_for_metadata=True)
    create_topics(at.settings)
    spread = the_wrong_one(at.environment)
    assert (spread.check, "criteria has 4 partitions" in spread.found) == ("topics", True)


def test_brokers_that_cannot_do_without_the_others_are_no_matter_of_passwords(at: Border) -> None:
    both = Settings.from_environment(
        {**at.environment, "BORDERFLOW_BROKERS": f"127.0.0.1:1,{at.environment['BORDERFLOW_BROKERS']}"}
    )
    down = why_not_served(both, ["127.0.0.1:1"], KafkaConnectionError("no leader"))
    assert (down.state, down.found.startswith("nothing listens at 127.0.0.1:1, and the others")) == ("wrong", True)
    assert "SASL" not in down.advice
