"""Who follows logs without a group, a console or a worker, and its brokers go away."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

import pytest
from aiokafka.consumer.fetcher import FetchError, OffsetResetStrategy
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from schemas.codec import codec_for
from streams.broadcast import Follow, Followers
from streams.console.following import Following
from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from streams.topics import create_topics

pytestmark = pytest.mark.broker

Failed = Callable[[BaseException], None]


def of_a_console(settings: Settings, failed: Failed) -> Following:
    return Following(settings, {"alerts": print, "casework": print}, 0, failed=failed)


def of_a_worker(settings: Settings, failed: Failed) -> Followers:
    return Followers(settings, [Follow("criteria", codec_for("criteria").decode, Nothing())], failed)


class Nothing:
    """A book of a log in which nothing is."""

    def fold(self, *record: object) -> None:
        """Never called."""


@pytest.mark.parametrize("follower_of", [of_a_console, of_a_worker])
def test_a_follower_whose_brokers_are_away_is_stopped_in_good_order(
    follower_of: Callable[[Settings, Failed], Following | Followers], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "aiokafka.consumer.fetcher")

    async def lost_and_stopped(broker: EmbeddedBroker) -> None:
        settings = Settings.from_environment({**broker.environment(), "BORDERFLOW_PARTITIONS": "2"})
        create_topics(settings)
        failures: list[BaseException] = []
        follower = follower_of(settings, failures.append)
        await follower.start()
        broker.stop()
        while "Failed fetch" not in caplog.text:  # noqa: ASYNC110 - until its fetches wait for brokers
            await asyncio.sleep(0.01)
        await follower.stop()
        assert not failures

    with EmbeddedBroker() as broker:
        asyncio.run(asyncio.wait_for(lost_and_stopped(broker), 60))


def test_a_log_of_knowledge_that_is_not_the_one_that_was_folded_stops_its_follower() -> None:
    """Kafka says so of an offset that is not there; the embedded broker answers as if nothing had come."""
    failures: list[BaseException] = []

    async def made_anew(broker: EmbeddedBroker) -> None:
        settings = Settings.from_environment({**broker.environment(), "BORDERFLOW_PARTITIONS": "2"})
        create_topics(settings)
        follower = of_a_worker(settings, failures.append)
        await follower.start()
        await follower.caught_up()
        assert follower._consumer is not None
        fetcher = follower._consumer._fetcher
        assert fetcher._default_reset_strategy == OffsetResetStrategy.NONE, "aiokafka begins anew, and says nothing"
        at = TopicPartition("criteria", 0)
        fetcher._records[at] = FetchError(error=OffsetOutOfRangeError({at: 700}), backoff=0)
        while not failures:  # noqa: ASYNC110 - what it does is to tell
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        assert not follower.ready
        await follower.stop()

    with EmbeddedBroker() as broker:
        asyncio.run(asyncio.wait_for(made_anew(broker), 60))
    (failure,) = failures
    assert re.search(r"criteria has offsets from 0 up to 0, and .* folded it up to 700", str(failure))
