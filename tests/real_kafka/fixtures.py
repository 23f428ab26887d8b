"""Fixtures of Apache Kafka clusters, for the `conftest.py` of each suite that wants one.

They start Kafka only when asked to (`make test-kafka` sets `BORDERFLOW_TEST_KAFKA=1`), so that `make test` needs no
Java; asked for on a machine that cannot, they skip and say what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from streams.acls import read_components
from tests.real_kafka.cluster import Cluster
from tests.real_kafka.jars import KafkaUnavailableError
from tests.real_kafka.security import Security

ACLS = Path(__file__).parents[2] / "ops" / "acls.yaml"
TOY, STRANGER = "toy", "stranger"


def asked_for() -> bool:
    """Whether this run is to use Apache Kafka."""
    return os.environ.get("BORDERFLOW_TEST_KAFKA", "") not in ("", "0")


def new_cluster(nodes: int, security: Security | None = None, settings: Mapping[str, str] | None = None) -> Cluster:
    """A cluster that is not started yet; skips the test when there cannot be one."""
    if not asked_for():
        pytest.skip("Apache Kafka was not asked for: make test-kafka runs this")
    try:
        return Cluster(nodes, security=security, settings=settings)
    except KafkaUnavailableError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka_node() -> Iterator[Cluster]:
    """One node, for a whole session of tests; none of them may leave it broken."""
    with new_cluster(1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kafka_nodes() -> Iterator[Cluster]:
    """Three nodes with every topic replicated, for one module of tests."""
    with new_cluster(3) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def guarded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One node that lets in only who has a SCRAM password or a certificate, and allows only what an ACL says.

    There is a principal for each component of `ops/acls.yaml`, one for the toy worker, and a stranger.
    """
    principals = (*read_components(ACLS), TOY, STRANGER)
    with new_cluster(1, Security(tmp_path_factory.mktemp("guarded"), principals)) as cluster:
        yield cluster
