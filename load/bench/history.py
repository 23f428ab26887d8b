"""A history of the simulated border in an archive, without a broker: `python -m load.bench.history FOLDER --items N`.

The four steps decide as in the stream, inspectors report, models learn, and every record is written as `borderflow
archive` writes it, with the offsets that a broker would have given. For the benchmarks of replay, simulation and
queries, and for the notebook. The truth stays behind: `Made.truth` is for the benchmark that measures estimates.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from agents.loop import Loop, Sent, whole_loop
from agents.risk.policy import Policy
from agents.step import Output
from load.inspectors import Inspector
from load.truth import Truth
from load.world import World
from schemas.codec import ce_type_of, codec_for, encode
from schemas.inspections import ModelPromoted
from streams.archive.policies import PolicyShelf
from streams.archive.redeliveries import Marks
from streams.archive.rows import Archived, Row, RowReader
from streams.archive.writing import write_chunk
from streams.partitioning import partition_of
from streams.policies import built_in_policy, load_policy
from streams.replay.engine import LODGEMENTS
from streams.wire import cloud_event, rfc3339

CHUNK: Final = timedelta(minutes=5)
"""Within a chunk each stream comes by itself: in a longer one, items would come in another order than at a border."""
_ROWS: Final = 20_000
_MS: Final = 1000.0
KEY: Final = b"history"
"""The pseudonym key of these histories: `BORDERFLOW_PSEUDONYM_KEY=history borderflow replay --dir FOLDER --verify`."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Made:
    """What was made: `items` lodged, and the truth about them."""

    items: int
    truth: Truth


class Writer:
    """Takes records as they are appended and writes them as chunks."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._readers: dict[tuple[str, int], RowReader] = {}
        self._rows: dict[tuple[str, int], list[Row]] = {}

    def add(self, record: Archived) -> None:
        """Take one record; a partition's records come by offset."""
        place = (record.topic, record.partition)
        reader = self._readers.get(place)
        if reader is None:
            reader = self._readers[place] = RowReader(record.topic, Marks(record.topic))
        rows = self._rows.setdefault(place, [])
        rows.append(reader.read(record))
        if len(rows) >= _ROWS:
            self._write(place)

    def close(self) -> None:
        """Write what waits."""
        for place in sorted(self._rows):
            self._write(place)

    def _write(self, place: tuple[str, int]) -> None:
        rows = self._rows.pop(place, [])
        if rows:
            first, last = rows[0].record.offset, rows[-1].record.offset
            write_chunk(self._root, *place, first, last, rows, self._readers[place].marks.kept(), None)


class Recording:
    """A loop whose records are written down as they would lie on a broker."""

    def __init__(self, policy: Policy, writer: Writer, partitions: int) -> None:
        self._writer = writer
        self.loop = whole_loop(policy, KEY, partitions=partitions, partition_of=partition_of)
        self._ce_id: str | None = None
        append, emit = self.loop._append, self.loop._emit

        def noting_emit(output: Output, following: Any) -> None:
            self._ce_id = output.ce_id
            emit(output, following)
            self._ce_id = None

        def noting_append(topic: str, partition: int, key: str, event: Any, at_ms: int, sent_ms: int | None) -> Any:
            arrival = append(topic, partition, key, event, at_ms, sent_ms)
            ce_id = self._ce_id or f"{topic}/{partition}/{arrival.offset}"
            kind: type[msgspec.Struct] = type(event)
            headers = cloud_event(ce_id, ce_type_of(kind), b"/borderflow/history", rfc3339(at_ms / _MS))
            value = encode(event)
            self._writer.add(Archived(topic, partition, arrival.offset, at_ms, key.encode(), value, headers))
            if topic in LODGEMENTS:  # as a worker reads it: what equals a default is left out by identity
                arrival = msgspec.structs.replace(arrival, event=codec_for(topic).decode(value, ce_type_of(kind)))
            return arrival

        noted: Any = self.loop
        noted._append, noted._emit = noting_append, noting_emit


def make_history(
    root: Path,
    *,
    items: int,
    days: int,
    seed: int = 7,
    policy: Policy | None = None,
    partitions: int = 4,
    miss_rate: float = 0.1,
    dirt: float = 0.0,
    tell: Tell = lambda what, done, total: None,
) -> Made:
    """Lodge about `items` items over `days` days, decide, inspect, learn, archive. Results come 1 to 3 days later."""
    chosen = policy or built_in_policy()
    root.mkdir(parents=True, exist_ok=True)
    PolicyShelf(root).keep(chosen)
    writer = Writer(root)
    loop: Loop = Recording(chosen, writer, partitions).loop
    world = World(seed, items_per_day=max(1, items // days))
    inspector = Inspector(world.truth, seed, miss_rate=miss_rate, dirt=dirt)
    until, end = world.start + CHUNK, world.start + timedelta(days=days)
    waiting: dict[str, list[Sent]] = {}

    def flush(now: datetime) -> None:
        for result in inspector.due(now):
            loop.inspect([result])
        for topic in sorted(waiting):
            for alert in loop.send(topic, waiting[topic]).alerts:
                inspector.take(alert, alert.alert_id)
        waiting.clear()

    for lodged in world.lodgements(end):
        while lodged.lodged_at >= until:
            flush(until)
            if (until.hour, until.minute) == (0, 0):
                tell("days", (until - world.start).days, days)
                if until.weekday() == 0:
                    promoted = ModelPromoted(stream="passengers", model="linear", by="benchmark", at=until)
                    loop.send("labelled-examples", [Sent("passengers", promoted, int(until.timestamp() * _MS))])
            until += CHUNK
        if not isinstance(lodged.body, bytes):
            at_ms = int(lodged.lodged_at.timestamp() * _MS)
            waiting.setdefault(lodged.topic, []).append(Sent(lodged.key, lodged.body, at_ms))
    flush(end)
    flush(end + timedelta(days=4))
    writer.close()
    return Made(len(world.truth), world.truth)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a history from the command line."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.history", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--policy", default="", help="a file or a built-in name")
    options = parser.parse_args(arguments)
    console = Console(stderr=True, highlight=False)
    made = make_history(
        options.folder, items=options.items, days=options.days, seed=options.seed, partitions=options.partitions,
        policy=load_policy(options.policy), tell=lambda what, done, total: console.print(f"{what} {done}/{total}"),
    )  # fmt: skip
    console.print(f"{made.items:,} items in {options.folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
