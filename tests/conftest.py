"""Fixtures of the whole suite: one embedded broker per session, and topics of each test's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from streams.embedded import EmbeddedBroker
from streams.settings import Settings

_SLOW_CLUSTER = {"BORDERFLOW_SESSION_TIMEOUT_S": "6", "BORDERFLOW_HEARTBEAT_S": "1"}


@pytest.fixture(scope="session")
def broker_environment() -> Iterator[dict[str, str]]:
    """Settings, as environment variables, for a real broker: `BORDERFLOW_BROKERS` when set, else the embedded one."""
    given = os.environ.get("BORDERFLOW_BROKERS")
    if given:
        yield {"BORDERFLOW_BROKERS": given, **_SLOW_CLUSTER}
        return
    with EmbeddedBroker() as broker:
        yield broker.environment()


@pytest.fixture
def broker_settings(broker_environment: dict[str, str]) -> Settings:
    """Settings for that broker."""
    return Settings.from_environment(broker_environment)


@pytest.fixture
def create_topics(broker_settings: Settings) -> Iterator[Callable[..., None]]:
    """Creates topics: `create_topics(name=partitions, ...)`, underscores in names standing for hyphens."""
    admin = KafkaAdminClient(**broker_settings.client_options())

    def create(**partitions: int) -> None:
        wanted = [NewTopic(name.replace("_", "-"), count, 1) for name, count in partitions.items()]
        admin.create_topics(wanted)

    yield create
    admin.close()
