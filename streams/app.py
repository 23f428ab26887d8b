"""Builds the Faust app of a worker from settings and a topology. Nothing connects before the app is started."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from platform import python_version
from typing import Any, cast

import faust
from aiokafka.errors import UnknownError
from faust.app.base import BootStrategy
from faust.types import TP
from faust.types.app import AppT
from kafka.admin import KafkaAdminClient
from kafka.errors import GroupAuthorizationFailedError, KafkaError
from prometheus_client.registry import Collector

from agents.step import Step
from schemas import codec
from schemas.registry import declarations
from streams import metrics
from streams.broadcast import Follow, Followers
from streams.certificates import tell_expiries
from streams.collector import look_rarely
from streams.deadletter import DeadLetterLimit
from streams.doubting import DoubtingHost
from streams.hosting import StepHost, run_agent
from streams.knowledge_metrics import KnowledgeCollector
from streams.lineage import SCREENED, Lineage
from streams.logging import configure_logging
from streams.producing import Publisher
from streams.rebuild import LogReader
from streams.reconnecting import latest_refusal, latest_unsaid
from streams.settings import Settings
from streams.stopping import end_soon
from streams.topics import TopicsUnfitError, admin, check_topics
from streams.transport import SCHEME, BatchConsumer, BatchProducer, Reading
from streams.web import WorkerWeb
from streams.wire import CeType, Decode, Encode

log = logging.getLogger("borderflow.app")

GIVE_UP_S = 25.0
"""Seconds that a worker may take to stop in good order before the process ends at once.

Less than the 30 s after which Kubernetes kills. An idempotent producer tries for ever while brokers refuse writes, so
waiting for the batch in hand might never end; it is not committed, so the next owner of the partition gets it.
"""

SILENT_S = 30.0
"""A worker to which no broker has answered for so long is not ready; one that they refuse ends."""

REFUSED = 2
"""Exit code of what would be refused again if it were started again."""

IMPORTED_LATER = ("river.drift", "river.tree")
"""What agents import with their first label."""

_LOOKS_EVERY_S = 5.0

SWITCH_S = 0.02
"""How long the thread that decides may keep the interpreter when the consumer's thread wants it. It gives it up by
itself with every turn of its event loop; Python's default of 5 ms interrupts it in between, for a tenth of an item."""


@dataclass(frozen=True)
class Topology:
    """What a worker hosts: steps, the broadcast logs that they read, and the codec of every topic."""

    steps: tuple[Step, ...]
    decoders: Mapping[str, Decode]
    follows: tuple[Follow, ...] = ()
    encode: Encode = field(default=codec.encode)
    ce_type: CeType = field(default=codec.ce_type_of)
    policy_version: str = ""


class _WholeBatch(faust.Schema[Any, Any]):
    """Hands a message's value (a `RecordBatch`) on as it is: decoding is the host's, by record."""

    def compile(self, app: AppT, **kwargs: Any) -> Any:
        """A decoder that decodes nothing."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode


class _NoFaustWeb(BootStrategy):
    """Faust's own web server stays off, whatever `faust worker --with-web` (its default) says: it binds 0.0.0.0."""

    enable_web = False


class BorderWorker(faust.Worker):
    """The process of a worker, the same under `borderflow worker` and under `faust -A streams.worker worker`."""

    def __init__(self, app: BorderApp, **options: Any) -> None:
        configure_logging(app.borderflow_settings.log_level)
        look_rarely()
        sys.setswitchinterval(SWITCH_S)
        super().__init__(app, **{**options, "override_logging": False, "redirect_stdouts": False, "quiet": True})
        self.spinner = None  # it writes to the terminal, and control characters to a file

    def setup_logging(self) -> None:
        """Logging is borderflow's own (`streams/logging.py`), set before."""

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        """Of a worker that is not begun, end the process soon: it is in no group, and may wait for brokers."""
        if not cast(BorderApp, self.app).begun:
            end_soon(log)
        super()._schedule_shutdown(number)


class BorderApp(faust.App):
    """The Faust app of one worker process: one agent per step, followers first, a web server beside them."""

    BootStrategy = _NoFaustWeb

    def __init__(self, settings: Settings, topology: Topology) -> None:
        self.borderflow_settings = settings
        self.topology = topology
        super().__init__(
            settings.group,
            broker=f"{SCHEME}://{settings.brokers.split(',')[0]}",
            store="memory://",
            autodiscover=False,
            processing_guarantee="at_least_once",
            broker_commit_interval=settings.commit_interval_s,
            broker_commit_every=1_000_000_000,
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=settings.heartbeat_s,
            broker_request_timeout=max(settings.request_timeout_s, settings.session_timeout_s + 1),
            broker_rebalance_timeout=settings.rebalance_timeout_s,
            stream_wait_empty=True,
            topic_disable_leader=True,
            topic_allow_declare=False,
            web_enabled=False,
            Worker=BorderWorker,
            worker_redirect_stdouts=False,
        )
        self.hosts: dict[str, StepHost] = {}
        self.failure: BaseException | None = None
        self.followers = Followers(settings, list(topology.follows), self.fail)
        self.web_pages = WorkerWeb(settings, self.unready)
        self._readers: list[LogReader] = []
        self._collectors: list[Collector] = []
        self._rebalance_began: float | None = None
        self._failing: asyncio.Future[None] | None = None
        self.borderflow_assigned = False
        self.begun = False
        self.on_partitions_assigned.connect(self._note_assignment)  # type: ignore[arg-type]  # mode types one call style
        for step in topology.steps:
            self._declare(step)

    def _declare(self, step: Step) -> None:
        topic = faust.Topic(self, topics=list(step.inputs), schema=_WholeBatch(), acks=True)

        async def decide(stream: Any) -> None:
            await run_agent(stream, self.hosts[step.name], self._fail)

        decide.__name__ = step.name
        self.agent(topic, name=step.name, concurrency=1)(decide)

    # -- life

    def _create_directories(self) -> None:
        """None are needed: there are no tables."""

    async def on_start(self) -> None:
        """Serve health checks, then follow the broadcast logs to their ends, before any item is taken."""
        await super().on_start()
        await self.web_pages.start()
        self._collectors = [
            metrics.LagCollector(self),
            KnowledgeCollector(self.topology.follows, lambda: self.followers.ready),
        ]
        for collector in self._collectors:
            metrics.REGISTRY.register(collector)
        metrics.build_info.labels(version("borderflow"), python_version(), self.topology.policy_version).set(1)
        metrics.ready.set_function(lambda: float(not self.unready()))
        tell_expiries(self.borderflow_settings)
        await self._look_around()
        await self.followers.start()
        await self.wait(self.followers.caught_up())
        consumer = cast(BatchConsumer, self.consumer)
        consumer.leads_to = _leads_to(self.topology.steps)
        consumer.lineage = self._lineage()
        for step in self.topology.steps:
            if self.should_stop:
                return
            self.hosts[step.name] = await self._host(step)
        self.begun = True
        threading.Thread(target=_import_the_rest, name="imports", daemon=True).start()
        self.add_future(self._mind_refusals())
        gc.collect()
        gc.freeze()  # code and what was learnt before: not to be looked through again

    def _lineage(self) -> Lineage | None:
        """Of a worker that screens, and may read what was screened since it filters that as well."""
        decode = self.topology.decoders.get(SCREENED)
        lodged = [topic for step in self.topology.steps if SCREENED in step.produces for topic in step.inputs]
        return None if decode is None or not lodged else Lineage(self.borderflow_settings, lodged, decode)

    async def _look_around(self) -> None:
        """End the process, with the reason in one line, where brokers, topics or rights let no worker work."""
        settings = self.borderflow_settings
        try:
            await asyncio.to_thread(self._ask_brokers)
        except GroupAuthorizationFailedError:
            log.critical(
                "BORDERFLOW_GROUP: this user may take no part in group %r: correct the name, or grant what "
                "ops/acls.yaml lists under `groups` for its steps",
                settings.group,
            )
            sys.exit(REFUSED)
        except TopicsUnfitError as error:
            log.critical("this worker does not start: %s", error)
            sys.exit(1)
        except KafkaError as error:
            log.critical(
                "BORDERFLOW_BROKERS: %s did not let this worker in (%s); `borderflow doctor` says what is wrong",
                settings.brokers, type(error).__name__,
            )  # fmt: skip
            sys.exit(1)

    def _ask_brokers(self) -> None:
        settings = self.borderflow_settings
        with admin(settings) as client:
            check_topics(client, self.topology.steps, [follow.topic for follow in self.topology.follows])
            check_group(client, settings.group)

    async def _host(self, step: Step) -> StepHost:
        producer = cast(BatchProducer, self.producer)
        try:
            await producer.maybe_start()
        except UnknownError:
            log.critical(
                "BORDERFLOW_IDEMPOTENCE: the brokers refuse idempotent producers; set it to false if they know none "
                "(the embedded broker does not)"
            )
            sys.exit(REFUSED)
        reader = await LogReader(self.borderflow_settings).start()
        self._readers.append(reader)
        settings, declared = self.borderflow_settings, declarations()
        return DoubtingHost(
            step,
            decoders=self.topology.decoders,
            encode=self.topology.encode,
            ce_type=self.topology.ce_type,
            publisher=Publisher(producer._ensure_producer(), settings.max_batch_bytes),
            reader=reader,
            ownership=cast(BatchConsumer, self.consumer),
            source=f"/{settings.group}",
            limit=DeadLetterLimit(
                step.name,
                settings.dead_letter_limit,
                settings.dead_letter_window,
                {topic for topic in step.inputs if topic in declared and not declared[topic].written_by_workers},
            ),
        )

    async def on_shutdown(self) -> None:
        """Close what this app opened beside Faust's services."""
        await super().on_shutdown()
        for reader in self._readers:
            await reader.stop()
        self._readers.clear()
        await self.followers.stop()
        await self.web_pages.stop()
        while self._collectors:
            metrics.REGISTRY.unregister(self._collectors.pop())

    async def stop(self) -> None:
        """Finish the batch in hand, commit, leave the group; within `GIVE_UP_S`, or the process ends."""
        last_resort = self._give_up_later()
        try:
            await super().stop()
        finally:
            last_resort.cancel()

    def _give_up_later(self) -> threading.Timer:
        last_resort = threading.Timer(GIVE_UP_S, _end_process)
        last_resort.daemon = True
        last_resort.start()
        return last_resort

    def fail(self, error: BaseException) -> None:
        """Stop the whole worker because of `error`, without acking anything more."""
        if self._failing is None:
            self._failing = asyncio.ensure_future(self._fail(error))

    async def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
            log.critical("this worker stops: %s: %s", type(error).__name__, error, exc_info=error)
            self._give_up_later()
            await self.crash(error)

    def _crash(self, reason: BaseException) -> None:
        """Say why, also where it is Faust that stops the worker: for what its consumer raised, for example."""
        if self.failure is None and isinstance(reason, Exception) and not self.should_stop:
            self.failure = reason
            log.critical("this worker stops: %s: %s", type(reason).__name__, reason, exc_info=reason)
        super()._crash(reason)

    async def _mind_refusals(self) -> None:
        """End the process when brokers refuse its user or certificate and none has answered for `SILENT_S`.

        Passwords and certificates are read at the start alone, so who starts it again gives it those of today. Nothing
        can be committed or handed back to the group meanwhile: it ends as one that was killed. What may be an outage as
        well (`latest_unsaid`) is waited out.
        """
        while not self.should_stop:
            await self.sleep(_LOOKS_EVERY_S)
            refusal, silent_s = latest_refusal(), self.silent_s() or 0.0
            if refusal is not None and time.monotonic() - refusal.at < SILENT_S < silent_s:
                log.critical(
                    "this worker stops: no broker has answered for %.0f s, and they do not let it in any more (%s): "
                    "correct the file of its password or certificate, and start it again",
                    silent_s, refusal.said,
                )  # fmt: skip
                logging.shutdown()
                os._exit(1)

    async def _note_assignment(self, app: Any, assigned: set[TP], **kwargs: Any) -> None:
        self.borderflow_assigned = True
        # Another worker may have decided while this one was not a member, even from the offset where a state ends.
        kept = assigned if cast(BatchConsumer, self.consumer).stayed() else set()
        for host in self.hosts.values():
            host.forget(lambda topic, partition: TP(topic, partition) in kept)

    def on_rebalance_start(self) -> None:
        """Note when the rebalance began."""
        self._rebalance_began = time.monotonic()
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        """Count the rebalance: records flow again."""
        super().on_rebalance_end()
        if self._rebalance_began is not None:
            metrics.rebalances.inc()
            metrics.rebalance_seconds.observe(time.monotonic() - self._rebalance_began)
            self._rebalance_began = None

    # -- what it shows

    def unready(self) -> list[str]:
        """Why this worker decides nothing yet (or any more); empty when it does."""
        reasons = []
        if self.failure is not None:
            reasons.append("the worker has failed and is stopping")
        if self.should_stop:
            reasons.append("the worker is stopping")
        if not self.followers.ready:
            reasons.append("the broadcast logs are being caught up with")
        if not self.borderflow_assigned or self.rebalancing:
            reasons.append("partitions are being assigned")
        silent_s = self.silent_s()
        if silent_s is not None and silent_s > SILENT_S:
            unsaid = latest_unsaid()
            perhaps = f"; {unsaid.said}" if unsaid is not None and time.monotonic() - unsaid.at < SILENT_S else ""
            reasons.append(f"no broker has answered for {silent_s:.0f} s{perhaps}")
        return reasons

    def silent_s(self) -> float | None:
        """For how long no broker has answered a fetch of any partition; None before the first answer."""
        silences = [reading.silent_s for _, _, reading, _ in self.partition_readings() if reading.silent_s is not None]
        return min(silences, default=None)

    def partition_readings(self) -> Iterator[tuple[str, int, Reading, float | None]]:
        """Where the consumer stands in each partition that it holds, and for how long brokers are silent about the
        broadcast logs (`streams.metrics.LagCollector`)."""
        for topic, silent_s in self.followers.silences():
            yield topic, 0, Reading(None, None, None, silent_s), None
        consumer = self._consumer
        if consumer is None or not self.borderflow_assigned:
            return
        batches = cast(BatchConsumer, consumer)
        for tp, reading in batches.readings().items():
            yield tp.topic, tp.partition, reading, batches.last_commit.get(tp)


def _leads_to(steps: Iterable[Step]) -> dict[str, frozenset[str]]:
    """By input topic: the inputs of these steps that follow from it, at once or by way of others."""
    produces = {topic: step.produces for step in steps for topic in step.inputs}
    found: dict[str, frozenset[str]] = {}
    for topic in produces:
        reached, new = set[str](), {topic}
        while new:
            new = {after for one in new for after in produces[one] if after in produces} - reached
            reached |= new
        found[topic] = frozenset(reached)
    return found


def check_group(client: KafkaAdminClient, group: str) -> None:
    """Raise `GroupAuthorizationFailedError` where this user may not join the group.

    aiokafka tells of it with the next poll, and a worker polls nothing before partitions are assigned to it.
    """
    try:
        client.describe_groups([group])
    except GroupAuthorizationFailedError:
        raise
    except (KafkaError, ValueError, KeyError):
        return  # there is no such group yet, or these brokers do not tell


def build_app(settings: Settings, topology: Topology) -> BorderApp:
    """The app of one worker; nothing is connected."""
    return BorderApp(settings, topology)


def run(app: BorderApp) -> None:
    """Run a worker until SIGTERM or SIGINT (exit code 0), a failure (1) or a refusal (2); raises `SystemExit`."""
    app.Worker().execute_from_commandline()


def _import_the_rest() -> None:
    """Import what the first label needs while the group is joined: it takes a second or two, most of it SciPy."""
    for name in IMPORTED_LATER:
        import_module(name)


def _end_process() -> None:
    """End a process that does not stop, with the stacks of its threads on standard error: places, no values."""
    sys.stderr.write("borderflow: the worker did not stop in time; ending the process\n")
    sys.stderr.flush()
    faulthandler.dump_traceback()
    os._exit(70)
