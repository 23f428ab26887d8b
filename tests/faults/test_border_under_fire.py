"""The real steps on Apache Kafka while their workers are killed, stopped and frozen: nothing lost, nothing doubled.

Afterwards every step is run again, undisturbed, over the same log, and must come to the same events byte for byte: so
the states that were rebuilt in the chaos were the states of a clean run.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.step import Arrival, Step
from load.ledger import Ledger
from load.reading import Reader
from schemas.codec import Undecodable, codec_for, encode
from streams.settings import STEPS
from streams.topology import build_topology
from streams.wire import Outgoing, Record, header, sent_ms
from tests.faults.conftest import seeds, slack_s
from tests.faults.disturbing import disturb
from tests.integration.border import PARTITIONS, Border, border, manifest, parcel, passenger, raw_record, record_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

LODGEMENTS = ("manifests", "express-cargo", "passengers")
PRODUCED = {"screening": ("screened",), "filtering": ("filtered",), "selection": ("decisions", "alerts")}


_EVERY_S = 0.5
"""A batch is 170 items: some 340 items a second."""


class Carriers(threading.Thread):
    """Lodges parcels, travellers and manifests for a while, some of them broken, and some of them twice."""

    def __init__(self, at: Border, seconds: float) -> None:
        super().__init__(name="carriers")
        self._at = at
        self._seconds = seconds
        self._now = datetime.now(UTC) - timedelta(hours=6)
        self._number = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Lodge until the time is up; what goes wrong is kept in `failure`."""
        try:
            until = time.monotonic() + self._seconds
            while time.monotonic() < until:
                began = time.monotonic()
                for topic, records in self._batch():
                    self._at.lodge(topic, records)
                time.sleep(max(0.0, began + _EVERY_S - time.monotonic()))
        except Exception as error:
            self.failure = error

    def _batch(self) -> Iterator[tuple[str, list[Outgoing]]]:
        first, self._number = self._number, self._number + 60
        numbers = range(first, first + 60)
        yield "express-cargo", [self._parcel(n) for n in numbers]
        yield "passengers", [self._passenger(n) for n in numbers]
        yield "manifests", [self._manifest(n) for n in numbers[::30]]

    def _parcel(self, number: int) -> Outgoing:
        if number % 50 == 7:
            return raw_record(b"\xff garbage", f"G{number}", at=self._time(number))
        lodged = number - 3 if number % 40 == 11 else number  # the same lodgement again
        at = self._time(lodged)
        changes: dict[str, Any] = {"lodged_at": at, "eta": at + timedelta(hours=20)}
        if number % 60 == 23:
            changes["control_point"] = "NOWHERE"
        made = parcel(lodged, **changes)
        return record_of(made, made.waybill, at)

    def _passenger(self, number: int) -> Outgoing:
        at = self._time(number)
        made = passenger(number, lodged_at=at, eta=at + timedelta(hours=6))
        return record_of(made, made.passenger_reference, at)

    def _manifest(self, number: int) -> Outgoing:
        at = self._time(number)
        made = msgspec.structs.replace(manifest(number, 25), lodged_at=at, eta=at + timedelta(hours=30))
        return record_of(made, made.manifest_id, at)

    def _time(self, number: int) -> datetime:
        return self._now + timedelta(seconds=number / 10)


TOGETHER = (",".join(STEPS),) * 3
APART = ("screening,filtering", "selection,reevaluation") * 2
"""The steps that each worker hosts."""


@pytest.mark.parametrize("crew", [TOGETHER, APART], ids=["together", "apart"])
@pytest.mark.parametrize("seed", seeds())
def test_every_item_is_decided_once_and_as_in_a_clean_run_whatever_becomes_of_the_workers(
    tmp_path: Path, keep_account: Callable[[str], None], seed: int, crew: Sequence[str]
) -> None:
    dice = random.Random(seed)  # noqa: S311 - chooses faults, keeps no secret
    with border(tmp_path / "logs") as at:
        at.open()
        workers = _Workers(at, crew)
        carriers = Carriers(at, seconds=25)
        carriers.start()
        suffered = disturb(workers, dice, at.settings.session_timeout_s, longest_s=4.0)
        carriers.join()
        assert carriers.failure is None
        ledger, logs = _settle(at)
        at.running()
        account = ledger.summary()
        keep_account(
            f"{'+'.join(suffered)}: "
            + ", ".join(f"{name} {account[name]}" for name in ("lodged", "decided", "dead_lettered", "missing"))
            + f", effective duplicates {account['doubled']}, strays {account['strays']}; "
            f"written again {account['redelivered']}, slowest decision {_slowest_s(logs):.1f} s"
        )
        settings = at.settings
    assert (account["missing"], account["doubled"], account["strays"]) == (0, 0, 0)
    assert account["lodged"] == account["decided"] + account["dead_lettered"]
    for step in build_topology(settings).steps:
        for topic in PRODUCED.get(step.name, ()):
            clean, chaos = clean_run(step, logs, topic), effective(logs[topic])
            assert clean.keys() == chaos.keys(), (step.name, topic)
            differing = [ce_id for ce_id in clean if clean[ce_id] != chaos[ce_id]]
            assert not differing, (step.name, topic, clean[differing[0]], chaos[differing[0]])
    slowest_s = _slowest_s(logs)
    assert slowest_s < settings.session_timeout_s + 10 + slack_s()


class _Workers:
    """The workers of a border, as `disturb` wants them; who is hired hosts the steps of who was dismissed before."""

    def __init__(self, at: Border, crew: Sequence[str]) -> None:
        self._at = at
        self._hosted: dict[str, str] = {}
        self._wanted = list(crew)
        self._hired = 0
        for _ in crew:
            self._start()
        for name in self.names:
            at.wait_ready(name)

    @property
    def names(self) -> list[str]:
        return list(self._hosted)

    def send(self, name: str, number: signal.Signals) -> None:
        self._at.process(name).send_signal(number)

    def dismiss(self, name: str, number: signal.Signals) -> int | None:
        self._wanted.append(self._hosted.pop(name))
        if number is signal.SIGKILL:
            self._at.process(name).kill()
        return self._at.stop(name)

    def hire(self) -> str:
        name = self._start()
        self._at.wait_ready(name)
        return name

    def _start(self) -> str:
        self._hired += 1
        name = f"worker-{self._hired}"
        self._hosted[name] = self._wanted.pop(0)
        self._at.start(name, "--steps", self._hosted[name])
        return name


def _settle(at: Border, within_s: float = 180) -> tuple[Ledger, dict[str, list[Record]]]:
    """Read all topics until every lodged item is accounted for, and then the rest of them."""
    deadline = time.monotonic() + within_s
    while True:
        logs = {topic: at.read(topic) for topic in (*LODGEMENTS, "decisions")}
        for topic in (*LODGEMENTS, "screened", "filtered"):
            logs[f"{topic}-dlq"] = at.read(f"{topic}-dlq")
        ledger = Ledger()
        reader = Reader(ledger)
        for records in logs.values():
            for record in records:
                reader.feed(record, time.time() * 1000)
        if not any(True for _ in ledger.missing()) or time.monotonic() > deadline:
            break
    for topic in ("screened", "filtered", "alerts"):
        logs[topic] = at.read(topic)
    return ledger, logs


def effective(records: list[Record]) -> dict[str, bytes]:
    """The first record of each `ce_id`."""
    first: dict[str, bytes] = {}
    for record in records:
        first.setdefault((header(record.headers, "ce_id") or b"").decode(), record.value or b"")
    return first


def clean_run(step: Step, logs: dict[str, list[Record]], topic: str) -> dict[str, bytes]:
    """What an undisturbed step says on `topic` of the logs that it reads."""
    said: dict[str, bytes] = {}
    for source in step.inputs:
        decode = codec_for(source).decode
        for partition in range(PARTITIONS):
            arrivals: list[Arrival[Any]] = []
            for record in logs[source]:
                if record.partition == partition:
                    try:
                        event = decode(record.value, header(record.headers, "ce_type"))
                    except Undecodable:
                        continue
                    place = (record.topic, record.partition, record.offset)
                    arrivals.append(Arrival(event, *place, record.timestamp, sent_ms(record)))
            state = step.begin(partition, 0)
            for output in step.decide(state, arrivals).outputs:
                if output.topic == topic:
                    said.setdefault(output.ce_id, encode(output.event))
    return said


def _slowest_s(logs: dict[str, list[Record]]) -> float:
    """The longest time from the sending of a lodgement to the first sending of a decision on it."""
    slowest: dict[str, float] = {}
    for record in logs["decisions"]:
        decision = codec_for("decisions").decode(record.value)
        slowest.setdefault(decision.decision_id, (sent_ms(record) - decision.origin.sent_ms) / 1000)
    return max(slowest.values(), default=0.0)
