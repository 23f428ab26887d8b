"""`borderflow notify`: takes alerts, tells the receivers beside each other, tries again, and gives up into a file.

An alert is done when every receiver of it was told or has a dead letter on the disk; only then does its place in the
log count. So a notifier that is killed tells some receivers again (with the same `webhook-id`), and never too few.
A receiver that does not answer holds up nobody else: each has threads of its own, in which its notifications wait for
their next attempt. When it is down and too many wait, further ones become dead letters at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import random
from typing import Any, Final

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError, OffsetOutOfRangeError

from schemas.codec import Undecodable, codec_for
from streams.centre import EVERYWHERE, CentreAlert, CentreClient
from streams.notify import metrics
from streams.notify.deadletters import Undelivered, note, now, still_undelivered
from streams.notify.plan import NotifyPlan, Receiver
from streams.notify.sending import NotSentError, send
from streams.settings import Settings
from streams.wire import header, text_header

log = structlog.get_logger("borderflow.notify")

_THREADS: Final = 8
"""Notifications that are sent to one receiver at a time, or wait for another attempt."""
_IN_HAND: Final = 500
"""Notifications of one receiver that are not done. Beyond them alerts wait on the topic; not for one that is down."""
_GATHER_S: Final = 0.5
"""How often what has ended is noted (logged, kept as a dead letter, acknowledged) while alerts follow each other."""
SILENT_S: Final = 30.0
"""Brokers that have not answered for so long are away: the notifier ends, so that whoever starts it again sees it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How one notification ended: `why` is None when it was taken; `stopped` when the process was asked to end."""

    attempts: int
    why: str | None = None
    stopped: bool = False


class _Messenger:
    """One receiver's threads, and how it went of late."""

    def __init__(self, receiver: Receiver) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, f"notify-{receiver.name}")
        self._open = 0
        self._missed = 0

    @property
    def full(self) -> bool:
        """Whether no more is to be put in its hand."""
        return self._open >= _IN_HAND

    @property
    def down(self) -> bool:
        """Whether as many as are tried at a time went wrong one after the other."""
        return self._missed >= _THREADS

    def send(self, *given: Any) -> Future[Sent]:
        """Begin to `deliver`."""
        self._open += 1
        return self._pool.submit(deliver, *given)

    def ended(self, sent: Sent) -> None:
        """What was begun has ended."""
        self._open -= 1
        self._missed = 0 if sent.why is None else self._missed + 1

    def close(self) -> None:
        """End the threads when they are done."""
        self._pool.shutdown()


@dataclass(slots=True)
class Tally:
    """What a run did."""

    told: int = 0
    failed: int = 0
    passed_by: int = 0
    expired: int = 0


class Notifier:
    """One run of a plan. `stop` may be called from a signal handler."""

    def __init__(self, settings: Settings, plan: NotifyPlan, *, expired_too: bool = False) -> None:
        self._settings = settings
        self._plan = plan
        self._expired_too = expired_too
        self._stop = threading.Event()
        self._open: dict[Future[Sent], tuple[CentreAlert, Receiver]] = {}
        self._left: dict[tuple[int, int], int] = {}
        self._dead: dict[tuple[str, int, int], str] = {}  # alert ids of dead letters that stand, by receiver and place
        self._messengers: dict[str, _Messenger] = {}
        self.connected = False
        self.tally = Tally()
        self._expired_told = 0
        self._gathered_at = 0.0

    def stop(self) -> None:
        """End: what is being tried again comes again at the next start."""
        self._stop.set()

    def unready(self) -> list[str]:
        """Why nobody is told of anything just now; nothing when all is well."""
        return [] if self.connected else ["not connected to the brokers yet"]

    def run(self, *, until: Callable[[Tally], bool] | None = None) -> Tally:
        """Notify until `stop`, or until `until` says so and nothing is open.

        Raises `OSError` when a dead letter cannot be written, what `CentreClient.alerts` raises, and
        `KafkaTimeoutError` when brokers have been silent for `SILENT_S`.
        """
        silent_s = 0.0
        self._dead = {one.place: one.alert_id for one in still_undelivered(Path(self._plan.dead_letters))}
        metrics.undelivered.set(len(self._dead))
        for receiver in self._plan.receivers:
            for ended in ("told", "failed"):  # from 0 on, so that the first counts
                metrics.notifications.labels(receiver.name, ended)
        self._messengers = {one.name: _Messenger(one) for one in self._plan.receivers}
        try:
            # It writes to no topic, and brokers let only those be idempotent that may write.
            settings = replace(self._settings, idempotence=False)
            with CentreClient(settings, self._plan.system, (EVERYWHERE,)) as centre:
                self.connected = True
                while not self._stop.is_set():
                    for alert in centre.alerts(idle_s=0.1):
                        self._tell(alert, centre)
                        if time.monotonic() - self._gathered_at > _GATHER_S:  # `alerts` does not end while many come
                            self._gather(centre)
                        if self._stop.is_set():
                            break
                    self._gather(centre)
                    self._tell_of_expired()
                    if until is not None and not self._open and until(self.tally):
                        break
                    metrics.silent_seconds.set(silent_s := centre.silent_s)
                    if silent_s > SILENT_S:
                        break
                self._stop.set()
                centre.stop()  # what ends from now on is committed once, at the end
                wait(self._open)
                self._gather(centre)
                if silent_s > SILENT_S:
                    raise KafkaTimeoutError(f"the brokers have not answered for {silent_s:.0f} s")
        finally:
            self._stop.set()
            for one in self._messengers.values():
                one.close()
        return self.tally

    def _tell(self, alert: CentreAlert, centre: CentreClient) -> None:
        wanted = [one for one in self._plan.receivers if one.wants(alert.event)]
        if wanted and not self._expired_too and alert.event.deadline < datetime.now(UTC):
            self.tally.expired += 1
            metrics.expired.inc()
            wanted = []
        elif not wanted:
            self.tally.passed_by += 1
        if not wanted:
            centre.acknowledge(alert, quietly=True)
            return
        self._left[alert.partition, alert.offset] = len(wanted)
        for receiver in wanted:
            messenger = self._messengers[receiver.name]
            if messenger.full:
                self._gather(centre)
            while messenger.full and not messenger.down:
                if self._stop.is_set():
                    return  # not done: it comes again
                self._gather(centre, wait_s=0.2)
            if messenger.full:
                self._end(alert, receiver, Sent(0, f"{_IN_HAND} others wait for it, and it takes none"), centre)
                continue
            self._open[messenger.send(receiver, alert, self._plan, self._stop.wait)] = (alert, receiver)

    def _tell_of_expired(self) -> None:
        """Nobody is told of them, so the log says how many there were: after an outage, or where a clock is wrong."""
        if count := self.tally.expired - self._expired_told:
            self._expired_told = self.tally.expired
            log.warning("urgent alerts were left out: their deadline had passed", count=count)

    def _gather(self, centre: CentreClient, wait_s: float = 0.0) -> None:
        done, _ = wait(self._open, timeout=wait_s, return_when=FIRST_COMPLETED)
        self._gathered_at = time.monotonic()
        for future in done:
            alert, receiver = self._open.pop(future)
            sent = future.result()
            self._messengers[receiver.name].ended(sent)
            if not sent.stopped:  # else it is not done: it comes again
                self._end(alert, receiver, sent, centre)

    def _end(self, alert: CentreAlert, receiver: Receiver, sent: Sent, centre: CentreClient) -> None:
        about = {"receiver": receiver.name, "alert_id": alert.event.alert_id, "attempts": sent.attempts}
        if sent.why is None:
            self.tally.told += 1
            metrics.notifications.labels(receiver.name, "told").inc()
            log.info("notified", **about)
            self._told_after_all(receiver, alert)
        else:
            self.tally.failed += 1
            metrics.notifications.labels(receiver.name, "failed").inc()
            failure = _failed(receiver, alert, sent)
            note(Path(self._plan.dead_letters), failure)
            self._dead[failure.place] = failure.alert_id
            metrics.undelivered.set(len(self._dead))
            log.error("not notified: kept as a dead letter", **about, failure=sent.why)
        place = (alert.partition, alert.offset)
        self._left[place] -= 1
        if not self._left[place]:
            del self._left[place]
            centre.acknowledge(alert, quietly=True)

    def _told_after_all(self, receiver: Receiver, alert: CentreAlert) -> None:
        """An alert that came again, because another receiver's was open at the last end, leaves no dead letter."""
        if self._dead.get((receiver.name, alert.partition, alert.offset)) == alert.event.alert_id:
            told = _delivered(receiver.name, alert.event.alert_id, alert.partition, alert.offset)
            note(Path(self._plan.dead_letters), told)
            del self._dead[told.place]
            metrics.undelivered.set(len(self._dead))


def deliver(receiver: Receiver, alert: CentreAlert, plan: NotifyPlan, pause: Callable[[float], bool]) -> Sent:
    """Send until it is taken, is refused for good, or the attempts are used up. `pause` is true when asked to end."""
    waiting = plan.first_wait_s
    if pause(0):
        return Sent(0, stopped=True)
    for attempt in range(1, plan.attempts + 1):
        try:
            send(receiver, alert, plan)
            return Sent(attempt)
        except NotSentError as error:
            if not error.again or attempt == plan.attempts:
                return Sent(attempt, str(error))
            receiver = error.left or receiver
        if pause(waiting * (1 - random() / 2)):  # noqa: S311 - no secret
            return Sent(attempt, stopped=True)
        waiting = min(waiting * 2, plan.most_wait_s)
    raise AssertionError("a plan has at least one attempt")


def redeliver(settings: Settings, plan: NotifyPlan, receiver: str | None, tell: Callable[[str], None]) -> Tally:
    """Send what could not be delivered once more, one attempt each. `tell` gets a line for each."""
    path, tally = Path(plan.dead_letters), Tally()
    receivers = {one.name: one for one in plan.receivers}
    due = [one for one in still_undelivered(path) if receiver in (None, one.receiver)]
    if not due:
        return tally
    consumer = KafkaConsumer(**settings.consumer_options(), enable_auto_commit=False, auto_offset_reset="none")
    try:
        for one in due:
            at = TopicPartition("alerts", one.partition)
            consumer.assign([at])
            consumer.seek(at, one.offset)
            polled = _poll(consumer, at)
            record = next((record for record in polled or () if record.offset == one.offset), None)
            target = receivers.get(one.receiver)
            why = None
            if target is None:
                why = "the plan has no such receiver any more"
            elif polled is None:
                why = "the brokers do not answer"
            elif record is None:
                why = "the brokers do not hold the alert any more"
            else:
                try:
                    event = codec_for("alerts").decode(record.value, header(record.headers, "ce_type"))
                    ce_id = text_header(record, "ce_id") or ""
                    send(target, CentreAlert(event, ce_id, one.partition, one.offset), plan)
                except Undecodable as error:
                    why = f"this version cannot read the alert: {error.reason}"
                except NotSentError as error:
                    why = str(error)
            if why is None:
                tally.told += 1
                note(path, _delivered(one.receiver, one.alert_id, one.partition, one.offset))
            else:
                tally.failed += 1
            tell(f"{one.alert_id} to {one.receiver}: {'delivered' if why is None else why}")
    finally:
        consumer.close()
    return tally


def _poll(consumer: KafkaConsumer, at: TopicPartition) -> list[Any] | None:
    """What the brokers have next from the place on; None when they do not say."""
    for _ in range(20):
        try:
            got = consumer.poll(timeout_ms=500, max_records=1)
        except OffsetOutOfRangeError:
            return []  # it has expired, or the topic was made anew
        if at in got:
            return list(got[at])
    return None


def _delivered(receiver: str, alert_id: str, partition: int, offset: int) -> Undelivered:
    return Undelivered(
        what="delivered", at=now(), receiver=receiver, alert_id=alert_id, partition=partition, offset=offset
    )


def _failed(receiver: Receiver, alert: CentreAlert, sent: Sent) -> Undelivered:
    return Undelivered(
        what="failed",
        at=now(),
        receiver=receiver.name,
        alert_id=alert.event.alert_id,
        partition=alert.partition,
        offset=alert.offset,
        attempts=sent.attempts,
        why=sent.why or "",
    )
