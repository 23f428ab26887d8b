"""The streaming core on a real broker: batches, commits, crashes, kills, rebuilds, dead letters."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from aiohttp import ClientSession

from agents.step import Arrival, Outcome
from streams.app import build_app
from streams.embedded import EmbeddedBroker
from streams.hosting import StepHost
from streams.rebuild import LogReader
from streams.recordbatch import encoded
from streams.settings import Settings
from streams.topics import TopicsUnfitError, admin, check_topics
from streams.transport import RecordBatch
from streams.wire import Outgoing, Placed, header
from tests.integration.harbour import (
    PATIENCE_S,
    ROOT,
    committed,
    crossing,
    expected,
    lodge,
    publisher,
    read_all,
    record_of,
    tallies,
    worker,
)
from tests.integration.toy import CountCrossings, Crossed, NoticeBoard, Noticed, Tally, toy_app, toy_topology
from tests.ports import own_port

pytestmark = pytest.mark.broker

Create = Callable[[dict[str, int]], None]
TOPICS = {"crossings": 4, "tallies": 4, "crossings-dlq": 1}


def as_pairs(found: dict[tuple[int, int], list[Any]]) -> dict[tuple[int, int], tuple[str, int]]:
    """One (plate, crossings) per source record; redelivered ones must say the same."""
    for events in found.values():
        assert len({(event.plate, event.crossings) for event in events}) == 1
    return {at: (events[0].plate, events[0].crossings) for at, events in found.items()}


def wait_for(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


async def until(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait until a condition of this process holds."""
    for _ in range(int(within_s / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen in time")


class Watched(CountCrossings):
    """The toy step, keeping the offsets of every chunk that it decided."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.chunks: list[tuple[int, list[int]]] = []

    def decide(self, state: Tally, arrivals: Sequence[Arrival[Crossed]]) -> Outcome:
        self.chunks.append((arrivals[0].partition, [arrival.offset for arrival in arrivals]))
        return super().decide(state, arrivals)


def test_what_no_client_can_parse_is_one_dead_letter_each_and_the_worker_goes_on(
    broker_settings: Settings, create_topics: Create
) -> None:
    create_topics({"crossings": 1, "tallies": 1, "crossings-dlq": 1})
    topic = f"{broker_settings.group}-crossings"
    latin1 = encoded([("seal", b"x")]).replace(b"seal", "s\xe4al".encode("latin-1"))

    async def scenario() -> list[Any]:
        async with publisher(broker_settings) as to:
            for number in range(6):
                lodged = [record_of(crossing(2 * number + n), 0) for n in range(2)]
                if number in (0, 3):
                    lodged[0].headers = latin1  # the second record of its batch cannot be parsed either
                if number == 5:
                    lodged[0] = Outgoing(b"k", b"not json", 0, [("dlq-attempt", b"9" * 5000)], 0)
                await to.publish(topic, lodged)
        app = toy_app(broker_settings)
        await app.start()
        try:
            await read_all(broker_settings, f"{broker_settings.group}-tallies", 1, 7)
            return await read_all(broker_settings, f"{topic}-dlq", 1, 5)
        finally:
            await app.stop()

    letters = [dict(record.headers) for record in asyncio.run(scenario())]
    assert sorted((int(said["dlq-offset"]), said["dlq-reason"]) for said in letters) == [
        (0, b"unreadable-record"), (1, b"unreadable-record"),
        (6, b"unreadable-record"), (7, b"unreadable-record"), (10, b"not-json"),
    ]  # fmt: skip
    assert {said["dlq-attempt"] for said in letters} == {b"1"}
    done = asyncio.run(read_all(broker_settings, f"{broker_settings.group}-tallies", 1, 7))
    assert sorted(offset for _, offset in tallies(done)) == [2, 3, 4, 5, 8, 9, 11]
    assert committed(broker_settings, topic) == {0: 12}


def test_batches_arrive_whole_and_in_order_and_are_committed_as_last_offset_plus_one(
    broker_settings: Settings, create_topics: Create
) -> None:
    create_topics(TOPICS)
    count = 1700

    async def scenario() -> Watched:
        await lodge(broker_settings, count, 4)
        step = Watched(broker_settings.group)
        topology = toy_topology(broker_settings.group)
        app = build_app(broker_settings, dataclasses.replace(topology, steps=(step,)))
        await app.start()
        try:
            await until(lambda: sum(len(offsets) for _, offsets in step.chunks) >= 4 * count)
            await asyncio.sleep(1.5)
        finally:
            await app.stop()
        return step

    step = asyncio.run(scenario())
    for partition in range(4):
        decided = [offset for at, offsets in step.chunks if at == partition for offset in offsets]
        assert decided == list(range(count))
    assert max(len(offsets) for _, offsets in step.chunks) > 50
    topic = f"{broker_settings.group}-crossings"
    assert committed(broker_settings, topic) == dict.fromkeys(range(4), count)
    records = asyncio.run(read_all(broker_settings, f"{broker_settings.group}-tallies", 4, 4 * count))
    assert as_pairs(tallies(records)) == expected(count, 4)
    assert len(records) == 4 * count


def test_a_failing_step_stops_the_worker_and_nothing_is_lost(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    create_topics(TOPICS)
    asyncio.run(lodge(broker_settings, 400, 4))
    group = broker_settings.group

    async def one_that_explodes() -> None:
        async with publisher(broker_settings) as to:
            await to.publish(f"{group}-crossings", [record_of(Crossed("TNT", 400), 2)])

    asyncio.run(one_that_explodes())
    asyncio.run(lodge(broker_settings, 200, 4, start=401))
    with worker(worker_environment, tmp_path / "log", TOY_EXPLODES_ON="TNT") as failing:
        assert failing.wait(PATIENCE_S) == 1
    said = (tmp_path / "log").read_text()
    assert f"count failed on {group}-crossings[2], offsets " in said
    assert "RuntimeError at tests/integration/toy.py:" in said
    assert "the toy exploded" not in said  # an exception's text may be a value of the record
    assert committed(broker_settings, f"{group}-crossings").get(2, 0) <= 400
    with worker(worker_environment, tmp_path / "log"):
        records = asyncio.run(read_all(broker_settings, f"{group}-tallies", 4, 2401))
    found = tallies(records)
    lodged = {(p, n) for p in range(4) for n in range(600)} | {(2, 600)}
    assert set(found) == lodged
    as_pairs(found)


def test_a_killed_worker_loses_nothing_and_states_equal_those_of_an_undisturbed_run(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    create_topics(TOPICS)
    group, count = broker_settings.group, 6000

    def some_tallies() -> bool:
        return len(asyncio.run(read_all(broker_settings, f"{group}-tallies", 4))) > 500

    with worker(worker_environment, tmp_path / "a") as first, worker(worker_environment, tmp_path / "b"):
        lodging = subprocess.Popen(_lodger(count), env={**os.environ, **worker_environment}, cwd=ROOT)
        wait_for(some_tallies)
        first.send_signal(signal.SIGKILL)
        first.wait()
        with worker(worker_environment, tmp_path / "c"):
            assert lodging.wait(PATIENCE_S) == 0
            records = asyncio.run(read_all(broker_settings, f"{group}-tallies", 4, 4 * count))
    assert as_pairs(tallies(records)) == expected(count, 4)


def _lodger(count: int) -> list[str]:
    return [sys.executable, "-m", "tests.integration.harbour", str(count)]


def test_a_stopped_worker_leaves_nothing_half_acked(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    create_topics(TOPICS)
    group, count = broker_settings.group, 20_000
    asyncio.run(lodge(broker_settings, count, 4, step=500))
    with worker(worker_environment, tmp_path / "log") as process:
        wait_for(lambda: sum(committed(broker_settings, f"{group}-crossings").values()) > 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    at_stop = committed(broker_settings, f"{group}-crossings")
    found = tallies(asyncio.run(read_all(broker_settings, f"{group}-tallies", 4)))
    for partition in range(4):
        produced = sorted(offset for at, offset in found if at == partition)
        assert produced == list(range(at_stop.get(partition, 0)))


class AlwaysOurs:
    """Ownership of everything, for a host without a consumer group."""

    def may_decide(self, batch: RecordBatch) -> bool:
        return True

    def may_produce(self, batch: RecordBatch) -> bool:
        return True

    def let_go(self, message: Any) -> None:
        raise AssertionError("everything is ours")

    async def hand_over(self, topic: str, placed: Sequence[Placed]) -> None:
        """There is nobody to hand anything to."""


class Silent:
    """A publisher that delivers nothing anywhere, and counts."""

    def __init__(self) -> None:
        self.count = 0

    async def publish(self, topic: str, records: Any) -> list[Placed]:
        self.count += len(list(records))
        return []


def test_a_rebuilt_state_equals_the_state_that_decided(broker_settings: Settings, create_topics: Create) -> None:
    create_topics(TOPICS)
    topic = f"{broker_settings.group}-crossings"

    async def scenario() -> tuple[Tally, Tally, Tally]:
        await lodge(broker_settings, 3000, 1)
        async with publisher(broker_settings) as to:
            await to.publish(topic, [record_of(b"garbage", 0), record_of(None, 0)])
        await lodge(broker_settings, 500, 1, start=3000)
        records = await read_all(broker_settings, topic, 1, 3502)
        async with LogReader(broker_settings) as reader:

            def host() -> StepHost:
                toy = toy_topology(broker_settings.group)
                return StepHost(
                    toy.steps[0], decoders=toy.decoders, encode=toy.encode, ce_type=toy.ce_type,
                    publisher=Silent(), reader=reader, ownership=AlwaysOurs(), source="/test",  # type: ignore[arg-type]
                )  # fmt: skip

            live, rebuilt, again = host(), host(), host()
            for start in range(0, 3502, 300):
                await live.handle([RecordBatch(topic, 0, records[start : start + 300], start or None, 0, 0)])
            await rebuilt.handle([RecordBatch(topic, 0, records[3333:], None, 0, 0)])
            await again.handle([RecordBatch(topic, 0, records[3000:], None, 0, 0)])
            await again.handle([RecordBatch(topic, 0, records[2500:], None, 0, 0)])  # once more, and more
            at = (topic, 0)
            return live.states[at].state, rebuilt.states[at].state, again.states[at].state

    live, rebuilt, again = asyncio.run(scenario())
    assert sum(live.crossings.values()) == 3500
    assert rebuilt.crossings == live.crossings
    assert again.crossings == live.crossings


def test_a_log_that_ends_before_what_is_asked_for_is_read_to_its_end(
    broker_settings: Settings, create_topics: Create
) -> None:
    create_topics(TOPICS)
    topic = f"{broker_settings.group}-crossings"

    async def offsets(start: int, upto: int) -> list[int]:
        async with LogReader(broker_settings) as reader:
            return [one.offset async for records in reader.read(topic, 0, start, upto) for one in records]

    asyncio.run(lodge(broker_settings, 10, 1))
    assert asyncio.run(offsets(5, 50)) == [5, 6, 7, 8, 9]
    assert asyncio.run(offsets(20, 21)) == []


def test_what_cannot_be_read_or_decided_is_a_dead_letter_with_the_raw_bytes_and_blocks_nothing(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    create_topics(TOPICS)
    group = broker_settings.group
    big = b"x" * 1_000_000

    async def lodge_poison() -> None:
        async with publisher(broker_settings) as to:
            await to.publish(
                f"{group}-crossings",
                [
                    record_of(crossing(0), 1),
                    record_of(b"\xff\x00garbage", 1, b"poison"),
                    record_of(None, 1),
                    record_of(Crossed("", 3), 1),
                    record_of(big, 1),
                    record_of(crossing(5), 1),
                ],
            )

    asyncio.run(lodge_poison())
    with worker(worker_environment, tmp_path / "log"):
        letters = asyncio.run(read_all(broker_settings, f"{group}-crossings-dlq", 1, 4))
        alive = asyncio.run(read_all(broker_settings, f"{group}-tallies", 4, 2))
    assert sorted(tallies(alive)) == [(1, 0), (1, 5)]
    by_offset = {int(header(one.headers, "dlq-offset") or b""): one for one in letters}
    assert sorted(by_offset) == [1, 2, 3, 4]
    garbage = by_offset[1]
    assert garbage.value == b"\xff\x00garbage"
    assert garbage.key == b"poison"
    said = dict(garbage.headers)
    assert said["seal"] == b"intact"
    assert said["dlq-topic"] == f"{group}-crossings".encode()
    assert said["dlq-partition"] == b"1"
    assert said["dlq-step"] == b"count"
    assert said["dlq-reason"] == b"not-json"
    assert said["dlq-attempt"] == b"1"
    assert said["dlq-index"] == b""
    blank = dict(by_offset[3].headers)
    assert (blank["dlq-reason"], blank["dlq-field"], blank["dlq-index"]) == (b"blank-name", b"plate", b"0")
    assert by_offset[4].value == big


def test_a_broadcast_notice_reaches_a_follower_within_a_second(
    broker_settings: Settings, create_topics: Create
) -> None:
    create_topics({**TOPICS, "notices": 1})
    topic = f"{broker_settings.group}-notices"

    async def scenario() -> tuple[dict[str, str], list[float], int, bool]:
        board = NoticeBoard()
        app = toy_app(broker_settings, book=board)
        async with publisher(broker_settings) as to:
            await to.publish(topic, [record_of(Noticed(f"n{n}"), 0, f"k{n % 7}".encode()) for n in range(2000)])
            await to.publish(topic, [record_of(b"garbage", 0, b"bad"), record_of(None, 0, b"k3")])
            await app.followers.start()
            await asyncio.wait_for(app.followers.caught_up(), PATIENCE_S)
            at_start = dict(board.notices)
            taken = []
            for n in range(5):
                began = time.monotonic()
                await to.publish(topic, [record_of(Noticed("fresh"), 0, f"fresh{n}".encode())])
                await until(lambda: f"fresh{n}" in board.notices)  # noqa: B023 - awaited in this turn of the loop
                taken.append(time.monotonic() - began)
            ready = app.followers.ready
            await app.followers.stop()
            return at_start, taken, board.offset, ready

    at_start, taken, offset, ready = asyncio.run(scenario())
    assert at_start == {f"k{n % 7}": f"n{n}" for n in range(2000) if n % 7 != 3}
    assert sorted(taken)[2] < 1.0, taken  # a machine may stand still for a moment
    assert offset == 2006
    assert ready


def test_the_worker_says_whether_it_is_alive_and_ready_and_shows_its_metrics(
    broker_settings: Settings, create_topics: Create
) -> None:
    create_topics({**TOPICS, "notices": 1})

    async def scenario() -> tuple[int, int, str, str]:
        app = toy_app(broker_settings, book=NoticeBoard())
        starting = asyncio.ensure_future(app.start())
        await until(lambda: app.web_pages.port is not None)
        base = f"http://127.0.0.1:{app.web_pages.port}"
        async with ClientSession() as client:

            async def status(page: str) -> int:
                async with client.get(base + page) as answer:
                    return answer.status

            early = await status("/healthz"), await status("/readyz")
            async with client.get(base + "/metrics") as answer:
                at_first = await answer.text()
            await starting
            deadline = time.monotonic() + PATIENCE_S
            while await status("/readyz") != 200:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            await lodge(broker_settings, 50, 4)
            text = ""
            while not all(line in text for line in told) and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
                async with client.get(base + "/metrics") as answer:
                    text = await answer.text()
        await app.stop()
        return *early, at_first, text

    topic = f"{broker_settings.group}-crossings"
    told = [
        "\nborderflow_ready 1.0\n",
        f'borderflow_records_in_total{{step="count",topic="{topic}"}} 200.0',
        f'borderflow_committed_lag_records{{partition="0",topic="{topic}"}} 0.0',
        f'borderflow_read_lag_records{{partition="0",topic="{topic}"}} 0.0',
        f'borderflow_seconds_since_commit{{partition="0",topic="{topic}"}}',
        'borderflow_state_entries{step="count"} ',
        # What it reads and what it follows: BrokersSilent asks for both.
        f'borderflow_seconds_since_fetch{{partition="0",topic="{topic}"}}',
        f'borderflow_seconds_since_fetch{{partition="0",topic="{broker_settings.group}-notices"}}',
    ]
    alive, early, at_first, text = asyncio.run(scenario())
    assert (alive, early) == (200, 503)
    assert "\nborderflow_ready 0.0\n" in at_first
    assert [line for line in told if line not in text] == []


def test_a_worker_refuses_to_start_without_its_topics_and_says_which(
    broker_settings: Settings, create_topics: Create, worker_environment: dict[str, str], tmp_path: Path
) -> None:
    create_topics({"crossings": 4, "crossings-dlq": 1})
    with worker(worker_environment, tmp_path / "log") as process:
        assert process.wait(PATIENCE_S) == 1
    assert f"no such topic: {broker_settings.group}-tallies" in (tmp_path / "log").read_text()


def test_a_worker_refuses_logs_that_are_not_partitioned_alike(broker_settings: Settings, create_topics: Create) -> None:
    create_topics({**TOPICS, "passports": 2})
    step = CountCrossings(broker_settings.group)
    step.memory = (dataclasses.replace(step.memory[0], topic=f"{broker_settings.group}-passports"),)
    with admin(broker_settings) as client, pytest.raises(TopicsUnfitError, match="needs as many of both"):
        check_topics(client, [step], [])


def test_a_worker_refuses_knowledge_that_is_in_several_partitions(
    broker_settings: Settings, create_topics: Create
) -> None:
    create_topics({"lessons": 4})
    several = "lessons has 4 partitions: every worker folds it from exactly one"
    with admin(broker_settings) as client, pytest.raises(TopicsUnfitError, match=several):
        check_topics(client, [], [f"{broker_settings.group}-lessons"])


def test_what_goes_wrong_before_a_reader_has_read_is_what_is_raised(broker_settings: Settings) -> None:
    async def scenario() -> None:
        async with LogReader(broker_settings):
            raise LookupError("of the test")

    with pytest.raises(LookupError, match="of the test"):
        asyncio.run(scenario())


def test_a_worker_to_which_no_broker_answers_is_not_ready_until_one_does(tmp_path: Path) -> None:
    port = own_port()
    with EmbeddedBroker(start_timeout_s=60) as broker:
        environment = {**broker.environment(), "BORDERFLOW_GROUP": "mute", "BORDERFLOW_WEB_PORT": str(port)}
        settings = Settings.from_environment(environment)
        with admin(settings) as client:
            client.create_topics({f"mute-{name}": {"num_partitions": 1, "replication_factor": 1} for name in TOPICS})

        def answered() -> tuple[int, str]:
            try:
                with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE_S) as page:
                    return page.status, page.read().decode()
            except HTTPError as refused:
                return refused.code, refused.read().decode()
            except URLError:
                return 0, ""

        def until_answered(code: int) -> str:
            deadline = time.monotonic() + PATIENCE_S
            while (found := answered())[0] != code:
                assert time.monotonic() < deadline, found
                time.sleep(0.1)
            return found[1]

        with worker(environment, tmp_path / "log", TOY_SILENT_S="2"):
            until_answered(200)
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                said = until_answered(503)
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            assert re.fullmatch(r"no broker has answered for \d+ s\n", said)
            until_answered(200)
