"""The open-loop driver: CloudEvents headers, its account of itself, and what the load command says and refuses."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from load.driver import LATE_MS, Driver, Sent, cloud_event
from load.ledger import Ledger
from load.measure import complaints, doubts, report
from load.reading import Reader, ce_id_of, sent_ms_of
from load.seen import DeadLetterSeen, DecisionSeen
from load.world import World
from schemas.codec import ce_type_of
from schemas.inspections import InspectionCompleted
from schemas.lodgements import ExpressConsignmentLodged, ManifestLodged, PassengerExpected
from schemas.marks import Origin
from streams.cli import main
from streams.commands import CommandRefusedError
from streams.commands import load as load_command
from tests.unit.test_ledger import Record, refusal


def test_lodgements_carry_cloudevents_headers_with_the_intended_time() -> None:
    headers = cloud_event("express-cargo/W1/0", "express-cargo", "/lodgers/X", 1_740_830_400.0425)
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"express-cargo/W1/0",
        "ce_type": b"borderflow.ExpressConsignmentLodged.v1",
        "ce_source": b"/lodgers/X",
        "ce_time": b"2025-03-01T12:00:00.042Z",
        "content-type": b"application/json",
    }
    assert ce_id_of(headers) == "express-cargo/W1/0"
    assert sent_ms_of(headers) == 1_740_830_400_042
    assert (ce_id_of([]), sent_ms_of([]), sent_ms_of([("ce_time", b"soon")])) == ("", None, None)


@pytest.mark.parametrize(
    ("topic", "event"),
    [
        ("manifests", ManifestLodged),
        ("express-cargo", ExpressConsignmentLodged),
        ("passengers", PassengerExpected),
        ("inspection-results", InspectionCompleted),
    ],
)
def test_event_types_are_those_that_the_topics_declare(topic: str, event: type[msgspec.Struct]) -> None:
    assert dict(cloud_event("x", topic, "/s", time.time()))["ce_type"].decode() == ce_type_of(event)


def sent(rate: float, items: int, seconds: float, lag_ms: int) -> Sent:
    done = Sent(rate, items=items, began=100.0, ended=100.0 + seconds)
    for _ in range(100):
        done.lag.record_value(lag_ms)
    return done


def test_a_driver_that_is_late_or_slow_says_so() -> None:
    assert not sent(1000, 10_000, 10, 3).fell_behind
    assert sent(1000, 10_000, 10, LATE_MS * 2).fell_behind
    assert sent(1000, 9_000, 10, 3).fell_behind
    assert sent(1000, 9_000, 10, 3).summary()["achieved_rate"] == pytest.approx(900)


class SilentBrokers:
    """Stands for the client of brokers that take the first batch and answer nothing after it."""

    def __init__(self, **_: Any) -> None:
        self._answered = False

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> Any:
        return self

    def append(self, **_: Any) -> object:
        return self

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        answer = asyncio.get_running_loop().create_future()
        if not self._answered:
            self._answered = True
            answer.set_result(SimpleNamespace(offset=0))
        return answer


def test_what_brokers_never_acknowledged_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def follow(reader: Reader, _: Any, stop: asyncio.Event, **__: Any) -> None:
        reader.ready.set()
        await stop.wait()

    monkeypatch.setattr("load.driver.AIOKafkaProducer", SilentBrokers)
    monkeypatch.setattr(Reader, "follow", follow)
    world = World(3, items_per_day=1_000)
    driver = Driver({}, world.lodgements(), 200.0, Ledger(), duration_s=0.3, drain_s=0.2)
    asyncio.run(driver.run())
    made = {**driver.sent.summary(), **driver.ledger.summary()}
    assert 0 < made["lodged"] < made["sent"] == made["lodged"] + made["send_failures"]
    assert any("were not acknowledged" in sentence for sentence in complaints(made))


def test_what_an_earlier_run_lodged_is_passed_over() -> None:
    reader = Reader(Ledger())
    reader.since_ms = 5_000
    early, late = (
        Record("express-cargo-dlq", b"?", [*refusal("express-cargo", offset), ("ce_time", at)], offset=offset)
        for offset, at in ((1, b"1970-01-01T00:00:01.000Z"), (2, b"1970-01-01T00:00:09.000Z"))
    )
    reader.feed(early, 10_000)
    reader.feed(late, 10_000)
    assert reader.ledger.dead_items == 1
    assert reader.ledger.saw_dead_letter(DeadLetterSeen("express-cargo", 2, 1, None, "not-json"))


def summary(**changes: Any) -> dict[str, Any]:
    ledger = Ledger()
    ledger.lodged("express-cargo", 0, 0)
    origin = Origin(topic="express-cargo", partition=0, offset=0, lodgement_id="W", sent_ms=1_000)
    at = datetime.now(UTC) - timedelta(days=1)
    ledger.saw_decision(DecisionSeen("d", "KRICN-EXP", at, "green", False, 0, origin), "d-1", 1_025)
    return {**sent(1000, 1, 1, 3).summary(), **ledger.summary(), **changes}


def test_the_report_names_every_figure_and_every_complaint() -> None:
    console = Console(record=True, width=100, file=None, quiet=False)
    with console.capture() as captured:
        console.print(report(summary()))
    for words in ("missing", "event to decision, p50 / p99 / p99.9", "25 ms / 25 ms / 25 ms", "driver's own lag"):
        assert words in captured.get()
    assert complaints(summary()) == []
    assert len(complaints(summary(missing=2, doubled=1, send_failures=3))) == 3


def test_latencies_of_a_run_that_lost_items_or_whose_driver_was_late_are_not_figures_of_it() -> None:
    assert doubts(summary(driver_fell_behind=False)) == []
    assert len(doubts(summary(driver_fell_behind=True, missing=2, alerts_missing=1))) == 3


@pytest.mark.usefixtures("logging_put_back")
def test_a_load_whose_brokers_go_away_says_so_once_and_not_at_every_try(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_brokers(*_: Any) -> dict[str, Any]:
        for attempt in range(200):
            logging.getLogger("aiokafka").error("Unable connect to node with id %d", attempt)
        raise CommandRefusedError("of the test")

    monkeypatch.setattr(load_command, "run_load", without_brokers)
    monkeypatch.setattr(load_command, "_refuse_missing_topics", lambda _: None)
    with pytest.raises(SystemExit):
        main(["load"])
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "0"], "rate"),
        (["--duration", "-1"], "duration"),
        (["--duration", "inf"], "--duration"),
        (["--json", "/nowhere/at/all.json"], "--json"),
    ],
)
def test_a_load_that_cannot_be_is_refused_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["load", *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
