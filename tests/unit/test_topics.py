"""Topics beside their declarations: what differs, and the command of Kafka that mends it."""

from __future__ import annotations

from dataclasses import replace

from streams.settings import Settings
from streams.topics import Found, Wanted, altering, topic_differences, wanted_topics

BROKERS = "127.0.0.1:9092"


def declared(name: str) -> Wanted:
    (one,) = [one for one in wanted_topics(Settings()) if one.name == name]
    return one


def as_declared(wanted: Wanted) -> Found:
    return Found(wanted.name, wanted.partitions, wanted.replication, dict(wanted.config))


def test_a_topic_of_an_earlier_version_comes_with_the_command_that_alters_it() -> None:
    wanted = declared("screened")
    found = as_declared(wanted)
    found.config["max.message.bytes"] = "1048588"
    assert list(topic_differences(wanted, found)) == ["screened has max.message.bytes 1048588, declared 1572864"]
    assert altering(wanted, found, BROKERS) == (
        "kafka-configs.sh --bootstrap-server 127.0.0.1:9092 --alter --entity-type topics --entity-name screened "
        "--add-config max.message.bytes=1572864"
    )


def test_no_command_is_given_for_what_it_cannot_mend() -> None:
    wanted = declared("decisions")
    fewer = replace(as_declared(wanted), partitions=wanted.partitions - 1)
    assert len(list(topic_differences(wanted, fewer))) == 1
    silent = replace(as_declared(wanted), config={})  # brokers that do not tell
    assert [altering(wanted, one, BROKERS) for one in (as_declared(wanted), fewer, silent, None)] == [None] * 4
