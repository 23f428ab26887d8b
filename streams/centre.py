"""A border control centre's own system, in Python: takes alerts from Kafka, and reports what became of them.

    with CentreClient(Settings.from_environment(), "busan", ["KRPUS-SEA"]) as centre:
        for alert in centre.alerts():
            ...                                  # show it, queue it, inspect
            centre.report(alert, outcome="clear", method="x-ray")
            centre.acknowledge(alert)

Delivery is at least once: an alert that was not acknowledged comes again after a restart, to whichever member of the
group then has its partition. An alert that the topic holds twice comes once, also across restarts: at every assignment
the client reads a little of the log before its place again, and remembers the `ce_id`s. docs/centre-guide.md has an
example program; schemas/asyncapi.yaml is the contract for other languages.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import (
    CommitFailedError,
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    RebalanceInProgressError,
)
from kafka.structs import OffsetAndMetadata

from schemas.casework import AlertAcknowledged
from schemas.codec import Undecodable, ce_type_of, codec_for, encode
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted, InspectionOutcome, Method
from streams.results import ResultRefusedError, checked_result
from streams.settings import Settings
from streams.wire import cloud_event, header, rfc3339, text_header

log = structlog.get_logger("borderflow.centre")

LOOK_BACK: Final = 2_000
"""Records before the committed place that are read again at an assignment. Redeliveries follow each other closely."""
REMEMBERED: Final = 100_000
"""`ce_id`s that are remembered; the oldest go first."""
LONGEST_SYSTEM: Final = 32
"""Characters of a system's name in an `AlertAcknowledged` (`Code`)."""
EVERYWHERE: Final = "*"
"""Instead of control points: all of them."""
_COMMIT_EVERY_S: Final = 1.0
_POLL_MS: Final = 250
_PATIENCE_MS: Final = 3_000
"""For so long brokers may take to answer about places in the log; meanwhile the client does not hear of `stop`."""
_ASK_EVERY_S: Final = 10.0
"""How often the brokers are asked whether they are there: an `alerts` that is silent looks like a quiet day."""
_FIRST_PATIENCE_MS: Final = 1_000
"""So long, and longer each time, a partition is waited for that was just assigned: others may have alerts meanwhile."""
_SHARE: Final = 4
"""Partitions that did not answer are asked again after so many times what was spent on the last of them."""
_LEAST_WAIT_S: Final = 0.05
"""So long a poll waits for records at least, whatever else is due."""


class UnreadableAlertError(Exception):
    """A record on `alerts` that this version cannot read; `topic`, `partition` and `offset` say which.

    The client stops there, so that no alert is lost unseen. `CentreClient.skip` goes on behind it.
    """

    def __init__(self, topic: str, partition: int, offset: int, error: Undecodable) -> None:
        super().__init__(f"{topic}[{partition}] offset {offset}: {error.field}: {error.reason}")
        self.topic, self.partition, self.offset = topic, partition, offset


class ReportFailedError(Exception):
    """The brokers did not take a record in time: send it again, it has one effect however often it is sent."""


@dataclass(frozen=True, slots=True)
class CentreAlert:
    """An alert as it came. `event` is the alert; `ce_id` is equal after any redelivery."""

    event: AlertRaised
    ce_id: str
    partition: int
    offset: int

    @property
    def decision_id(self) -> str:
        """What a result refers to."""
        return self.event.decision.decision_id

    @property
    def control_point(self) -> str:
        """Where it is to be inspected."""
        return self.event.decision.control_point


@dataclass(slots=True)
class _Partition:
    """What was handed over and is not acknowledged, in order, and the place up to which everything is done."""

    goal: int
    waiting: deque[int] = field(default_factory=deque)
    done: set[int] = field(default_factory=set)
    read: int = 0
    committed: int = -1

    def finish(self, offset: int) -> None:
        if offset not in self.waiting:
            return
        self.done.add(offset)
        while self.waiting and self.waiting[0] in self.done:
            self.done.discard(self.waiting.popleft())

    @property
    def place(self) -> int:
        return self.waiting[0] if self.waiting else self.read


class CentreClient:
    """One member of a centre's consumer group. Not for several threads at once.

    `control_points` are those whose alerts are handed over (`EVERYWHERE`: all); those of others are passed by. `system`
    names the centre's system: the members of its consumer group, `centre-<system>`, share the alerts. What it
    acknowledges names the system in 32 characters at most. Raises `ValueError` where no alert could ever come.
    """

    def __init__(self, settings: Settings, system: str, control_points: Iterable[str]) -> None:
        self._settings = settings
        self._system = system
        self._group = f"centre-{system}"
        if isinstance(control_points, str):  # its letters are no control points: not one alert would come
            raise ValueError("control_points: a list of them is needed, not one text")
        self._control_points = frozenset(control_points)
        if not self._control_points:
            raise ValueError("control_points: at least one is needed")
        self._partitions: dict[int, _Partition] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._open: dict[str, tuple[int, int]] = {}
        self._decode = codec_for("alerts").decode
        self._consumer: Any = None
        self._producer: Any = None
        self._committed_at = 0.0
        self._stopping = False
        self._unread: list[Any] = []
        self._fresh: frozenset[int] = frozenset()
        self._assigned = self._fresh  # the assignment that was begun to be taken up; compared by identity
        self._untaken: dict[int, int] = {}  # its partitions that are still to be, and how often they did not answer
        self._again_at = 0.0
        self._asked_at = 0.0
        self._silent_since: float | None = None

    def __enter__(self) -> Self:
        """Connect. Raises the client library's `KafkaError` when no broker answers."""
        settings = self._settings
        self._consumer = KafkaConsumer(
            **settings.consumer_options(),
            client_id=self._group,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.heartbeat_s * 1000),
            partition_assignment_strategy=(SeeingRangeAssignor,),
            fetch_max_wait_ms=settings.fetch_wait_ms,
            max_poll_records=500,
        )
        _let_wait(self._consumer)
        self._consumer.subscribe(["alerts"], listener=_Assignments(self))
        self._producer = KafkaProducer(
            **settings.client_options(),
            client_id=self._group,
            acks="all",
            enable_idempotence=settings.idempotence,
            request_timeout_ms=int(settings.request_timeout_s * 1000),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what is acknowledged, leave the group, disconnect; where brokers are away it gives up in seconds."""
        try:
            self._commit()
        finally:
            self._consumer.close(autocommit=False, timeout_ms=_PATIENCE_MS)
            # What was not taken by now was told as such: `_send` waits for each record.
            with contextlib.suppress(KafkaTimeoutError):
                self._producer.close(timeout=_PATIENCE_MS / 1000)

    # -- alerts

    @property
    def silent_s(self) -> float:
        """For how long the brokers have not answered while `alerts` waited, 0 when they did; known within seconds."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    def alerts(self, *, idle_s: float | None = None) -> Iterator[CentreAlert]:
        """Alerts as they come, each once; ends after `stop`, or when none came for `idle_s` seconds.

        Lost connections are made again without further ado. Raises `UnreadableAlertError`.
        """
        quiet_since = time.monotonic()
        while not self._stopping:
            if not self._unread:
                self._unread = self._poll()
            while self._unread and not self._stopping:
                alert = self._take(self._unread[0])
                self._unread.pop(0)
                if alert is not None:
                    yield alert
                    quiet_since = time.monotonic()
            self._commit_when_due()
            self._ask_when_due()
            if idle_s is not None and time.monotonic() - quiet_since > idle_s:
                return

    def stop(self) -> None:
        """Let `alerts` end after the alert in hand; may be called from a signal handler."""
        self._stopping = True

    def acknowledge(self, alert: CentreAlert, *, quietly: bool = False) -> None:
        """The centre has it: it is not to come again, and others see so. Alerts may be acknowledged in any order.

        `quietly`: only the place in the log moves on, nobody else is told that the centre has it. Raises
        `ReportFailedError` when the brokers do not take the acknowledgement; the alert then comes again. Raises
        `ValueError` when `system` is a name that no reader of acknowledgements would take.
        """
        if not quietly:
            if not 1 <= len(self._system) <= LONGEST_SYSTEM:
                raise ValueError(f"system: {LONGEST_SYSTEM} characters at most, one at least")
            now = datetime.now(UTC)
            event = AlertAcknowledged(
                decision_id=alert.decision_id,
                control_point=alert.control_point,
                acknowledged_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
                system=self._system,
            )
            self._send("casework", event, f"ack-{self._system}-{alert.decision_id}", alert.control_point)
        self._open.pop(alert.ce_id, None)
        if (held := self._partitions.get(alert.partition)) is not None:
            held.finish(alert.offset)
        self._commit_when_due()

    def skip(self, unreadable: UnreadableAlertError) -> None:
        """Go on behind a record that cannot be read."""
        log.warning("an alert was skipped unread", partition=unreadable.partition, offset=unreadable.offset)
        held = self._partitions[unreadable.partition]
        held.read = unreadable.offset + 1
        self._unread = [
            one for one in self._unread if (one.partition, one.offset) != (unreadable.partition, unreadable.offset)
        ]

    # -- results

    def report(
        self,
        alert: CentreAlert,
        *,
        outcome: InspectionOutcome,
        method: Method = "none",
        categories: Sequence[str] = (),
        severity: int = 0,
        inspected_at: datetime | None = None,
        result_id: str | None = None,
        timeout_s: float = 30.0,
        **more: Any,
    ) -> InspectionCompleted:
        """Send what became of an alert, and return once every in-sync replica has it.

        `more` are further fields of `InspectionCompleted`: quantity, quantity_unit, reason, passed_to, officer, note,
        corrects. Without a `result_id` it is made from what is reported: the same report sent again has one effect.
        Raises `streams.results.ResultRefusedError` naming a field that is wrong, `ReportFailedError`.
        """
        if isinstance(categories, str):  # its letters would be learnt as categories
            raise ResultRefusedError("categories", "a list of them is needed, not one text", "wrong-type")
        if unknown := sorted(more.keys() - set(InspectionCompleted.__struct_fields__)):  # else left out in silence
            raise ResultRefusedError(unknown[0], "a result has no such field", "unknown-code")
        at = inspected_at or datetime.now(UTC)
        fields: dict[str, Any] = {
            "decision_id": alert.decision_id,
            "control_point": alert.control_point,
            "outcome": outcome,
            "method": method,
            "categories": list(categories),
            "severity": severity,
            **more,
        }
        said = msgspec.json.encode(fields, order="deterministic")
        name = result_id or f"r-{blake2b(self._group.encode() + said, digest_size=16).hexdigest()}"
        result = checked_result({**fields, "result_id": name, "inspected_at": at})
        self._send("inspection-results", result, name, result.control_point, timeout_s)
        return result

    def _send(self, topic: str, event: msgspec.Struct, ce_id: str, key: str, timeout_s: float = 30.0) -> None:
        now = time.time()
        headers = cloud_event(ce_id, ce_type_of(type(event)), f"/{self._group}".encode(), rfc3339(now))
        stamp = int(now * 1000)
        try:
            self._producer.send(topic, key=key.encode(), value=encode(event), headers=headers, timestamp_ms=stamp).get(
                timeout=timeout_s
            )
        except KafkaError as error:
            raise ReportFailedError(f"{ce_id} on {topic}: {type(error).__name__}") from error

    # -- the place in the log

    def _take(self, record: Any) -> CentreAlert | None:
        held = self._partitions.get(record.partition)
        if held is None:  # taken away since it was fetched
            return None
        ce_id = text_header(record, "ce_id") or ""
        again = ce_id in self._seen
        if record.offset < held.goal:
            self._remember(ce_id)
            return None
        mine = record.key is None or self._serves(record.key.decode(errors="replace"))
        event = None
        if mine and not again:
            try:
                event = self._decode(record.value, header(record.headers, "ce_type"))
            except Undecodable as error:
                raise UnreadableAlertError("alerts", record.partition, record.offset, error) from None
        held.read = record.offset + 1
        self._remember(ce_id)
        place = (record.partition, record.offset)
        if again and self._open.get(ce_id) == place:
            held.waiting.append(record.offset)  # read anew after a rebalance, while the centre still has it in hand
        if event is None or not self._serves(event.decision.control_point):
            return None
        held.waiting.append(record.offset)
        self._open[ce_id] = place
        return CentreAlert(event, ce_id, *place)

    def _serves(self, control_point: str) -> bool:
        return EVERYWHERE in self._control_points or control_point in self._control_points

    def _remember(self, ce_id: str) -> None:
        if not ce_id:
            return  # of no use against repeats
        self._seen[ce_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _commit_when_due(self) -> None:
        if not self._stopping and time.monotonic() - self._committed_at >= _COMMIT_EVERY_S:
            self._commit()
            self._committed_at = time.monotonic()

    def _commit(self) -> None:
        due = {number: one for number, one in self._partitions.items() if one.place > one.committed}
        if not due:
            return
        places = {number: one.place for number, one in due.items()}
        try:
            self._consumer.commit(
                {
                    TopicPartition("alerts", number): OffsetAndMetadata(place, "", -1)
                    for number, place in places.items()
                },
                timeout_ms=_PATIENCE_MS,
            )
        except (CommitFailedError, RebalanceInProgressError):
            return  # others have the partitions now, or soon; what is not committed comes again
        except KafkaError as error:
            log.warning("the place in the log was not committed", error=type(error).__name__)
            return
        for number, place in places.items():
            due[number].committed = place

    def _ask_when_due(self) -> None:
        """Ask the group's coordinator, without whom nothing is handed out, read or committed."""
        now = time.monotonic()
        if self._stopping or now - self._asked_at < _ASK_EVERY_S:
            return
        try:
            self._consumer.committed(TopicPartition("alerts", 0), timeout_ms=_PATIENCE_MS)
        except KafkaError as error:
            if self._silent_since is None:
                self._silent_since = now
                log.warning("the brokers do not answer", error=type(error).__name__)
        else:
            self._silent_since = None
        self._asked_at = time.monotonic()

    def _poll(self) -> list[Any]:
        """The records that have come; those of partitions that were just assigned are read from further back first."""
        polled = self._consumer.poll(timeout_ms=_POLL_MS)
        assigned = self._fresh  # another may come at any time
        if assigned is not self._assigned:
            self._assigned = assigned
            self._partitions = {number: held for number, held in self._partitions.items() if number in assigned}
            self._untaken = dict.fromkeys(sorted(assigned), 0)
        # What is not taken up yet is read again, from where `_look_back` goes.
        taken = [record for at, records in polled.items() if at.partition not in self._untaken for record in records]
        if self._untaken:
            self._take_up()
        return taken

    def _take_up(self) -> None:
        """Take up partitions until one does not answer: that one comes last from then on.

        Alerts of those that were taken up are late by what is waited for others: at most a fifth of the time.
        """
        for number, failures in list(self._untaken.items()):
            began = time.monotonic()
            if failures and began < self._again_at and len(self._untaken) < len(self._assigned):
                return
            try:
                held = self._look_back(number, min(_PATIENCE_MS, _FIRST_PATIENCE_MS * (failures + 1)))
            except KafkaError as error:
                log.warning("a partition was not taken up, trying again", partition=number, error=type(error).__name__)
                del self._untaken[number]
                self._untaken[number] = failures + 1
                now = time.monotonic()
                self._again_at = now + _SHARE * (now - began)
                return
            del self._untaken[number]
            self._partitions[number] = held
            if failures:
                log.info("a partition was taken up after all", partition=number)

    def _look_back(self, number: int, patience_ms: int) -> _Partition:
        at = TopicPartition("alerts", number)
        begin = self._consumer.beginning_offsets([at], timeout_ms=patience_ms)[at]
        goal = max(begin, self._consumer.committed(at, timeout_ms=patience_ms) or 0)
        self._consumer.seek(at, max(begin, goal - LOOK_BACK))
        return _Partition(goal, read=goal, committed=goal)


def _let_wait(consumer: Any) -> None:
    """Keep kafka-python from burning a core while brokers are silent; records that come end the wait.

    A heartbeat that is overdue makes it poll without any wait, until one is answered.
    """
    coordinator = consumer._coordinator
    due_in = coordinator.time_to_next_poll
    coordinator.time_to_next_poll = lambda: max(_LEAST_WAIT_S, due_in())


class SeeingRangeAssignor(RangePartitionAssignor):  # type: ignore[misc]
    """Range assignment by a leader that has seen the topics.

    kafka-python's own gives out nothing for a topic whose metadata its leader does not have yet, and when they come in
    that very moment it takes the assignment for one that was made with them: the group then stays without partitions,
    and silent, for good. This one makes the leader join again, which asks for the metadata too.
    """

    @classmethod
    def assign(cls, cluster: Any, members: Any) -> Any:
        """The assignment by member. Raises `LeaderNotAvailableError`, upon which the library tries again."""
        topics = {topic for member in members for topic in member.metadata.topics}
        unseen = sorted(topic for topic in topics if cluster.partitions_for_topic(topic) is None)
        if unseen:
            raise LeaderNotAvailableError(f"no metadata yet of {', '.join(unseen)}")
        return super().assign(cluster, members)


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python carries no types
    """Tells the client; called in the library's own thread, which must not wait for the brokers."""

    def __init__(self, client: CentreClient) -> None:
        self._client = client

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Nothing: what was not committed comes again, to whoever has the partition then."""

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._client._fresh = frozenset([one.partition for one in assigned])
