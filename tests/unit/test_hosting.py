"""The host's order of things: state up to the batch, decide, produce topic by topic, dead letters, then the ack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka.record.default_records import DefaultRecordBatch

from agents.step import Arrival, Memory, Outcome, Output, Refusal
from schemas.codec import Undecodable
from streams import hosting, metrics
from streams.hosting import PART_BYTES, StepHost, run_agent
from streams.recordbatch import RecordBatchBuilder
from streams.transport import RecordBatch
from streams.wire import Headers, Outgoing, Placed

NOW_S = 1_800_000_000.0


@dataclass
class Row:
    """A record of a log."""

    offset: int
    value: bytes | None
    topic: str = "screened"
    partition: int = 3
    timestamp: int = int(NOW_S * 1000)
    key: bytes | None = b"k"
    headers: Sequence[tuple[str, bytes]] = ()


class Said(msgspec.Struct, frozen=True):
    """An output of the test's step."""

    text: str


def decode(value: bytes | None, ce_type: bytes | None = None) -> Any:
    if value is None or value == b"broken":
        raise Undecodable("not-json", "", "broken")
    return value.decode()


@dataclass
class Journal:
    """A step that keeps what it saw, and says it on two topics."""

    name: str = "journal"
    inputs: tuple[str, ...] = ("screened",)
    produces: tuple[str, ...] = ("second", "first")
    memory: tuple[Memory, ...] = (Memory("screened", timedelta(hours=24), "batch"),)
    fail_on: str = ""

    def begin(self, partition: int, first_offset: int) -> list[str]:
        return []

    def remember(self, state: list[str], arrivals: Sequence[Arrival[str]]) -> None:
        state += [arrival.event for arrival in arrivals]

    def decide(self, state: list[str], arrivals: Sequence[Arrival[str]]) -> Outcome:
        outcome = Outcome()
        for arrival in arrivals:
            if arrival.event == self.fail_on:
                raise RuntimeError("cannot decide")
            if arrival.event == "refused":
                outcome.refusals.append(Refusal(arrival.offset, "blank-name", "name", "blank", index=2, item_id="i"))
                continue
            for topic in ("first", "second"):
                said = Said(arrival.event)
                outcome.outputs.append(Output(topic, "k", said, f"{topic}{arrival.offset}", arrival.timestamp_ms))
        self.remember(state, arrivals)
        return outcome

    def entries(self, state: list[str]) -> int:
        return len(state)


@dataclass
class RecordingPublisher:
    """Keeps what is published; fails on one topic if told to."""

    fails_on: str = ""
    published: list[tuple[str, list[Outgoing]]] = field(default_factory=list)

    async def publish(self, topic: str, records: Iterable[Outgoing]) -> list[Placed]:
        if topic == self.fails_on:
            raise ConnectionError("the broker is gone")
        made = list(records)
        for record in made:
            if isinstance(record.headers, bytes):
                record.headers = as_read(record.headers)
        self.published.append((topic, made))
        return [Placed(0, 0, made)]


def as_read(headers: bytes) -> Headers:
    """Headers as a consumer gets them."""
    builder = RecordBatchBuilder(len(headers))
    builder.fill([Outgoing(None, None, 0, headers)])
    (read,) = DefaultRecordBatch(bytes(builder._build()))
    return list(read.headers)


@dataclass
class Shelf:
    """Stands for a `LogReader`: logs as lists of rows."""

    logs: dict[str, list[Row]] = field(default_factory=dict)
    asked_since: list[int] = field(default_factory=list)

    async def since(self, topic: str, partition: int, from_ms: int) -> int | None:
        self.asked_since.append(from_ms)
        return next((row.offset for row in self.logs.get(topic, []) if row.timestamp >= from_ms), None)

    async def end(self, topic: str, partition: int) -> int:
        rows = self.logs.get(topic, [])
        return rows[-1].offset + 1 if rows else 0

    async def read(self, topic: str, partition: int, start: int, upto: int | None = None) -> AsyncIterator[list[Row]]:
        rows = [r for r in self.logs.get(topic, []) if r.offset >= start and (upto is None or r.offset < upto)]
        if rows:
            yield rows


@dataclass
class Deed:
    """Ownership as the test wants it."""

    decide: bool = True
    produce: bool = True
    gone: list[Any] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)

    def may_decide(self, batch: RecordBatch) -> bool:
        return self.decide

    def may_produce(self, batch: RecordBatch) -> bool:
        return self.produce

    def let_go(self, message: Any) -> None:
        self.gone.append(message)

    async def hand_over(self, topic: str, placed: Sequence[Placed]) -> None:
        self.handed += [topic] * len(placed)


def hosted(
    step: Journal | None = None,
    publisher: RecordingPublisher | None = None,
    shelf: Shelf | None = None,
    deed: Deed | None = None,
) -> StepHost:
    return StepHost(
        step or Journal(),
        decoders={"screened": decode, "alerts": decode},
        encode=msgspec.json.encode,
        ce_type=lambda kind: f"borderflow.{kind.__name__}.v1",
        publisher=publisher or RecordingPublisher(),  # type: ignore[arg-type]  # a fake
        reader=shelf or Shelf(),  # type: ignore[arg-type]  # a fake
        ownership=deed or Deed(),
        source="/borderflow",
        clock=lambda: NOW_S,
    )


def batch(rows: list[Row], follows: int | None = None) -> RecordBatch:
    return RecordBatch("screened", rows[0].partition, rows, follows, 0, 0)  # type: ignore[arg-type]  # rows are records


def test_outputs_are_produced_topic_by_topic_in_the_order_of_the_step_and_dead_letters_last() -> None:
    publisher = RecordingPublisher()
    rows = [Row(5, b"a"), Row(6, b"broken"), Row(7, b"refused"), Row(8, b"b")]
    deed = Deed()
    assert asyncio.run(hosted(publisher=publisher, deed=deed).handle([batch(rows)])) == [True]
    assert deed.handed == ["second", "first"], "what was acknowledged is handed on, dead letters are not"
    assert [topic for topic, _ in publisher.published] == ["second", "first", "screened-dlq"]
    second = publisher.published[0][1]
    assert [msgspec.json.decode(one.value or b"", type=Said).text for one in second] == ["a", "b"]
    assert dict(second[0].headers)["ce_id"] == b"second5"
    assert dict(second[0].headers)["ce_type"] == b"borderflow.Said.v1"
    assert dict(second[0].headers)["ce_source"] == b"/borderflow/journal"
    assert dict(second[0].headers)["ce_specversion"] == b"1.0"
    assert dict(second[0].headers)["ce_time"] == b"2027-01-15T08:00:00.000Z"
    letters = publisher.published[2][1]
    assert [dict(one.headers)["dlq-offset"] for one in letters] == [b"6", b"7"]
    assert dict(letters[1].headers)["dlq-index"] == b"2"


def test_a_large_batch_is_decided_in_parts_and_what_follows_is_what_followed_from_the_whole() -> None:
    publisher = RecordingPublisher()
    values = [b"a", b"broken", b"refused", b"b", b"refused", b"broken", b"c"]
    rows = [Row(offset, value) for offset, value in enumerate(values)]
    parts = []

    class InParts(Journal):
        def decide(self, state: list[str], arrivals: Sequence[Arrival[str]]) -> Outcome:
            parts.append([one.offset for one in arrivals])
            return super().decide(state, arrivals)

    host = hosted(InParts(), publisher)
    large = RecordBatch("screened", 3, rows, None, 0, 3 * PART_BYTES)  # type: ignore[arg-type]  # rows are records
    assert asyncio.run(host.handle([large])) == [True]
    assert parts == [[0], [2, 3], [4], [6]]
    assert [[dict(one.headers)["ce_id"] for one in made] for _, made in publisher.published[:2]] == [
        [b"second0", b"second3", b"second6"],
        [b"first0", b"first3", b"first6"],
    ]
    topic, letters = publisher.published[2]
    assert topic == "screened-dlq"
    assert [dict(one.headers)["dlq-offset"] for one in letters] == [b"1", b"5", b"2", b"4"], "unreadable ones first"
    assert host.states["screened", 3].next_offset == 7


def test_a_batch_that_follows_the_last_one_needs_no_rebuild_even_over_a_gap_in_offsets() -> None:
    shelf = Shelf()
    host = hosted(shelf=shelf)

    async def scenario() -> None:
        await host.handle([batch([Row(0, b"a"), Row(1, b"b")])])
        await host.handle([batch([Row(2, b"c")])])
        await host.handle([batch([Row(9, b"d")], follows=3)])  # offsets 3 to 8 were compacted away

    asyncio.run(scenario())
    assert host.states["screened", 3].state == ["a", "b", "c", "d"]
    assert len(shelf.asked_since) == 1


def test_a_batch_that_does_not_follow_rebuilds_the_state_from_the_log_without_emitting() -> None:
    old = Row(0, b"too old", timestamp=int((NOW_S - 25 * 3600) * 1000))
    shelf = Shelf({"screened": [old, Row(1, b"a"), Row(2, b"broken"), Row(3, b"b"), Row(4, b"c"), Row(5, b"later")]})
    publisher = RecordingPublisher()
    host = hosted(publisher=publisher, shelf=shelf)
    asyncio.run(host.handle([batch([Row(4, b"c")])]))
    assert host.states["screened", 3].state == ["a", "b", "c"]
    assert [len(records) for _, records in publisher.published] == [1, 1]


def test_a_redelivered_batch_counts_once_in_the_state() -> None:
    rows = [Row(n, b"%d" % n) for n in range(6)]
    host = hosted(shelf=Shelf({"screened": rows}))

    async def scenario() -> None:
        await host.handle([batch(rows[:4])])
        await host.handle([batch(rows[2:])])

    asyncio.run(scenario())
    assert host.states["screened", 3].state == ["0", "1", "2", "3", "4", "5"]


def test_a_record_stamped_in_the_future_does_not_shorten_the_past() -> None:
    shelf = Shelf()
    ahead = Row(4, b"c", timestamp=int((NOW_S + 30 * 86_400) * 1000))
    asyncio.run(hosted(shelf=shelf).handle([batch([ahead])]))
    assert shelf.asked_since == [int((NOW_S - 86_400) * 1000)]


def test_a_record_of_which_nothing_can_be_read_does_not_lengthen_the_past_to_all_that_there_is() -> None:
    for rows in ([Row(4, None, timestamp=-1), Row(5, b"c")], [Row(4, None, timestamp=-1)]):
        shelf = Shelf()
        asyncio.run(hosted(shelf=shelf).handle([batch(rows)]))
        assert shelf.asked_since == [int((NOW_S - 86_400) * 1000)]


def test_what_comes_while_a_log_is_asked_for_its_past_is_folded() -> None:
    class Quiet(Shelf):
        async def since(self, topic: str, partition: int, from_ms: int) -> int | None:
            found = await super().since(topic, partition, from_ms)
            self.logs["alerts"] = [Row(0, b"the first alert")]
            return found

    host = hosted(Journal(memory=(Memory("alerts", timedelta(days=30), "end", following=True),)), shelf=Quiet())
    asyncio.run(host.handle([batch([Row(0, b"a")])]))
    assert host.states["screened", 3].state == ["the first alert", "a"]


def test_states_are_counted_as_they_stand_when_that_is_asked() -> None:
    def entries() -> float | None:
        return metrics.REGISTRY.get_sample_value("borderflow_state_entries", {"step": "journal"})

    host = hosted()
    asyncio.run(host.handle([batch([Row(0, b"a"), Row(1, b"b")])]))
    assert entries() == 2
    host.forget(lambda *_: False)
    assert entries() == 0, "a worker from which all was taken holds nothing"


def test_a_followed_log_is_read_on_to_its_end_before_every_batch() -> None:
    following = Memory("alerts", timedelta(days=30), "end", following=True)
    shelf = Shelf({"alerts": [Row(0, b"alert 0"), Row(1, b"alert 1")]})
    host = hosted(Journal(memory=(following,)), shelf=shelf)

    async def scenario() -> list[str]:
        await host.handle([batch([Row(0, b"result 0")])])
        shelf.logs["alerts"].append(Row(2, b"alert 2"))
        await host.handle([batch([Row(1, b"result 1")])])
        return list(host.states["screened", 3].state)

    assert asyncio.run(scenario()) == ["alert 0", "alert 1", "result 0", "alert 2", "result 1"]


def test_a_batch_of_an_earlier_assignment_is_not_decided() -> None:
    publisher = RecordingPublisher()
    host = hosted(publisher=publisher, deed=Deed(decide=False))
    assert asyncio.run(host.handle([batch([Row(0, b"a")])])) == [False]
    assert publisher.published == []
    assert host.states == {}


def test_nothing_is_produced_for_a_partition_that_was_taken_away_while_the_batch_was_in_hand() -> None:
    publisher = RecordingPublisher()
    host = hosted(publisher=publisher, deed=Deed(produce=False))
    assert asyncio.run(host.handle([batch([Row(0, b"a"), Row(1, b"broken")])])) == [False]
    assert publisher.published == []
    assert host.states == {}, "a state that ran ahead of what was produced must be rebuilt"


@dataclass
class FakeEvent:
    value: RecordBatch
    message: str = "the Faust message"


class FakeStream:
    """Stands for a Faust stream that hands on batches and counts acks."""

    def __init__(self, batches: list[RecordBatch]) -> None:
        self._batches = batches
        self.acked: list[int] = []

    def noack(self) -> FakeStream:
        return self

    async def events(self) -> AsyncIterator[FakeEvent]:
        for one in self._batches:
            yield FakeEvent(one)
        await asyncio.Event().wait()

    async def ack(self, event: FakeEvent) -> None:
        self.acked.append(event.value.first_offset)


async def for_a_moment(agent: Coroutine[Any, Any, None]) -> None:
    """Let an agent run until nothing is left to do."""
    running = asyncio.create_task(agent)
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert not running.done(), "Faust restarts an agent that ends, and would go on behind a lost batch"
    running.cancel()


@pytest.mark.parametrize(
    ("step", "publisher"),
    [(Journal(fail_on="b"), RecordingPublisher()), (Journal(), RecordingPublisher(fails_on="first"))],
    ids=["a step that fails", "a produce that fails"],
)
def test_on_a_failure_nothing_more_is_acked_and_the_worker_is_stopped(
    step: Journal, publisher: RecordingPublisher
) -> None:
    stream = FakeStream([batch([Row(0, b"b")]), batch([Row(1, b"c")])])
    failures: list[BaseException] = []

    async def failed(error: BaseException) -> None:
        failures.append(error)

    asyncio.run(for_a_moment(run_agent(stream, hosted(step, publisher), failed)))
    assert len(failures) == 1
    assert stream.acked == []


def test_what_goes_wrong_with_an_ack_stops_the_worker_which_would_else_wait_for_good() -> None:
    class Broken(FakeStream):
        async def ack(self, event: Any) -> bool:
            raise RuntimeError("the ack failed")

    failures: list[BaseException] = []

    async def failed(error: BaseException) -> None:
        failures.append(error)

    asyncio.run(for_a_moment(run_agent(Broken([batch([Row(0, b"a")])]), hosted(), failed)))
    assert [str(error) for error in failures] == ["the ack failed"]


def test_a_batch_that_was_taken_away_is_neither_acked_nor_waited_for() -> None:
    stream = FakeStream([batch([Row(0, b"b")])])
    deed = Deed(produce=False)

    async def failed(error: BaseException) -> None:
        raise AssertionError from error

    asyncio.run(for_a_moment(run_agent(stream, hosted(deed=deed), failed)))
    assert stream.acked == []
    assert deed.gone == ["the Faust message"]


def test_what_comes_while_a_round_is_delivered_is_delivered_in_one_round_after_it() -> None:
    publisher = RecordingPublisher()
    rows = [Row(0, b"a", partition=0), Row(7, b"b", partition=1), Row(1, b"c", partition=0), Row(2, b"d", partition=0)]
    stream = FakeStream([batch([row]) for row in rows])

    async def failed(error: BaseException) -> None:
        raise AssertionError from error

    asyncio.run(for_a_moment(run_agent(stream, hosted(publisher=publisher), failed)))
    assert stream.acked == [0, 7, 1, 2]
    said = [(topic, [record.value for record in records]) for topic, records in publisher.published]
    everything = [b'{"text":"%s"}' % row.value for row in rows if row.value]
    assert [values for topic, values in said if topic == "first"] in ([everything], [everything[:1], everything[1:]])


def test_what_took_how_long_is_told_of_when_it_was_acknowledged_and_not_of_what_came_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, took = [NOW_S], dict[str, list[float]]()

    class Slow(RecordingPublisher):
        async def publish(self, topic: str, records: Iterable[Outgoing]) -> list[Placed]:
            now[0] += 1.0
            return await super().publish(topic, records)

    origin = SimpleNamespace(sent_ms=int(NOW_S * 1000))
    told = {topic: (topic, lambda event: origin) for topic in ("second", "first")}  # of decisions, and of alerts
    monkeypatch.setattr(hosting, "_LATENCIES", told)
    monkeypatch.setattr(metrics, "observe_all", lambda topic, values: took.update({topic: values}))
    host = hosted(publisher=Slow())
    host._clock = lambda: now[0]
    asyncio.run(host.handle([batch([Row(0, b"a"), Row(1, b"broken")])]))
    assert took == {"second": [1.0], "first": [2.0]}


def test_a_round_holds_back_no_partition_for_one_that_was_taken_away() -> None:
    publisher = RecordingPublisher()
    gone, ours = batch([Row(0, b"a", partition=0)]), batch([Row(0, b"b", partition=1)])

    class Divided(Deed):
        def may_produce(self, batch: RecordBatch) -> bool:
            return batch is not gone

    host = hosted(publisher=publisher, deed=Divided())
    assert asyncio.run(host.handle([gone, ours])) == [False, True]
    assert [record.value for _, records in publisher.published for record in records] == [b'{"text":"b"}'] * 2
    assert set(host.states) == {("screened", 1)}


def test_a_dead_letter_that_cannot_be_written_is_a_failure_too() -> None:
    host = hosted(publisher=RecordingPublisher(fails_on="screened-dlq"))
    with pytest.raises(ConnectionError):
        asyncio.run(host.handle([batch([Row(0, b"broken")])]))


def test_an_output_on_a_topic_that_the_step_did_not_declare_is_a_defect() -> None:
    with pytest.raises(KeyError):
        asyncio.run(hosted(Journal(produces=("first",))).handle([batch([Row(0, b"a")])]))
