"""Where the processor time of an item goes: `python -m load.bench.budget`.

The recorded input runs through the hosting of a worker (the same step hosts, codec, producer batches and parser),
over logs in memory, so every microsecond that is not a socket's, a thread's or Faust's has a name:

    consume   bytes of a fetch of lodgements to records    score    features, rates, log-odds
    decode    records to events                            select   layers, capacity, lanes, the decision
    screen    lodgement to items                           encode   events to bytes
    filter    windows, criteria, anomaly, indicators       produce  headers, partitions, record batches
                                                           host     what is left: batches, metrics, the event loop

`--flame FILE` writes a flame graph of the same run, `--json FILE` the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agents.risk.policy import Policy
from agents.step import Outcome, Step
from load.bench.deciders import deciders
from load.bench.flame import draw, sampled
from load.bench.memory_broker import MemoryLogs
from load.bench.recorded import RecordedLodgement, Recording, recording
from schemas.codec import ce_type_of, codec_for, encode
from streams.hosting import StepHost
from streams.policies import load_policy
from streams.producing import Publisher
from streams.wire import Outgoing

RECORDINGS = Path(".bench")
STEPS = ("consume", "decode", "screen", "filter", "score", "select", "encode", "produce", "host")
_NAMES = {"screening": "screen", "filtering": "filter", "selection": "select"}
_SENT = b"2026-01-01T00:00:00.000Z"
FEED = 300
"""Lodgement records that come at once; a manifest counts as fifty."""


class Timed:
    """Seconds by name. A call inside another timed call counts for itself alone.

    The shares are of wall time (a clock of processor time costs more than what it would measure), the microseconds
    of processor time without the timers.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = [0.0]

    def __call__(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        seconds, inside = self.seconds, self._inside

        def timed(*given: Any, **named: Any) -> Any:
            inside.append(0.0)
            began = perf_counter()
            try:
                return call(*given, **named)
            finally:
                took = perf_counter() - began
                seconds[name] += took - inside.pop()
                inside[-1] += took

        return timed


class _TimedStep:
    """A step whose deciding is timed."""

    def __init__(self, step: Step, timed: Timed) -> None:
        self._step = step
        self.name, self.inputs, self.produces, self.memory = step.name, step.inputs, step.produces, step.memory
        self.begin, self.remember, self.entries = step.begin, step.remember, step.entries
        self.decide: Callable[[Any, Any], Outcome] = timed(_NAMES[step.name], step.decide)


class Line:
    """The three steps that every item passes, hosted over logs in memory."""

    def __init__(self, timed: Timed | None = None, partitions: int = 4, policy: Policy | None = None) -> None:
        self.logs = MemoryLogs(partitions, frozenset(("monitoring",)))
        self.deciders = made = deciders(policy or load_policy())
        as_it_is: Callable[[str, Any], Any] = lambda _, call: call  # noqa: E731
        time = timed or as_it_is
        if timed:
            setattr(made.brain, "appraise", timed("score", made.brain.appraise))  # noqa: B010 - a method
        self._take = time("consume", self.logs.take)
        self.publisher = Publisher(self.logs)
        self.hosts = [
            StepHost(
                _TimedStep(step, timed) if timed else step,
                decoders={topic: time("decode", codec_for(topic).decode) for topic in (*step.inputs, "decisions")},
                encode=time("encode", encode),
                ce_type=ce_type_of,
                publisher=self.publisher,
                reader=self.logs,  # type: ignore[arg-type]  # stands for the reader
                ownership=self.logs,
                source="/bench",
            )
            for step in (made.screening, made.filtering, made.selection)
        ]
        if timed:
            for host in self.hosts:
                host._produce = _timed_async(timed, "produce", host._produce)  # type: ignore[method-assign]

    async def feed(self, records: list[RecordedLodgement]) -> None:
        """Lodge records."""
        for topic in ("manifests", "express-cargo", "passengers"):
            mine = [r for r in records if r.topic == topic]
            await self.publisher.publish(
                topic, (Outgoing(r.key, r.value, r.timestamp_ms, r.headers(_SENT)) for r in mine)
            )

    async def run(self) -> int:
        """Everything that waits, through all steps; how many decisions that led to."""
        for host in self.hosts:
            await host.handle(self._take(host.step.inputs, 500))
        self.logs.drop(("alerts", "monitoring", "express-cargo-dlq", "manifests-dlq", "passengers-dlq", "screened-dlq"))
        return self.logs.drop(("decisions",))


def _timed_async(timed: Timed, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` counted as `name`. Nothing else runs while it waits: these logs answer at once."""

    async def counted(*given: Any) -> Any:
        timed._inside.append(0.0)
        began = perf_counter()
        try:
            return await call(*given)
        finally:
            took = perf_counter() - began
            timed.seconds[name] += took - timed._inside.pop()
            timed._inside[-1] += took

    return counted


def feeds(records: list[RecordedLodgement]) -> Iterator[list[RecordedLodgement]]:
    """The input in portions as a consumer would meet them."""
    part: list[RecordedLodgement] = []
    weight = 0
    for record in records:
        part.append(record)
        weight += 50 if record.items > 1 else 1
        if weight >= FEED:
            yield part
            part, weight = [], 0
    if part:
        yield part


def measured(recorded: Recording) -> dict[str, float]:
    """Shares of an item's time by step, of one run; they add up to 1."""
    timed = Timed()
    plain(recorded, timed)
    whole = timed.seconds["run"]
    shares = {name: timed.seconds[name] / whole for name in STEPS}
    shares["host"] = 1.0 - sum(shares.values())
    return shares


def plain(recorded: Recording, timed: Timed | None = None) -> float:
    """Microseconds an item of one run, with timers or without."""
    return timed_run(Line(timed), recorded, timed)


def timed_run(line: Line, recorded: Recording, timed: Timed | None = None) -> float:
    """Microseconds of processor time an item that `line` takes for a recording, lodging it left out."""
    gc.collect()
    gc.freeze()
    spent = 0.0

    async def work() -> None:
        nonlocal spent
        for part in feeds(recorded.records):
            await line.feed(part)
            running, began = perf_counter(), process_time()
            await line.run()
            spent += process_time() - began
            if timed:
                timed.seconds["run"] += perf_counter() - running

    asyncio.run(work())
    return spent / recorded.items * 1e6


def main() -> None:
    """Print the budget; write the files that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.budget", description=__doc__.split("\n\n")[0])
    parser.add_argument("--items", type=int, default=40_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--flame", type=Path, help="write a flame graph (SVG) to this file")
    asked = parser.parse_args()
    recorded = recording(asked.items, RECORDINGS)
    runs, bare = [], []
    for _ in track(range(asked.runs), "measuring", console=Console(stderr=True), transient=True):
        runs.append(measured(recorded))
        bare.append(plain(recorded))
    total = statistics.median(bare)
    shares = {name: statistics.median(run[name] for run in runs) for name in STEPS}
    figures = {
        "items": recorded.items,
        "input_sha256": recorded.sha256,
        "us_per_item": total,
        "best_us_per_item": min(bare),
        "us_by_step": {name: share * total for name, share in shares.items()},
        "transport_share": shares["consume"] + shares["produce"] + shares["host"],
    }
    table = Table("step", "us an item", "share", title=f"{recorded.items:,} items, medians of {asked.runs} runs")
    for name, share in shares.items():
        table.add_row(name, f"{share * total:.1f}", f"{share:.0%}")
    table.add_row("all, without timers", f"{total:.1f}", "")
    Console().print(table)
    if asked.json:
        asked.json.write_text(json.dumps(msgspec.to_builtins(figures), indent=2) + "\n")
    if asked.flame:
        _, stacks = sampled(lambda: plain(recorded))
        draw(stacks, f"borderflow: {total:.0f} us of CPU an item", asked.flame)
        sys.stdout.write(f"flame graph: {asked.flame}\n")


if __name__ == "__main__":
    main()
