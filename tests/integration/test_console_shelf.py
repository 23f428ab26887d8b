"""Single records read back by the console from a real broker, and places where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streams.console import reading
from streams.console.reading import Shelf, UnreadError
from streams.settings import Settings
from tests.integration.harbour import publisher, record_of
from tests.ports import own_port

pytestmark = pytest.mark.broker

Create = Callable[[dict[str, int]], None]


def test_a_record_is_found_in_any_batch_and_what_is_not_there_is_known_at_once(
    broker_settings: Settings, create_topics: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PATIENCE_S", 60.0)
    create_topics({"crossings": 2})
    topic = f"{broker_settings.group}-crossings"

    async def read() -> None:
        async with publisher(broker_settings) as to:
            for batch in range(3):
                await to.publish(topic, [record_of(b"%d" % (10 * batch + n), 0) for n in range(10)])
        shelf = Shelf(broker_settings)
        # Looked for in vain, each of these would raise `UnreadError` when the shelf's patience ends.
        for partition, offset in ((0, 30), (0, 31), (0, 2**63), (1, 0), (2, 0), (9999, 0)):
            assert await shelf.record(topic, partition, offset) is None
        assert await shelf.record(f"{topic}-nowhere", 0, 0) is None
        for offset in (0, 7, 20, 29):
            found = await shelf.record(topic, 0, offset)
            assert found is not None
            assert (found.offset, found.value) == (offset, b"%d" % offset)

    asyncio.run(read())


def test_a_record_of_brokers_that_are_away_is_unread_and_not_gone() -> None:
    away = Shelf(Settings(brokers=f"127.0.0.1:{own_port()}"))
    with pytest.raises(UnreadError):
        asyncio.run(away.record("decisions", 0, 0))
