"""An open-loop driver: lodges at the intended schedule however the system fares, and measures from that schedule.

A record is due at `begin + items before it / rate`, whether or not earlier ones were acknowledged. Its `ce_time` is
that intended time, so a latency that is measured from it includes every wait that a slow system causes, in the
driver's queues too: coordinated omission cannot hide (Tene, "How NOT to Measure Latency", 2015). When the driver
itself is late its records look late as well; so it measures its own lag and says so.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # the package ships no types

from load.desk import Lodged
from load.inspectors import Inspector
from load.ledger import Ledger, quantiles
from load.reading import Reader, items_in
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted
from schemas.lodgements import ExpressConsignmentLodged, ManifestLodged

LINGER_S = 0.02
"""How long lodgers wait to fill a batch: what a fetch costs the embedded broker grows with the batches it holds."""
TICK_S = 0.005
LONGEST_TURN_S = 0.02
"""A driver that is behind lets its senders and readers run after so long, instead of catching up first."""
LATE_MS = 100
"""A driver whose own lag exceeds this at the 99th percentile has fallen behind its schedule."""
_BATCH_BYTES = 900_000
_TYPES = {
    "manifests": ("ce_type", b"borderflow.ManifestLodged.v1"),
    "express-cargo": ("ce_type", b"borderflow.ExpressConsignmentLodged.v1"),
    "passengers": ("ce_type", b"borderflow.PassengerExpected.v1"),
    "inspection-results": ("ce_type", b"borderflow.InspectionCompleted.v1"),
}
_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")
Headers = list[tuple[str, bytes]]


@dataclass(slots=True)
class _Letter:
    """One record on its way to a partition. `items` is 0 for what is not a lodgement."""

    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Headers
    items: int


@dataclass(slots=True)
class Sent:
    """What the driver did. `lag` is how late it handed records over against its own schedule, in milliseconds."""

    rate: float
    items: int = 0
    records: int = 0
    failed_items: int = 0
    results: int = 0
    began: float = 0.0
    ended: float = 0.0
    simulated_now: datetime | None = None
    lag: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, 3_600_000, 3))

    @property
    def achieved_rate(self) -> float:
        """Items handed over per second."""
        return self.items / (self.ended - self.began) if self.ended > self.began else 0.0

    @property
    def fell_behind(self) -> bool:
        """Whether the driver, not the system, was the bottleneck; then the latencies say more about the driver."""
        late = self.lag.get_total_count() > 0 and self.lag.get_value_at_percentile(99) > LATE_MS
        return bool(late or self.achieved_rate < 0.97 * self.rate)

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "intended_rate": self.rate,
            "achieved_rate": self.achieved_rate,
            "sent": self.items,
            "records": self.records,
            "send_failures": self.failed_items,
            "results_sent": self.results,
            "driver_lag_ms": quantiles(self.lag),
            "driver_fell_behind": self.fell_behind,
        }


class Driver:
    """Lodges `lodgements` at `rate` items per second, keeps the ledger, and lets inspectors answer alerts.

    Only what follows from its own lodgements counts: it reads from the ends of the topics as they are at its start.
    Simulated time is the event time of the last lodgement: results are sent once it has passed their time. The
    ledger is fed from the topics; what was lodged is what the brokers acknowledged. `linger_s` is how long a record
    may wait for others of its partition, as producers do that care for their brokers; latencies include it.
    """

    def __init__(
        self,
        client_options: Mapping[str, Any],
        lodgements: Iterator[Lodged],
        rate: float,
        ledger: Ledger,
        *,
        inspector: Inspector | None = None,
        duration_s: float | None = None,
        drain_s: float = 30.0,
        linger_s: float = 0.0,
        on_alert: Callable[[AlertRaised, str], None] | None = None,
        on_result: Callable[[InspectionCompleted], None] | None = None,
    ) -> None:
        if rate <= 0:
            raise ValueError("the rate must be above 0")
        self._options = dict(client_options)
        self._lodgements = lodgements
        self._inspector = inspector
        self._duration_s = duration_s
        self._drain_s = drain_s
        self._linger_s = linger_s
        self._on_alert = on_alert
        self._on_result = on_result
        self._reader = Reader(ledger, self._alerted)
        self._queues: dict[tuple[str, int], deque[_Letter]] = defaultdict(deque)
        self._awake: dict[tuple[str, int], asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._partitions: dict[str, int] = {}
        self._encode = msgspec.json.Encoder().encode
        self.ledger = ledger
        self.sent = Sent(rate)
        self.phase = "starting"

    async def run(self, stop: asyncio.Event | None = None) -> Sent:
        """Lodge until the duration is over, the lodgements end, or `stop`; then wait for what is in flight.

        Raises what the client raises when the brokers cannot be reached or a topic does not exist.
        """
        stop = stop or asyncio.Event()
        done = asyncio.Event()
        producer = AIOKafkaProducer(
            **self._options, client_id="borderflow-lodger", acks="all", linger_ms=0,
            max_batch_size=_BATCH_BYTES, max_request_size=_BATCH_BYTES + 200_000,
        )  # fmt: skip
        await producer.start()
        self._reader.since_ms = int(time.time() * 1000)
        reading = asyncio.create_task(self._reader.follow(self._options, done, from_end=True))
        try:
            for topic in _TYPES:
                self._partitions[topic] = len(await producer.partitions_for(topic))
            await self._reading_begins(reading)
            self.phase = "lodging"
            await self._lodge(producer, stop, reading)
            self.phase = "draining"
            await self._drain(stop, reading)
        finally:
            self.phase = "done"
            done.set()
            await producer.stop()  # first: what it cannot deliver any more fails in the hands of those who wait for it
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, reading, return_exceptions=True)
            # What brokers left unanswered to the end failed too: else it would be in no account, nor in any latency.
            self.sent.failed_items = self.sent.items - self.ledger.lodged_items
        return self.sent

    async def _reading_begins(self, reading: asyncio.Task[None]) -> None:
        ready = asyncio.create_task(self._reader.ready.wait())
        await asyncio.wait({ready, reading}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        _raise_failed(reading)

    async def _lodge(self, producer: AIOKafkaProducer, stop: asyncio.Event, reading: asyncio.Task[None]) -> None:
        sent, rate = self.sent, self.sent.rate
        due_items = 0
        sent.began = begin = time.time()
        ends = None if self._duration_s is None else begin + self._duration_s
        coming = next(self._lodgements, None)
        while coming is not None and not stop.is_set():
            now = time.time()
            while coming is not None:
                intended = begin + due_items / rate
                if intended > now or (ends is not None and intended >= ends):
                    break
                items = items_in(coming.topic, coming.body)
                self._hand_over(producer, coming, intended, items)
                due_items += items
                sent.items += items
                sent.records += 1
                handed_over = time.time()
                sent.lag.record_value(max(1, round((handed_over - intended) * 1000)))
                coming = next(self._lodgements, None)
                if handed_over - now > LONGEST_TURN_S:
                    break
            sent.ended = time.time()
            self._report(producer)
            _raise_failed(reading)
            due = begin + due_items / rate
            if ends is not None and due >= ends:
                sent.ended = max(sent.ended, min(ends, time.time()))
                break
            await asyncio.sleep(TICK_S if due > time.time() else 0)

    def _hand_over(self, producer: AIOKafkaProducer, lodged: Lodged, intended: float, items: int) -> None:
        self.sent.simulated_now = lodged.lodged_at
        body = lodged.body if isinstance(lodged.body, bytes) else self._encode(lodged.body)
        revision = "" if isinstance(lodged.body, bytes | ManifestLodged) else f"/{lodged.body.revision}"
        carrier = "" if isinstance(lodged.body, bytes) else _lodger(lodged.body)
        headers = cloud_event(f"{lodged.topic}/{lodged.key}{revision}", lodged.topic, f"/lodgers/{carrier}", intended)
        key = lodged.key.encode()
        self._queue(producer, lodged.topic, _Letter(key, body, _ms(lodged.lodged_at), headers, items))

    def _report(self, producer: AIOKafkaProducer) -> None:
        """Send the inspection results that are due in simulated time."""
        if self._inspector is None or self.sent.simulated_now is None:
            return
        for result in self._inspector.due(self.sent.simulated_now):
            headers = cloud_event(
                result.result_id, "inspection-results", f"/centres/{result.control_point}", time.time()
            )  # fmt: skip
            key = result.control_point.encode()
            letter = _Letter(key, self._encode(result), _ms(result.inspected_at), headers, 0)
            self._queue(producer, "inspection-results", letter)
            if self._on_result is not None:
                self._on_result(result)

    def _queue(self, producer: AIOKafkaProducer, topic: str, letter: _Letter) -> None:
        partition = (murmur2(letter.key) & 0x7FFFFFFF) % self._partitions[topic]
        place = (topic, partition)
        self._queues[place].append(letter)
        awake = self._awake.get(place)
        if awake is None:
            awake = self._awake[place] = asyncio.Event()
            self._tasks.append(asyncio.create_task(self._deliver(producer, topic, partition, awake)))
        awake.set()

    async def _deliver(self, producer: AIOKafkaProducer, topic: str, partition: int, awake: asyncio.Event) -> None:
        """Send what is queued for one partition, in order, one batch in flight; the queue is the open loop's slack."""
        queue = self._queues[topic, partition]
        while True:
            await awake.wait()
            if self._linger_s:
                await asyncio.sleep(self._linger_s)
            awake.clear()
            while queue:
                batch = producer.create_batch()
                letters: list[_Letter] = []
                while queue:
                    letter = queue[0]
                    taken = batch.append(
                        timestamp=letter.timestamp_ms, key=letter.key, value=letter.value, headers=letter.headers
                    )
                    if taken is None:
                        break
                    letters.append(queue.popleft())
                try:
                    delivered = await producer.send_batch(batch, topic, partition=partition)
                    told = await delivered
                except Exception:  # whatever the client raises: these records may or may not be in the log
                    self.sent.failed_items += sum(letter.items for letter in letters)
                    continue
                for place, letter in enumerate(letters):
                    if letter.items:
                        self.ledger.lodged(topic, partition, told.offset + place, letter.items)
                    else:
                        self.sent.results += 1

    async def _drain(self, stop: asyncio.Event, reading: asyncio.Task[None]) -> None:
        until = time.time() + self._drain_s
        while time.time() < until and not stop.is_set():
            _raise_failed(reading)
            acknowledged = self.ledger.lodged_items + self.sent.failed_items >= self.sent.items
            if acknowledged and self.ledger.settled and not any(self._queues.values()):
                return
            await asyncio.sleep(0.05)

    def _alerted(self, alert: AlertRaised, ce_id: str) -> None:
        if self._inspector is not None:
            self._inspector.take(alert, ce_id)
        if self._on_alert is not None:
            self._on_alert(alert, ce_id)


def cloud_event(ce_id: str, topic: str, source: str, sent: float) -> Headers:
    """CloudEvents 1.0 binary-mode headers; `sent` in seconds since the epoch."""
    seconds, milliseconds = divmod(int(sent * 1000), 1000)
    return [
        _SPEC_VERSION,
        ("ce_id", ce_id.encode()),
        _TYPES[topic],
        ("ce_source", source.encode()),
        ("ce_time", b"%s.%03dZ" % (_second(seconds), milliseconds)),
        _CONTENT_TYPE,
    ]


@lru_cache(maxsize=64)
def _second(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def _lodger(body: Any) -> str:
    return body.courier if isinstance(body, ExpressConsignmentLodged) else str(body.carrier)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _raise_failed(task: asyncio.Task[None]) -> None:
    if task.done() and (error := task.exception()) is not None:
        raise error
