"""The cluster does what the fault tests need of it: keep what was acknowledged, move leaders, come back."""

from __future__ import annotations

import itertools

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.real_kafka.cluster import Cluster

pytestmark = pytest.mark.kafka


def lodge(cluster: Cluster, topic: str, values: list[bytes]) -> None:
    """Write `values` to partition 0 and wait until every in-sync replica has them."""
    producer = KafkaProducer(bootstrap_servers=cluster.bootstrap.split(","), acks="all")
    try:
        for sent in [producer.send(topic, value, partition=0) for value in values]:
            sent.get(timeout=120)
    finally:
        producer.close()


def read(cluster: Cluster, topic: str, count: int) -> list[bytes]:
    """The first `count` values of partition 0."""
    consumer = KafkaConsumer(
        bootstrap_servers=cluster.bootstrap.split(","), auto_offset_reset="earliest", consumer_timeout_ms=120_000
    )
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [record.value for record in itertools.islice(consumer, count)]
    finally:
        consumer.close()


def create(cluster: Cluster, topic: str) -> None:
    """A topic with one partition on as many nodes as the cluster replicates to."""
    with cluster.admin() as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": cluster.replication}})


def test_what_was_lodged_is_there_after_the_only_broker_was_killed(kafka_node: Cluster) -> None:
    create(kafka_node, "kept")
    lodge(kafka_node, "kept", [b"one", b"two"])
    kafka_node.nodes[1].kill()
    assert not kafka_node.nodes[1].alive
    kafka_node.nodes[1].start()
    kafka_node.wait_until_whole()
    assert read(kafka_node, "kept", 2) == [b"one", b"two"]


def test_another_node_leads_when_the_leader_is_killed(kafka_nodes: Cluster) -> None:
    create(kafka_nodes, "led")
    lodge(kafka_nodes, "led", [b"before"])
    leader = kafka_nodes.leader("led", 0)
    kafka_nodes.nodes[leader].kill()
    kafka_nodes.wait_for(lambda _: kafka_nodes.leader("led", 0) not in (leader, -1), "another node leads")
    lodge(kafka_nodes, "led", [b"after"])
    kafka_nodes.nodes[leader].start()
    kafka_nodes.wait_until_whole()
    kafka_nodes.wait_until_in_sync()
    assert read(kafka_nodes, "led", 2) == [b"before", b"after"]
