"""Kafka for the tests of Kafka itself: that the cluster of the other suites is what they take it for."""

from tests.real_kafka.fixtures import guarded_kafka, kafka_nodes

__all__ = ["guarded_kafka", "kafka_nodes"]
