"""Replay at full speed against the bare cost of decoding the same records: `python -m load.bench.replay ARCHIVE`.

Make an archive first: `python -m load.bench.history ARCHIVE --items 1000000 --days 50`. Decoding is what any reader of
the history has to do: the value of every lodgement to its event. Reading is that and getting the bytes out of Parquet.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.epoch import epoch_ms
from load.bench.history import KEY
from schemas.codec import codec_for
from streams.archive.layout import Catalogue
from streams.archive.policies import PolicyShelf
from streams.archive.reading import ArchiveReader
from streams.archive.times import LATEST
from streams.replay.beside import Beside
from streams.replay.engine import LODGEMENTS, Engine
from streams.replay.run import Plan, Replay
from streams.wire import decoded

END_MS = epoch_ms(LATEST)


def decode(reader: ArchiveReader) -> dict[str, float]:
    """Seconds of CPU to read and to decode every lodgement, and the items in them."""
    items, decoding, began = 0, 0.0, time.process_time()
    for topic in LODGEMENTS:
        codec = codec_for(topic).decode
        for partition in reader.catalogue.partitions(topic):
            held: list[Any] = []
            for record in reader.records(topic, partition):
                held.append(record)
                if len(held) == 1000:
                    items, decoding = _decode(codec, held, items, decoding)
            items, decoding = _decode(codec, held, items, decoding)
    return {"items": items, "decode_s": decoding, "read_s": time.process_time() - began}


def _decode(codec: Any, held: list[Any], items: int, spent: float) -> tuple[int, float]:
    began = time.process_time()
    events = [decoded(codec, record) for record in held]
    spent += time.process_time() - began
    held.clear()
    return items + sum(len(getattr(event, "consignments", (event,))) for event in events), spent


def replay(archive: Path, out: Path, processes: int) -> dict[str, Any]:
    """One replay: decisions, CPU and wall seconds, memory of this process on the way (MiB), what was written."""
    reader = ArchiveReader(Catalogue.of(archive))
    shelf = PolicyShelf(archive)
    policy = shelf.get(shelf.versions()[-1])
    partitions = max(reader.catalogue.partitions("screened")) + 1
    plan = Plan(since_ms=0, until_ms=END_MS, warm_ms=0, policy=policy.policy_version, partitions=partitions)
    seen, memory, wall, cpu = 0, list[tuple[int, int]](), time.monotonic(), cpu_s()

    def noticed(count: int) -> None:
        nonlocal seen
        seen += count
        if seen % 20_000 == 0:
            memory.append((seen, resident_mb()))

    run = Replay(reader, out, plan, lambda: (Engine if processes == 1 else Beside)(policy, KEY, partitions))
    made = run.run(noticed=noticed)
    wall = time.monotonic() - wall
    run.close()  # the time of a process beside counts when it has ended
    return {"decided": made.decided, "cpu_s": cpu_s() - cpu, "wall_s": wall, "memory_mb": memory,
            "sha256": [part.sha256 for part in made.parts]}  # fmt: skip


def fresh(archive: Path, processes: int) -> dict[str, Any]:
    """The same in a process of its own, so that nothing else counts."""
    with tempfile.TemporaryDirectory(prefix="borderflow-replay-") as out:
        pool = get_context("spawn")
        here, there = pool.Pipe(duplex=False)
        beside = pool.Process(target=_told, args=(there, archive, Path(out), processes))
        beside.start()
        there.close()
        done: dict[str, Any] = here.recv()
        beside.join()
    return done


def _told(there: Connection, archive: Path, out: Path, processes: int) -> None:
    there.send(replay(archive, out, processes))


def cpu_s() -> float:
    """CPU seconds of this process and of children that have ended."""
    return sum(os.times()[:4])


def resident_mb() -> int:
    """What this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 1_048_576


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.replay", description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    reader = ArchiveReader(Catalogue.of(options.archive))
    bare = decode(reader)
    each = {name: bare[name] / bare["items"] * 1e6 for name in ("decode_s", "read_s")}
    console.print(
        f"{bare['items']:,} items: decoding {each['decode_s']:.2f} us an item, reading {each['read_s']:.2f} us"
    )
    runs = {processes: fresh(options.archive, processes) for processes in (1, 2)}
    table = Table("processes", "items", "items a second", "CPU us an item", "x decoding", "x reading", "x one")
    for processes, done in runs.items():
        cost, rate = done["cpu_s"] / done["decided"] * 1e6, done["decided"] / done["wall_s"]
        alone = runs[1]["decided"] / runs[1]["wall_s"]
        ratios = (cost / each["decode_s"], cost / each["read_s"])
        table.add_row(str(processes), f"{done['decided']:,}", f"{rate:,.0f}", f"{cost:.1f}",
                      *(f"{ratio:.1f}" for ratio in ratios), f"{rate / alone:.2f}")  # fmt: skip
    console.print(table)
    if runs[1]["sha256"] != runs[2]["sha256"]:
        console.print("two processes wrote other bytes than one")
        return 1
    told = ", ".join(f"{at:,}: {mb}" for at, mb in runs[1]["memory_mb"][::5])
    console.print(f"resident MiB by lodgements read: {told}")
    if options.json is not None:
        options.json.write_text(json.dumps({"bare": bare, "replay": runs[1], "two_processes": runs[2]}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
