"""Replay at full speed against the bare cost of decoding the same records: `python -m load.bench.replay ARCHIVE`.

Make an archive first: `python -m load.bench.history ARCHIVE --items 1000000 --days 50`. Decoding is what any reader of
the history has to do: the value of every lodgement to its event. Reading is that and getting the bytes out of Parquet.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from load.bench.history import KEY
from schemas.codec import codec_for
from streams.archive.layout import Catalogue
from streams.archive.policies import PolicyShelf
from streams.archive.reading import ArchiveReader
from streams.archive.times import LATEST, milliseconds
from streams.replay.engine import LODGEMENTS, Engine
from streams.replay.run import Plan, Replay
from streams.wire import decoded

END_MS = milliseconds(LATEST)


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


def replay(reader: ArchiveReader, out: Path, since_ms: int = 0, until_ms: int = END_MS) -> dict[str, Any]:
    """One replay: decisions, CPU and wall seconds, and memory on the way (MiB)."""
    shelf = PolicyShelf(reader.catalogue.root)
    policy = shelf.get(shelf.versions()[-1])
    partitions = max(reader.catalogue.partitions("screened")) + 1
    plan = Plan(since_ms=since_ms, until_ms=until_ms, warm_ms=0, policy=policy.policy_version, partitions=partitions)
    seen, memory, wall, cpu = 0, list[tuple[int, int]](), time.monotonic(), time.process_time()

    def noticed(count: int) -> None:
        nonlocal seen
        seen += count
        if seen % 20_000 == 0:
            memory.append((seen, resident_mb()))

    run = Replay(reader, out, plan, lambda: Engine(policy, KEY, partitions))
    made = run.run(noticed=noticed)
    return {"decided": made.decided, "cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - wall,
            "memory_mb": memory, "sha256": made.parts[-1].sha256}  # fmt: skip


def _part(archive: Path, since_ms: int, until_ms: int) -> dict[str, Any]:
    """One process's share of the history."""
    out = Path(tempfile.mkdtemp(prefix="borderflow-replay-"))
    try:
        return replay(ArchiveReader(Catalogue.of(archive)), out, since_ms, until_ms)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def beside_each_other(archive: Path, processes: int) -> list[dict[str, Any]]:
    """The history in as many spans of equal length, each replayed by a process of its own, all at once."""
    stamps = [
        record.timestamp
        for topic in LODGEMENTS
        for reader in (ArchiveReader(Catalogue.of(archive)),)
        for partition in reader.catalogue.partitions(topic)
        for record in reader.records(topic, partition)
    ]
    first, last = min(stamps), max(stamps)
    cuts = [first + (last - first) * number // processes for number in range(processes)]
    spans = list(zip(cuts, [*cuts[1:], END_MS], strict=True))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [done.result() for done in [pool.submit(_part, archive, *span) for span in spans]]


def resident_mb() -> int:
    """What this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 1_048_576


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.replay", description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--processes", type=int, default=2, help="also so many side by side, each its span of time")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    reader = ArchiveReader(Catalogue.of(options.archive))
    bare = decode(reader)
    each = {name: bare[name] / bare["items"] * 1e6 for name in ("decode_s", "read_s")}
    console.print(
        f"{bare['items']:,} items: decoding {each['decode_s']:.2f} us an item, reading {each['read_s']:.2f} us"
    )
    done = _part(options.archive, 0, END_MS)
    cost = done["cpu_s"] / done["decided"] * 1e6
    table = Table("items", "items a second", "CPU us an item", "times decoding", "times reading")
    table.add_row(f"{done['decided']:,}", f"{done['decided'] / done['wall_s']:,.0f}", f"{cost:.1f}",
                  f"{cost / each['decode_s']:.1f}", f"{cost / each['read_s']:.1f}")  # fmt: skip
    console.print(table)
    console.print("resident MiB by lodgements read: " + ", ".join(f"{at:,}: {mb}" for at, mb in done["memory_mb"][::5]))
    parts: list[dict[str, Any]] = []
    if options.processes > 1:
        parts = beside_each_other(options.archive, options.processes)
        together = sum(one["decided"] for one in parts) / max(one["wall_s"] for one in parts)
        console.print(
            f"{options.processes} processes: {together:,.0f} items a second, "
            f"{together / (done['decided'] / done['wall_s']):.2f} times one"
        )
    if options.json is not None:
        options.json.write_text(json.dumps({"bare": bare, "replay": done, "side_by_side": parts}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
