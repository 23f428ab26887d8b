"""A whole border for a test: a broker of its own with the real topics, and workers started by `borderflow worker`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from load.children import Children
from schemas.codec import ce_type_of, codec_for
from schemas.lodgements import (
    Consignment,
    Conveyance,
    ExpressConsignmentLodged,
    GoodsLine,
    ManifestLodged,
    Party,
    PassengerExpected,
    TravelDocument,
)
from streams.settings import Settings
from streams.wire import Outgoing, Record, cloud_event, header, rfc3339
from tests.integration.harbour import PATIENCE_S, publisher, read_all
from tests.ports import own_port
from tests.real_kafka.fixtures import asked_for, new_cluster

PARTITIONS = 4
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""When the first item of every test is lodged; later ones follow a second apart."""


class Border:
    """One broker, its topics, and the workers that a test starts, kills and starts again."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._ports: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        children.environment["BORDERFLOW_PARTITIONS"] = str(PARTITIONS)
        children.environment.setdefault("BORDERFLOW_LOG_LEVEL", "INFO")
        self.settings = Settings.from_environment(children.environment)

    @property
    def environment(self) -> dict[str, str]:
        """Settings of the workers, as environment variables."""
        return dict(self._children.environment)

    def open(self, *workers: str) -> None:
        """Create the topics and start workers; returns when all of them decide."""
        self.run("topics", "create")
        for name in workers:
            self.start(name)
        for name in workers:
            self.wait_ready(name)

    def start(self, name: str, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a worker, with settings of its own; `wait_ready` waits until it decides."""
        self._ports[name] = own_port()
        process = self._processes[name] = self._children.start(
            name, "worker", *arguments, **settings, BORDERFLOW_WEB_PORT=str(self._ports[name])
        )
        return process

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The process of a worker."""
        return self._processes[name]

    def port(self, name: str) -> int:
        """Where a worker serves /metrics."""
        return self._ports[name]

    def wait_ready(self, name: str) -> None:
        """Return once a worker decides items."""
        self._children.wait_ready(name, self._ports[name])

    def kill(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a worker."""
        process.kill()
        self._children.stop(name)

    def stop(self, name: str) -> int | None:
        """SIGTERM a worker; its exit code."""
        return self._children.stop(name, PATIENCE_S)

    def archive(self, root: Path, *arguments: str, name: str = "archive") -> subprocess.Popen[bytes]:
        """Start `borderflow archive` on a folder."""
        self._ports[name] = own_port()
        process = self._processes[name] = self._children.start(
            name, "archive", "--dir", str(root), *arguments, BORDERFLOW_ARCHIVE_PORT=str(self._ports[name])
        )
        return process

    def seal(self, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `borderflow audit seal` on a folder."""
        self._ports["seal"] = own_port()
        process = self._processes["seal"] = self._children.start(
            "seal", "audit", "seal", "--dir", str(folder), *arguments, BORDERFLOW_AUDIT_PORT=str(self._ports["seal"])
        )
        return process

    def run(self, *arguments: str) -> None:
        """Run a `borderflow` command to its end."""
        self._children.run(arguments[0], *arguments)

    def running(self) -> None:
        """Fail when a worker has ended by itself."""
        self._children.check()

    def log(self, name: str) -> str:
        """What a worker wrote."""
        return self._children.log_of(name).read_text(errors="replace")

    def counted(self, name: str, metric: str) -> dict[str, float]:
        """The values of a metric of a worker, by its label set as text."""
        with urlopen(f"http://127.0.0.1:{self._ports[name]}/metrics", timeout=PATIENCE_S) as page:
            lines = page.read().decode().splitlines()
        return {line[len(metric) :].rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in lines if line.startswith(metric)}  # fmt: skip

    # -- topics

    def lodge(self, topic: str, records: Iterable[Outgoing]) -> int:
        """Produce records; how many."""

        async def send() -> int:
            async with publisher(self.settings) as to:
                return await to.publish(topic, records)

        return asyncio.run(send())

    def read(
        self, topic: str, want: int = 0, within_s: float = PATIENCE_S, partitions: int | None = None
    ) -> list[Record]:
        """All records of a topic, once `want` are there and no more come for a second."""
        count = partitions or (1 if topic.endswith("-dlq") else PARTITIONS)
        return asyncio.run(read_all(self.settings, topic, count, want, within_s))

    def decisions(self, want: int, within_s: float = PATIENCE_S) -> list[tuple[str, Any]]:
        """`ce_id` and event of every record of the decisions topic, duplicates included."""
        return [
            ((header(record.headers, "ce_id") or b"").decode(), codec_for("decisions").decode(record.value))
            for record in self.read("decisions", want, within_s)
        ]


@contextlib.contextmanager
def border(logs: Path, **settings: str) -> Iterator[Border]:
    """A border with these settings, whose processes end with the test.

    Its broker is Apache Kafka in `make test-kafka`, else the embedded one.
    """
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as brokers, Children({}, logs) as children:
        if asked_for():
            children.environment.update(brokers.enter_context(new_cluster(1)).environment())
        else:
            children.start_broker()
        children.environment.update(settings)
        yield Border(children)


# -- what is lodged


def record_of(
    event: msgspec.Struct, key: str, at: datetime, partition: int | None = None, sent: datetime | None = None
) -> Outgoing:
    """A lodgement's record: stamped with its event time, sent now unless told otherwise."""
    sent_s = time.time() if sent is None else sent.timestamp()
    headers = cloud_event(f"test-{key}", ce_type_of(type(event)), b"/test", rfc3339(sent_s))
    return Outgoing(key.encode(), msgspec.json.encode(event), _ms(at), headers, partition)


def raw_record(value: bytes | None, key: str = "raw", ce_type: str | None = None, at: datetime = NOON) -> Outgoing:
    """A record of bytes as they are."""
    headers = [] if ce_type is None else [("ce_type", ce_type.encode())]
    return Outgoing(key.encode(), value, _ms(at), headers, 0)


def parcel(number: int, consignee: int | None = None, **changes: Any) -> ExpressConsignmentLodged:
    """The parcel with this number; consignees come again and again."""
    at = NOON + timedelta(seconds=number)
    who = number % 40 if consignee is None else consignee
    made = ExpressConsignmentLodged(
        waybill=f"EX{number:08d}",
        lodged_at=at,
        control_point=("KRICN-EXP", "KRPTK-EXP", "KRINC-EXP")[number % 3],
        courier="HANEXP",
        seller=Party(name=f"Seller {number % 17}", country="CN"),
        consignee=Party(name=f"Consignee Nr {who}", identifier=f"P{who:09d}", country="KR"),
        departure="CN",
        port_of_loading="CNCAN",
        eta=at + timedelta(hours=20),
        goods=(
            GoodsLine(
                hs_code=("640411", "950300", "850440", "420222")[number % 4],
                description="goods",
                gross_mass_kg=0.5 + number % 7,
                declared_value=20.0 + number * 37 % 400,
                currency="USD",
                origin="CN",
            ),
        ),
    )
    return msgspec.structs.replace(made, **changes)


def parcel_record(made: ExpressConsignmentLodged, partition: int | None = None) -> Outgoing:
    """The record of a parcel."""
    return record_of(made, made.waybill, made.lodged_at, partition)


def consignment(number: int, manifest: int = 0) -> Consignment:
    """One house bill."""
    return Consignment(
        house_bill=f"HB{manifest:03d}{number:06d}",
        consignee=Party(name=f"Importer {number % 60} Co Ltd", country="KR"),
        shipper=Party(name=f"Shipper {number % 90} Ltd", country="CN"),
        departure="CN",
        port_of_loading="CNSHA",
        goods=(
            GoodsLine(
                hs_code="850440", description="adapters", gross_mass_kg=120.0 + number, declared_value=900.0 + number,
                currency="USD", origin="CN",
            ),
        ),
    )  # fmt: skip


def manifest(number: int, bills: int) -> ManifestLodged:
    """The manifest with this number, of so many house bills."""
    return ManifestLodged(
        manifest_id=f"MF{number:06d}",
        lodged_at=NOON,
        control_point="KRPUS-SEA",
        carrier="HANJ",
        conveyance=Conveyance(mode="sea", name="MV Example", identifier="9074729", voyage="021E"),
        port_of_discharge="KRPUS",
        eta=NOON + timedelta(hours=30),
        consignments=tuple(consignment(n, number) for n in range(bills)),
    )


def passenger(number: int, **changes: Any) -> PassengerExpected:
    """The traveller with this number."""
    at = NOON + timedelta(seconds=number)
    made = PassengerExpected(
        journey_id="KE0703-20260302",
        passenger_reference=f"R{number:06d}",
        lodged_at=at,
        control_point="KRICN-T1",
        carrier="KE",
        embarkation="JPNRT",
        disembarkation="KRICN",
        eta=at + timedelta(hours=6),
        document=TravelDocument(kind="passport", number=f"M{number:08d}", issuer="KR", expires="2031-01-01"),
        family_name="EXAMPLE",
        birth_date="1990-01-01",
        nationality="KR",
    )
    return msgspec.structs.replace(made, **changes)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


# -- what is counted


def item_ids(decisions: Sequence[tuple[str, Any]]) -> Counter[str]:
    """How often each item was decided, after dropping repeats of the same `ce_id`."""
    return Counter(event.item_id for event in dict(decisions).values())


def letter_of(record: Record) -> dict[str, str]:
    """The headers of a dead letter that say where from and why."""
    return {name.removeprefix("dlq-"): value.decode() for name, value in record.headers if name.startswith("dlq-")}


def terminate(process: subprocess.Popen[bytes], within_s: float = PATIENCE_S) -> int:
    """SIGTERM a worker and wait; its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(within_s)
