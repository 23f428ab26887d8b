"""The whole loop, hosted six ways: `python -m load.bench.throughput`.

The same deciders, codec, headers and partitions; the same recorded lodgements; the same broker (the embedded one, a new
one for every run); one worker process. A run begins when the host takes its first record and ends when the last
decision is acknowledged. Hosts are run in turns, and the figures are medians.

    borderflow   the worker as it is                      faust        the same agents on stock Faust, one by one
    aiokafka     a bare loop on the client of both        quixstreams  Quix Streams, a record at a time
    confluent    a bare loop on librdkafka                bytewax      Bytewax, whole batches through flat_map_batch

Every host passes items through `screened` and `filtered`, as in production. Two things differ from production so that
all hosts must come to the same decisions whatever order they take partitions in: lodgement topics and `screened` have
one partition each, and the partitions of `filtered` are chosen so that no two streams share one. `decisions_sha256`
is over all decisions by id, without the offset in `screened` (there the streams meet in the host's own order).

Quix Streams, Bytewax and confluent-kafka are no dependencies of borderflow: the first run makes a virtual environment
for them under .bench/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition
from rich.console import Console
from rich.table import Table

from load.bench.bars import draw_bars
from load.bench.hosts.work import Plan
from load.bench.knowledge import knowledge_file, read_knowledge
from load.bench.recorded import Recording, recording
from schemas.decisions import SelectionDecided
from schemas.registry import dead_letter_topics, declarations
from streams.embedded import EmbeddedBroker
from streams.producing import Publisher
from streams.wire import Outgoing

FOLDER = Path(".bench")
ROOT = Path(__file__).parent.parent.parent
HOSTS = ("borderflow", "aiokafka", "confluent", "bytewax", "quixstreams", "faust")
PEERS = ("quixstreams==3.28.0", "bytewax==0.21.1", "confluent-kafka==2.12.2")
IN_PEERS = ("confluent", "bytewax", "quixstreams")
OUR_RUNTIME = (
    "msgspec", "river", "pyyaml", "aiokafka", "orjson", "prometheus-client", "rapidfuzz", "google-crc32c"
)  # fmt: skip
BY_CONTROL_POINT = ("filtered", "decisions", "alerts", "inspection-results")
CONTROL_POINT_PARTITIONS = 8
"""With murmur2 and the world's control points, each of 8 partitions holds those of one stream only."""
GIVE_UP_S = 2400.0


def peers_python() -> Path:
    """The interpreter of the peers' environment, made when it is missing or old. Raises `CalledProcessError`."""
    home = FOLDER / "peers"
    python, complete = home / "bin" / "python", home / "complete"
    wanted = "\n".join((sys.base_prefix, sys.version, *PEERS, *OUR_RUNTIME, version("borderflow")))
    if not complete.exists() or complete.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)  # noqa: S603 - our own arguments
        lock = str(ROOT / "requirements.lock")
        command = [str(python), "-m", "pip", "install", "--quiet", "-c", lock, *PEERS, *OUR_RUNTIME]
        subprocess.run(command, check=True)  # noqa: S603
        ours = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--editable", str(ROOT)]
        subprocess.run(ours, check=True)  # noqa: S603 - decisions name the version that is installed
        complete.write_text(wanted)
    return python


async def prepare(bootstrap: str, recorded: Recording, known: Path) -> dict[str, int]:
    """Create all topics and lodge everything; the partitions of each topic."""
    partitions: dict[str, int] = {}
    for topic in (*declarations(), *dead_letter_topics()):
        partitions[topic] = CONTROL_POINT_PARTITIONS if topic in BY_CONTROL_POINT else 1
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, count, 1) for name, count in partitions.items()])
    await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_batch_size=1_000_000, max_request_size=1_100_000
    )  # fmt: skip
    await producer.start()
    publisher = Publisher(producer)
    at = b"2026-01-01T00:00:00.000Z"
    for name, key, value, ce_type in read_knowledge(known).rows:
        await publisher.publish(name, [Outgoing(key, value, 1_736_121_600_000, [("ce_type", ce_type)], 0)])
    for topic in ("manifests", "express-cargo", "passengers"):
        mine = [record for record in recorded.records if record.topic == topic]
        await publisher.publish(
            topic, (Outgoing(r.key, r.value, r.timestamp_ms, r.headers(at), 0) for r in mine)
        )  # fmt: skip
    await producer.stop()
    return partitions


async def decisions_of(bootstrap: str, count: int) -> str:
    """The sha256 of all decisions, by id. Raises `RuntimeError` when there are not `count` different ones.

    A fetch ends when its time is up, and the embedded broker spends that time on finding where to begin: of 37,000
    batches in a partition (stock Faust: one a record) it returns one record within 20 ms, and 4 MB within 20 s.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False,
        max_partition_fetch_bytes=4_000_000, fetch_max_wait_ms=20_000,
    )  # fmt: skip
    await consumer.start()
    parts = [TopicPartition("decisions", number) for number in range(CONTROL_POINT_PARTITIONS)]
    consumer.assign(parts)
    await consumer.seek_to_beginning(*parts)
    decode, encode = msgspec.json.Decoder(SelectionDecided).decode, msgspec.json.encode
    found: dict[str, bytes] = {}
    quiet = 0
    while len(found) < count and quiet < 150:
        got = await consumer.getmany(timeout_ms=200)
        quiet = 0 if got else quiet + 1
        for records in got.values():
            for record in records:
                decision = decode(record.value)
                same = msgspec.structs.replace(
                    decision, screened=msgspec.structs.replace(decision.screened, offset=0)
                )  # fmt: skip
                found[decision.decision_id] = sha256(encode(same)).digest()
    await consumer.stop()
    if len(found) != count:
        raise RuntimeError(f"{len(found)} items of {count} were decided")
    return sha256(b"".join(found[name] for name in sorted(found))).hexdigest()


def run(host: str, recorded: Recording, known: Path) -> dict[str, Any]:
    """One run of one host on a broker of its own."""
    python = str(peers_python().absolute()) if host in IN_PEERS else sys.executable
    with EmbeddedBroker() as broker, tempfile.TemporaryDirectory() as folder:
        partitions = asyncio.run(prepare(broker.bootstrap, recorded, known))
        report, plan = Path(folder, "report.json"), Path(folder, "plan.json")
        told = Plan(broker.bootstrap, f"bench-{host}", recorded.items, partitions, str(known.absolute()), str(report))
        plan.write_bytes(msgspec.json.encode(told))
        environment = {**os.environ, **broker.environment(), "BORDERFLOW_WEB_PORT": "0", "PYTHONPATH": str(ROOT),
                       "BORDERFLOW_PSEUDONYM_KEY": "benchmark", "BORDERFLOW_LOG_LEVEL": "WARNING"}  # fmt: skip
        with open(FOLDER / f"{host}.log", "wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own arguments
                [python, "-m", f"load.bench.hosts.{host}", str(plan)], env=environment, stdout=log, stderr=log
            )  # fmt: skip
            try:
                process.wait(GIVE_UP_S)
            finally:
                process.kill()
                process.wait()
        if not report.is_file():
            raise RuntimeError(f"{host} ended without a report: see {FOLDER / host}.log")
        said = json.loads(report.read_text())
        return {
            "host": host,
            "items": recorded.items,
            "items_per_second": recorded.items / said["wall_s"],
            "cpu_us_per_item": said["cpu_s"] / recorded.items * 1e6,
            "peak_mb": said["peak_mb"],
            "decisions_sha256": asyncio.run(decisions_of(broker.bootstrap, recorded.items)),
        }


def summed_up(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a host: medians of its runs, and the ratio of borderflow's speed to its own."""
    by_host: dict[str, list[dict[str, Any]]] = {}
    for one in runs:
        by_host.setdefault(one["host"], []).append(one)
    rows: list[dict[str, Any]] = []
    for host in (name for name in HOSTS if name in by_host):
        mine = by_host[host]
        figures = {
            key: statistics.median(one[key] for one in mine)
            for key in ("items_per_second", "cpu_us_per_item", "peak_mb")
        }
        shas = sorted({one["decisions_sha256"] for one in mine})
        rows.append({"host": host, "runs": len(mine), "items": mine[0]["items"], **figures,
                     "decisions_sha256": shas[0] if len(shas) == 1 else "differs: " + ", ".join(shas)})  # fmt: skip
    ours = next((row["items_per_second"] for row in rows if row["host"] == "borderflow"), None)
    for row in rows:
        row["borderflow_is_faster_by"] = None if ours is None else ours / row["items_per_second"]
    return rows


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows for a terminal."""
    shown = Table("host", "items/s", "borderflow / host", "CPU us an item", "peak MB", "runs", "decisions")
    for row in rows:
        ratio = row["borderflow_is_faster_by"]
        shown.add_row(
            row["host"], f"{row['items_per_second']:,.0f}", "-" if ratio is None else f"{ratio:.2f}",
            f"{row['cpu_us_per_item']:.0f}", f"{row['peak_mb']:.0f}", str(row["runs"]), row["decisions_sha256"][:12],
        )  # fmt: skip
    return shown


def main() -> None:
    """Run, print, write. Exit code 1 when hosts came to different decisions."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.throughput", description=__doc__.split("\n\n")[0])
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", default=",".join(HOSTS), help="which ones, separated by commas")
    parser.add_argument("--json", type=Path, default=FOLDER / "throughput.json")
    parser.add_argument("--plot", type=Path, default=FOLDER / "throughput.svg")
    parser.add_argument("--append", action="store_true", help="add to the runs that the JSON file holds already")
    asked = parser.parse_args()
    hosts = asked.hosts.split(",")
    if wrong := [name for name in hosts if name not in HOSTS]:
        parser.error(f"--hosts: no host {wrong[0]!r}; there are {', '.join(HOSTS)}")
    console = Console()
    recorded, known = recording(asked.items, FOLDER), knowledge_file(FOLDER)
    runs: list[dict[str, Any]] = []
    if asked.append and asked.json.is_file():
        held = json.loads(asked.json.read_text())
        if held["input_sha256"] != recorded.sha256:
            parser.error(f"--append: {asked.json} is of another input")
        runs = held["runs"]
    for number in range(asked.rounds):
        for host in hosts[number % len(hosts) :] + hosts[: number % len(hosts)]:
            began = time.monotonic()
            runs.append(run(host, recorded, known))
            console.print(
                f"{number + 1}/{asked.rounds} {host}: {runs[-1]['items_per_second']:,.0f} items/s, "
                f"{time.monotonic() - began:.0f} s", highlight=False,
            )  # fmt: skip
            rows = summed_up(runs)
            asked.json.write_text(
                json.dumps({"input_sha256": recorded.sha256, "rows": rows, "runs": runs}, indent=2) + "\n"
            )
    console.print(table(rows))
    draw_bars(
        {row["host"]: row["items_per_second"] for row in rows},
        f"Whole loop, items a second, one worker process ({recorded.items:,} items)", asked.plot,
    )  # fmt: skip
    if len({row["decisions_sha256"] for row in rows}) != 1:
        console.print("[red]the hosts came to different decisions[/]")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
