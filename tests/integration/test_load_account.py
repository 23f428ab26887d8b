"""The open-loop driver on a real broker and worker: its account of a dirty run, and the same from the topics alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from load.clock import simulated_time
from load.driver import Driver
from load.inspectors import Inspector
from load.ledger import Ledger
from load.reading import LODGEMENTS, TOPICS, Reader
from load.world import World
from tests.integration.border import border
from tests.integration.harbour import PATIENCE_S

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

SECONDS, RATE = 12.0, 150.0


def test_every_item_of_a_dirty_run_has_one_end_and_the_topics_alone_tell_the_same(tmp_path: Path) -> None:
    with border(tmp_path) as at:
        at.open("worker")
        options = at.settings.client_options()
        planned = simulated_time(RATE, SECONDS, datetime.now(UTC))
        world = World(4, items_per_day=planned.items_per_day, start=planned.start, dirt=0.02)
        officers = Inspector(world.truth, 4, delay=(timedelta(hours=1), timedelta(hours=3)))
        driver = Driver(
            options, world.lodgements(), RATE, Ledger(), inspector=officers, duration_s=SECONDS, drain_s=PATIENCE_S
        )  # fmt: skip
        sent = asyncio.run(driver.run())
        told = driver.ledger.summary()
        assert (told["missing"], told["doubled"], told["strays"], sent.failed_items) == (0, 0, 0, 0)
        assert told["lodged"] == sent.items >= RATE * SECONDS
        assert told["decided"] + told["dead_lettered"] == told["lodged"]
        assert len(told["dead_letters_by_reason"]) > 3
        assert told["alerts"] > 0
        assert sent.results > 0
        assert told["latency_ms"]["p50"] is not None

        again = asyncio.run(_account(options, told["lodged"]))
        for figure in ("lodged", "decided", "dead_lettered", "missing", "doubled", "alerts", "dead_letters_by_reason"):
            assert again[figure] == told[figure], figure


async def _account(options: dict[str, Any], items: int) -> dict[str, Any]:
    reader, stop = Reader(Ledger()), asyncio.Event()
    reading = asyncio.create_task(reader.follow(options, stop, (*TOPICS, *LODGEMENTS)))
    for _ in range(int(PATIENCE_S / 0.1)):
        await asyncio.sleep(0.1)
        if reader.ledger.lodged_items >= items and not reader.ledger.in_flight:
            break
    await asyncio.sleep(1)
    stop.set()
    await reading
    assert reader.ledger.unreadable == 0
    return reader.ledger.summary()
