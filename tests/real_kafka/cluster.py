"""An Apache Kafka cluster on loopback ports: one node, or three with every topic replicated.

Each node is broker and controller. Clients use the plain listener; with `security` there are a SASL_SSL (SCRAM) and
an SSL (client certificates) listener as well, and StandardAuthorizer rules, with the plain listener's anonymous
user as the administrator.
"""

from __future__ import annotations

import contextlib
import fcntl
import random
import shutil
import socket
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streams.embedded import answers_kafka
from tests.ports import hold
from tests.real_kafka.jars import java, kafka_jars
from tests.real_kafka.node import Node, NodeFailedError
from tests.real_kafka.security import Security

# Below the range that the kernel takes for outgoing connections: nothing else is given a stopped node's port, and a
# client that tries a stopped node again and again cannot be connected to itself.
_PORTS = range(20_000, 32_000)


def _class_archive(jars: Path) -> Path:
    """Kafka's classes as this Java has loaded them once: a node starts with them in half of the processor time.

    Made by the first node on a machine, which is stopped again, and kept beside the jars.
    """
    java_is = blake2b(str(Path(java()).resolve()).encode(), digest_size=6).hexdigest()
    archive = jars.parent / f"{jars.name}-{java_is}.jsa"
    if archive.exists():
        return archive
    with open(jars.parent / f"{jars.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            fresh = archive.with_suffix(".new")
            with Cluster(1, classes=f"-XX:ArchiveClassesAtExit={fresh}") as cluster:
                cluster.nodes[1].stop()
            fresh.rename(archive)
    return archive


def held_ports(count: int) -> list[socket.socket]:
    """Sockets that hold loopback ports for a cluster's nodes, as long as they are open."""
    found: list[socket.socket] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError):
            found.append(hold(port))
        if len(found) == count:
            return found
    raise NodeFailedError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


class Cluster:
    """A cluster as a context manager. Raises `KafkaUnavailableError` when made on a machine without Java or jars."""

    def __init__(
        self,
        nodes: int = 1,
        *,
        security: Security | None = None,
        settings: Mapping[str, str] | None = None,
        start_timeout_s: float = 180.0,
        classes: str | None = None,
    ) -> None:
        self._jars = kafka_jars()
        classes = classes or f"-XX:SharedArchiveFile={_class_archive(self._jars)}"
        self._start_timeout_s = start_timeout_s
        self._settings = dict(settings or {})
        self.security = security
        self.folder = Path(tempfile.mkdtemp(prefix="borderflow-kafka-"))
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-keeper")
        self._listeners = ("PLAIN", "CONTROLLER", *(("SCRAM", "MTLS") if security else ()))
        self._held = held_ports(nodes * len(self._listeners))
        ports = (one.getsockname()[1] for one in self._held)
        self._ports = {
            number: {listener: next(ports) for listener in self._listeners} for number in range(1, nodes + 1)
        }
        self.nodes = {
            number: Node(
                number,
                self.folder / f"node-{number}",
                self._properties(number),
                self._jars,
                self._keeper,
                classes=classes,
            )
            for number in self._ports
        }

    # -- where it is

    @property
    def bootstrap(self) -> str:
        """`host:port,...` of the plain listener."""
        return self.bootstrap_of("PLAIN")

    def bootstrap_of(self, listener: str) -> str:
        """`host:port,...` of the PLAIN, SCRAM or MTLS listener."""
        return ",".join(f"127.0.0.1:{ports[listener]}" for ports in self._ports.values())

    @property
    def replication(self) -> int:
        """The replication factor that topics of this cluster have."""
        return min(3, len(self._ports))

    def environment(self) -> dict[str, str]:
        """Settings, as environment variables, for a worker that talks to this cluster over the plain listener."""
        return {
            "BORDERFLOW_BROKERS": self.bootstrap,
            "BORDERFLOW_SESSION_TIMEOUT_S": "6",
            "BORDERFLOW_HEARTBEAT_S": "1",
            "BORDERFLOW_REPLICATION": str(self.replication),
        }

    # -- its life

    def start(self) -> Self:
        """Format every node, start them and return when all serve. Raises `NodeFailedError`."""
        try:
            cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
            scram = self.security.passwords if self.security else {}
            for node in self.nodes.values():
                node.format(cluster_id, scram)
            for node in self.nodes.values():
                node.start()
            self.wait_until_whole()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill every node and remove all data. Safe to call twice."""
        for node in self.nodes.values():
            node.kill()
        self._keeper.shutdown()
        for held in self._held:
            held.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_until_whole(self) -> None:
        """Return when every node answers and all of them are members. Raises `NodeFailedError`."""
        for number, node in self.nodes.items():
            node.wait_for_port(self._ports[number]["PLAIN"], answers_kafka, self._start_timeout_s)
        self.wait_for(
            lambda admin: len(admin.describe_cluster()["brokers"]) == len(self.nodes), "all nodes are members"
        )

    def wait_until_in_sync(self) -> None:
        """Return when every partition of every topic has all its replicas in sync. Raises `NodeFailedError`."""

        def in_sync(admin: KafkaAdminClient) -> bool:
            return all(
                len(partition["isr_nodes"]) == len(partition["replica_nodes"]) and partition["leader_id"] >= 0
                for topic in admin.describe_topics()
                for partition in topic["partitions"]
            )

        self.wait_for(in_sync, "all replicas are in sync")

    def wait_for(self, holds: Callable[[KafkaAdminClient], bool], what: str) -> None:
        """Ask until `holds` says yes. Raises `NodeFailedError` after the start timeout."""
        deadline = time.monotonic() + self._start_timeout_s
        why = "it never held"
        while time.monotonic() < deadline:
            try:
                with self.admin() as admin:
                    if holds(admin):
                        return
            except (KafkaError, OSError) as error:
                why = repr(error)
            time.sleep(0.2)
        said = "\n".join(node.log_tail(5) for node in self.nodes.values())
        raise NodeFailedError(f"after {self._start_timeout_s:.0f} s it is still not so that {what} ({why}):\n{said}")

    def admin(self) -> KafkaAdminClient:
        """An administrator's client over the plain listener; a context manager."""
        return KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","), request_timeout_ms=10_000)

    # -- leaders

    def leader(self, topic: str, partition: int) -> int:
        """The number of the node that leads a partition."""
        with self.admin() as admin:
            (described,) = admin.describe_topics([topic])
        return next(int(p["leader_id"]) for p in described["partitions"] if p["partition_index"] == partition)

    def group_coordinator(self, group: str) -> int:
        """The number of the node that coordinates a consumer group."""
        with self.admin() as admin:
            count = len(admin.describe_topics(["__consumer_offsets"])[0]["partitions"])
        return self.leader("__consumer_offsets", _java_hash(group) % count)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- configuration

    def _properties(self, number: int) -> dict[str, str]:
        ports = self._ports[number]
        protocols = {"PLAIN": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", "SCRAM": "SASL_SSL", "MTLS": "SSL"}
        clients = [name for name in self._listeners if name != "CONTROLLER"]
        in_sync = 2 if self.replication == 3 else 1
        properties: dict[str, Any] = {
            "node.id": number,
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{p['CONTROLLER']}" for n, p in self._ports.items()),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "listeners": ",".join(f"{name}://127.0.0.1:{ports[name]}" for name in self._listeners),
            "advertised.listeners": ",".join(f"{name}://127.0.0.1:{ports[name]}" for name in clients),
            "listener.security.protocol.map": ",".join(f"{name}:{protocols[name]}" for name in self._listeners),
            "log.dirs": self.folder / f"node-{number}" / "data",
            "auto.create.topics.enable": "false",
            "num.partitions": 1,
            "default.replication.factor": self.replication,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": self.replication,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": self.replication,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "broker.session.timeout.ms": 4000,
            "broker.heartbeat.interval.ms": 1000,
            "log.segment.bytes": 64 * 1024 * 1024,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            # Event time is the records' timestamp, and tests lodge things of long ago: retention must not take them.
            "log.initial.task.delay.ms": 24 * 3600 * 1000,
        }
        if self.security is not None:
            properties |= self.security.properties()
        return {name: str(value) for name, value in (properties | self._settings).items()}


def _java_hash(text: str) -> int:
    """Java's `String.hashCode`, made positive as Kafka does: it chooses a group's offsets partition."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF
