"""Examines an installation: settings, certificates, codecs, brokers, topics, rights, knowledge, group, seals, clock,
disk; says what to do.

Every check looks and changes nothing. A check that needs something the brokers do not tell (the embedded broker tells
less than Kafka) is skipped and says so.
"""

from __future__ import annotations

import asyncio
import ctypes
import shutil
import socket
import ssl
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import aiokafka.codec
import aiokafka.errors
import kafka.codec
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import (
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    GroupIdNotFoundError,
    KafkaError,
)

from agents.risk.policy import Policy
from schemas.registry import dead_letter_topics, declarations
from streams.audit.book import Book, Chain
from streams.audit.chain import Entry
from streams.certificates import Lifetime, UndatedError, files_for_brokers, files_for_browsers, lifetime
from streams.deadletter import dead_letter_topic
from streams.knowledge import criteria, entries
from streams.reconnecting import connect
from streams.redrive import SOURCES
from streams.settings import SHORTEST_KEY_BYTES, Settings, SettingsError
from streams.topics import (
    TopicsUnfitError,
    admin,
    check_topics,
    describe_topics,
    needed_topics,
    topic_differences,
)

if TYPE_CHECKING:
    from streams.app import Topology

State = Literal["ok", "warning", "wrong", "skipped"]

CODECS = ("gzip", "snappy", "lz4", "zstd")
LEAST_FREE_BYTES = 1_000_000_000
RENEW_DAYS = 30
"""A certificate that holds for fewer days is warned of, as by `CertificateExpiresSoon` (ops/prometheus/alerts.yml)."""
_PINNED = ("faust-streaming", "aiokafka")
_ADJTIMEX_UNSYNCHRONISED = 5
_LAGGING = 50_000
_ASKED = 20
_CREATE = "run `borderflow topics create` as a user who may (ops/acls.yaml: topics-administrator)"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `advice` says what to do, empty when nothing is."""

    check: str
    state: State
    found: str
    advice: str = ""


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Run every check that can be run; one that others need ends the examination when it fails."""
    try:
        settings = Settings.from_environment(environ)
        settings.client_options()  # reads the files of TLS and SASL
    except SettingsError as error:
        yield Finding("settings", "wrong", str(error), "correct the variable (docs/settings.md lists them all)")
        return
    yield from _settings(settings, environ)
    yield from _certificates(settings)
    yield _versions()
    yield _codecs()
    yield _disk(settings)
    yield _clock()
    try:
        topology = _topology(settings)
    except SettingsError as error:
        yield Finding("policy", "wrong", str(error), "correct the policy file, or unset BORDERFLOW_POLICY_FILE")
        return
    yield Finding("policy", "ok", f"version {_policy(settings).version}")
    unreachable = [address for address in settings.brokers.split(",") if not _listens(address)]
    if len(unreachable) == len(settings.brokers.split(",")):
        yield Finding(
            "brokers", "wrong", f"nothing listens at {settings.brokers}",
            "start the brokers, or point BORDERFLOW_BROKERS at them; look at firewalls between here and there",
        )  # fmt: skip
        return
    yield from _certificates_of_brokers(settings)
    try:
        with admin(settings) as client:
            yield from _brokers(client, settings, unreachable)
            observer = _observes(client, topology)
            if _keyless(settings) and not observer:
                yield Finding(
                    "pseudonyms", "wrong", "there is no key, and production does not start screening without",
                    "name the file that all workers share (BORDERFLOW_PSEUDONYM_KEY_FILE); only who hosts no "
                    "screening, and an observer, has no use for it",
                )  # fmt: skip
            found = list(_topics(client, settings, topology, observer=observer))
            yield from found
            if all(one.state != "wrong" for one in found):
                yield _leaders(client)
                rights = _rights(client, topology, observer=observer)
                yield rights
                if rights.state != "wrong" and not observer:
                    yield from _knowledge(settings, topology)
                yield from _group(client, settings, topology)
                yield from _seals(settings)
    except (KafkaError, OSError) as error:
        yield why_not_served(settings, unreachable, error)


def _topology(settings: Settings) -> Topology:
    from streams.topology import build_topology

    # Nothing is decided here: who must not have the key examines the rest all the same.
    return build_topology(replace(settings, pseudonym_key="-" * SHORTEST_KEY_BYTES) if _keyless(settings) else settings)


def _keyless(settings: Settings) -> bool:
    """Whether this environment hosts screening in production without its key."""
    screens = "screening" in settings.step_names
    return settings.environment == "production" and screens and not settings.has_pseudonym_key


def _policy(settings: Settings) -> Policy:
    from streams.topology import read_policy

    return read_policy(settings)


# -- this machine


def _settings(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    unknown = Settings.unknown_variables(environ)
    if unknown:
        yield Finding(
            "settings", "warning", f"no setting reads {', '.join(unknown)}",
            "look for a misspelt name in docs/settings.md",
        )  # fmt: skip
    else:
        yield Finding("settings", "ok", f"{settings.environment}, steps {', '.join(settings.step_names)}")
    if settings.environment == "development":
        yield Finding(
            "security", "warning", f"development: {settings.security_protocol}",
            "at a border set BORDERFLOW_ENVIRONMENT=production, which insists on TLS and a pseudonym key",
        )  # fmt: skip
    else:
        yield Finding("security", "ok", f"production: {settings.security_protocol}")


def _certificates(settings: Settings) -> Iterator[Finding]:
    """For how long the files of certificates hold that these settings put to use."""
    now = datetime.now(UTC)
    for setting, path in (*files_for_brokers(settings), *files_for_browsers(settings)):
        try:
            held = lifetime(setting, path, now)
        except UndatedError as error:
            yield Finding("certificates", "warning", str(error), "look when it expires; nobody is warned of it")
        else:
            renew = "renew it, and restart every process that uses it: files are read at the start"
            yield _lifetime(f"{setting}: {path}", held, now, renew)


def _lifetime(what: str, held: Lifetime, now: datetime, renew: str) -> Finding:
    if now < held.begins:
        return Finding(
            "certificates", "wrong", f"{what} is not valid before {held.begins:%Y-%m-%d %H:%M} UTC",
            "look at this machine's clock and at what was issued; until then nobody accepts it",
        )  # fmt: skip
    if held.ends <= now:
        return Finding("certificates", "wrong", f"{what} expired on {held.ends:%Y-%m-%d %H:%M} UTC", renew)
    left = (held.ends - now).days
    said = f"{what} holds for {left} days more, until {held.ends:%Y-%m-%d}"
    return Finding("certificates", "warning", said, renew) if left < RENEW_DAYS else Finding("certificates", "ok", said)


def _versions() -> Finding:
    wanted = {}
    for requirement in metadata.requires("borderflow") or ():
        name, pinned, version = requirement.partition("==")
        if pinned and name in _PINNED:
            wanted[name] = version.split(";")[0].strip()
    wrong = [
        f"{name} {metadata.version(name)} (tested with {version})"
        for name, version in wanted.items()
        if metadata.version(name) != version
    ]
    if wrong:
        return Finding(
            "versions", "wrong", ", ".join(wrong),
            "install from requirements.lock: the transport overrides their internals",
        )  # fmt: skip
    python = ".".join(str(part) for part in sys.version_info[:3])
    slower = "" if _python_is_optimised() else ", built without --enable-optimizations: an item takes a tenth more"
    return Finding("versions", "ok", f"borderflow {metadata.version('borderflow')}, Python {python}{slower}")


def _python_is_optimised() -> bool:
    """Whether CPython was built with a profile. Distributions do so, and do not all say it in their configuration."""
    configured = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return sys.base_prefix == "/usr" or "--enable-optimizations" in configured


def _codecs() -> Finding:
    """Whether both clients read whatever lodgers may compress with: no worker gets past a batch that it cannot read."""
    clients = {"aiokafka": aiokafka.codec, "kafka-python": kafka.codec}
    lacking = [
        f"{client} cannot read {codec}"
        for client, module in clients.items()
        for codec in CODECS
        if not getattr(module, f"has_{codec}")()
    ]
    if lacking:
        return Finding(
            "codecs", "wrong", ", ".join(lacking),
            "install from requirements.lock (cramjam, python-snappy, lz4, zstandard)",
        )  # fmt: skip
    return Finding("codecs", "ok", f"both clients read {', '.join(CODECS)}")


def _disk(settings: Settings) -> Finding:
    """Room for temporary files, and for the archive where there is one."""
    folders = [Path(tempfile.gettempdir()), Path(settings.archive_dir)]
    free = {folder: shutil.disk_usage(folder).free for folder in folders if folder.is_dir()}
    short = {folder: left for folder, left in free.items() if left < LEAST_FREE_BYTES}
    shown = ", ".join(f"{left / 1e9:.1f} GB free in {folder}" for folder, left in (short or free).items())
    if short:
        return Finding(
            "disk", "warning", shown, "free some space; the archive stops, without a loss, when there is none left"
        )
    return Finding("disk", "ok", shown)


def _clock() -> Finding:
    """Whether the kernel holds its clock for synchronised. Lodgements ahead of the brokers' clocks are refused."""
    advice = "run an NTP client (chrony); brokers refuse lodgements more than 15 minutes ahead of their own clocks"
    try:
        buffer = ctypes.create_string_buffer(512)  # struct timex, modes 0: look, change nothing
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return Finding("clock", "skipped", "this system does not tell")
    if state == _ADJTIMEX_UNSYNCHRONISED:
        return Finding("clock", "warning", "the kernel says that its clock is not synchronised", advice)
    if state < 0:
        return Finding("clock", "skipped", "this system does not tell")
    return Finding("clock", "ok", "synchronised")


def _listens(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            return True
    except (OSError, ValueError):
        return False


# -- the brokers


def _certificates_of_brokers(settings: Settings) -> Iterator[Finding]:
    """For how long the certificates hold that brokers show; of one that lets nobody in `brokers` says why."""
    context, now = settings.tls_context(), datetime.now(UTC)
    if context is None:
        return
    for address in settings.brokers.split(","):
        host, _, port = address.strip().rpartition(":")
        host = host.strip("[]")
        try:
            with (
                socket.create_connection((host, int(port)), timeout=3) as plain,
                context.wrap_socket(plain, server_hostname=host) as link,
            ):
                shown = link.getpeercert() or {}
        except (OSError, ValueError):
            continue
        begins, ends = (
            datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown[name])), UTC)
            for name in ("notBefore", "notAfter")
        )
        yield _lifetime(f"broker {address.strip()}: its certificate", Lifetime(begins, ends), now, "renew it there")


def _brokers(client: KafkaAdminClient, settings: Settings, unreachable: list[str]) -> Iterator[Finding]:
    members = client.describe_cluster()["brokers"]
    if unreachable:
        yield Finding(
            "brokers", "warning", f"nothing listens at {', '.join(unreachable)}",
            "start it, or take it out of BORDERFLOW_BROKERS",
        )  # fmt: skip
    elif len(members) < settings.replication:
        yield Finding(
            "brokers", "wrong", f"{len(members)} in the cluster, and topics want {settings.replication} replicas",
            "start more brokers, or lower BORDERFLOW_REPLICATION",
        )  # fmt: skip
    else:
        yield Finding("brokers", "ok", f"{len(members)} in the cluster, at {settings.brokers}")


def why_not_served(settings: Settings, unreachable: list[str], error: Exception) -> Finding:
    """Why the brokers do not serve. A client says no more than that none does, so one that listens is asked."""
    listening = [address for address in settings.brokers.split(",") if address not in unreachable]
    if why := asyncio.run(_refusal(settings, listening[0])):
        return Finding(
            "brokers", "wrong", f"{listening[0]} does not let this process in: {why}",
            "compare BORDERFLOW_SECURITY_PROTOCOL, BORDERFLOW_SASL_* and BORDERFLOW_TLS_* with the brokers' listeners; "
            "look whether the password was changed and whether a certificate has expired",
        )  # fmt: skip
    said = str(error) or type(error).__name__
    if unreachable:
        return Finding(
            "brokers", "wrong", f"nothing listens at {', '.join(unreachable)}, and the others do not serve: {said}",
            "start them: the brokers that are left elect no leaders without them",
        )  # fmt: skip
    return Finding("brokers", "wrong", f"the brokers do not serve: {said}", "look at the brokers' own logs")


async def _refusal(settings: Settings, address: str) -> str:
    """What a broker says to a client that logs in; empty when it lets it in."""
    host, _, port = address.strip().rpartition(":")
    options = settings.client_options()
    del options["bootstrap_servers"]
    try:
        connection = await connect(host.strip("[]"), int(port), request_timeout_ms=10_000, **options)
    except (aiokafka.errors.KafkaError, OSError) as error:
        return str(error) or type(error).__name__
    connection.close()
    return ""


def _needed(topology: Topology) -> tuple[str, ...]:
    return needed_topics(topology.steps, [follow.topic for follow in topology.follows])


def _observes(client: KafkaAdminClient, topology: Topology) -> bool:
    """Whether this user may look at topics, also at some that no hosted step needs, and neither read nor write any.

    No topic is hidden from an observer: what it does not see is not there.
    """
    needed = _needed(topology)
    may: dict[str, set[str]] = {
        one["name"]: set(one.get("authorized_operations") or ())
        for one in client.describe_topics([*declarations(), *dead_letter_topics()])
        if one["error_code"] == 0
    }
    looks_only = all("DESCRIBE" in one and not {"READ", "WRITE"} & one for one in may.values())
    return looks_only and any(name not in needed for name in may)


def _topics(client: KafkaAdminClient, settings: Settings, topology: Topology, *, observer: bool) -> Iterator[Finding]:
    follows = [follow.topic for follow in topology.follows]
    described = describe_topics(client, settings)
    needed = _needed(topology)
    absent = [wanted.name for wanted, found in described if found is None]
    if observer and absent:
        yield Finding("topics", "wrong", f"missing: {_some(absent)}", _CREATE)
        return
    if missing := [name for name in absent if name in needed]:
        yield Finding(
            "topics", "wrong", f"missing, or hidden from this user: {_some(missing)}",
            f"{_CREATE}; when they are there, grant this user what ops/acls.yaml lists for its steps",
        )  # fmt: skip
        return
    try:
        check_topics(client, topology.steps, follows)
    except TopicsUnfitError as error:
        yield Finding(
            "topics", "wrong", str(error),
            "a worker does not start: state is a fold of equally many partitions, knowledge of one; "
            "create the topics anew",
        )  # fmt: skip
        return
    if absent:
        yield Finding(
            "topics", "warning", f"not needed here, and missing or hidden from this user: {_some(absent)}",
            f"run this as ops/acls.yaml's observer, from whom nothing is hidden; what is missing then: {_CREATE}",
        )  # fmt: skip
    there = [(wanted, found) for wanted, found in described if found is not None]
    if differs := [said for wanted, found in there for said in topic_differences(wanted, found)]:
        yield Finding(
            "topics", "warning", _some(differs),
            "keep BORDERFLOW_PARTITIONS and BORDERFLOW_REPLICATION at what the topics have (keys must not move); "
            "change anything else with kafka-configs.sh (`borderflow topics describe TOPIC` shows the declaration)",
        )  # fmt: skip
        return
    yield Finding("topics", "ok", f"{'' if absent else 'all '}{len(there)} as declared")
    buried = sum(wanted.name in dead_letter_topics() for wanted, _ in there)
    yield Finding("dead letters", "ok", f"{buried} topics to bury in")


def _leaders(client: KafkaAdminClient) -> Finding:
    """Whether every partition has a leader, and all its replicas in sync."""
    headless, behind = [], []
    for topic in client.describe_topics([*declarations(), *dead_letter_topics()]):
        for partition in topic["partitions"]:
            name = f"{topic['name']}[{partition['partition_index']}]"
            if partition["leader_id"] < 0:
                headless.append(name)
            elif len(partition["isr_nodes"]) < len(partition["replica_nodes"]):
                behind.append(name)
    if headless:
        return Finding(
            "partitions", "wrong", f"{len(headless)} without a leader: {_some(headless)}",
            "start the brokers that hold them; until then nothing is read from them or written to them",
        )  # fmt: skip
    if behind:
        return Finding(
            "partitions", "warning", f"{len(behind)} with replicas that are missing or behind: {_some(behind)}",
            "look for a broker that is down or slow; one more loss and writes are refused (min.insync.replicas)",
        )  # fmt: skip
    return Finding("partitions", "ok", "all have a leader and their replicas")


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _rights(client: KafkaAdminClient, topology: Topology, *, observer: bool) -> Finding:
    """Whether this user may read what the hosted steps read and write what they write, by the brokers' own answer.

    What other steps take in it must see: any worker may be the one that gives out the partitions of the whole group.
    """
    needs: dict[str, set[str]] = {topic: {"DESCRIBE"} for topic in SOURCES}
    for step in topology.steps:
        for topic in (*step.inputs, *(memory.topic for memory in step.memory)):
            needs.setdefault(topic, set()).add("READ")
        for topic in (*step.produces, *(dead_letter_topic(one) for one in step.inputs)):
            needs.setdefault(topic, set()).add("WRITE")
    for follow in topology.follows:
        needs.setdefault(follow.topic, set()).add("READ")
    said: dict[str, Any] = {
        one["name"]: one.get("authorized_operations") for one in client.describe_topics(list(needs))
    }
    if all(operations is None for operations in said.values()):
        return Finding("rights", "skipped", "these brokers do not tell what this user may do")
    if observer:
        return Finding(
            "rights", "skipped", "this user may look at topics, and neither read nor write any: an observer",
            "to check what a worker may do run this as the worker's user",
        )  # fmt: skip
    lacking = [
        f"{operation} on {topic}"
        for topic, operations in needs.items()
        for operation in sorted(operations - set(said.get(topic) or ()))
    ]
    if lacking:
        return Finding(
            "rights", "wrong", f"this user may not {', '.join(lacking[:4])}",
            "grant what ops/acls.yaml lists for its steps",
        )  # fmt: skip
    return Finding("rights", "ok", "this user may read and write what its steps do")


def _knowledge(settings: Settings, topology: Topology) -> Iterator[Finding]:
    """Whether this version of borderflow takes what is published as it stands: an earlier one may have taken more."""
    followed = {follow.topic for follow in topology.follows}
    for topic, unusable in ((criteria.topic, criteria.unusable), (entries.topic, entries.unusable)):
        if topic not in followed:
            continue
        try:
            refused = unusable(settings)
        except aiokafka.errors.KafkaError as error:
            yield Finding(topic, "skipped", str(error) or type(error).__name__)
            continue
        if refused:
            yield Finding(
                topic, "warning",
                "this version cannot use as published: " + _some([f"{name} ({why})" for name, why in refused.items()]),
                "they have no effect, or not all that they ask for: publish them again as is said there, or withdraw "
                "them; before an upgrade do so with the version that runs",
            )  # fmt: skip
        else:
            yield Finding(topic, "ok", "all that is published can be used")


def _members(client: KafkaAdminClient, group: str) -> list[Any]:
    """Who is in a consumer group. The first question about any group makes a new cluster create its offsets topic."""
    for _ in range(_ASKED):
        try:
            return list(client.describe_groups([group])[group]["members"])
        except GroupIdNotFoundError:
            return []
        except CoordinatorNotAvailableError:
            time.sleep(0.5)
    return list(client.describe_groups([group])[group]["members"])


def _group(client: KafkaAdminClient, settings: Settings, topology: Topology) -> Iterator[Finding]:
    """Whether workers take part in the group, and how far behind it is."""
    inputs = {topic for step in topology.steps for topic in step.inputs}
    try:
        members = _members(client, settings.group)
    except GroupAuthorizationFailedError:
        yield Finding(
            "workers", "wrong", f"this user may take no part in group {settings.group!r}, nor look at it",
            "correct BORDERFLOW_GROUP, or grant what ops/acls.yaml lists under `groups` for its steps",
        )  # fmt: skip
        return
    except (KafkaError, ValueError, KeyError):
        yield Finding("workers", "skipped", "these brokers do not tell who is in the group")
    else:
        if members:
            yield Finding("workers", "ok", f"{len(members)} in group {settings.group}")
        else:
            yield Finding("workers", "wrong", f"nobody is in group {settings.group}", "start `borderflow worker`")
    try:
        committed = client.list_group_offsets(settings.group)[settings.group]
        ends = client.list_partition_offsets(dict.fromkeys((at for at in committed if at.topic in inputs), -1))
    except (KafkaError, ValueError, KeyError):
        yield Finding("lag", "skipped", "these brokers do not tell how far the group has come")
        return
    waiting: dict[str, int] = {}
    for at, end in ends.items():
        waiting[at.topic] = waiting.get(at.topic, 0) + max(0, end.offset - committed[at].offset)
    topic, most = max(waiting.items(), key=lambda one: one[1], default=("", 0))
    if most > _LAGGING:
        yield Finding(
            "lag",
            "warning",
            f"{most} records of {topic} wait",
            "see LagTooHigh in docs/operations.md; more workers help",
        )
    else:
        yield Finding("lag", "ok", f"at most {most} records of a topic wait")


def _seals(settings: Settings) -> Iterator[Finding]:
    """Whether all that there is is sealed, where the chains are on this machine: a sealer that is dead does not say."""
    folder = Path(settings.audit_dir)
    if not folder.is_dir():
        return
    try:
        chains = {TopicPartition(one.topic, one.partition): one for one in Book(folder).chains()}
        if not chains:
            return
        with closing(KafkaConsumer(**settings.consumer_options(), group_id=None, enable_auto_commit=False)) as consumer:
            ends = consumer.end_offsets(list(chains))
        for _ in range(_ASKED):
            waiting = sum(max(0, ends[at] - _sealed_to(chain)) for at, chain in chains.items())
            if not waiting:
                break
            time.sleep(0.5)
    except (KafkaError, OSError) as error:
        yield Finding("audit", "skipped", f"{folder}: {str(error) or type(error).__name__}")
        return
    if waiting:
        yield Finding(
            "audit", "warning", f"{waiting} records are not sealed in {folder}",
            "see RecordsNotSealed in docs/operations.md; start `borderflow audit seal` where it does not run",
        )  # fmt: skip
    else:
        yield Finding("audit", "ok", f"all records are sealed in {folder}")


def _sealed_to(chain: Chain) -> int:
    """The offset after the last one that is sealed."""
    return max((Entry.unpacked(one).offset + 1 for one in chain.packed(max(0, len(chain) - 1))), default=0)
