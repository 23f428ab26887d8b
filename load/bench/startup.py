"""Start-up, takeover, rebuild and workers beside each other: `python -m load.bench.startup`.

On the embedded broker, which answers a group join only after half of the session timeout (6 s there): start-up and
takeover hold that wait, and are shown with and without it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from load.bench.border import DECIDED, Border
from load.bench.budget import RECORDINGS
from load.bench.recorded import RecordedLodgement, Recording, recording

JOIN_S = 3.0
"""Half of the session timeout on the embedded broker."""
LATER = 400
"""Lodgements held back for the restarted worker: what was decided before would be refused as a duplicate."""


def starting(recorded: Recording) -> dict[str, float]:
    """From exec to readiness and to the first decision, empty and over a horizon of items."""
    before, later = (_part(recorded.records[part]) for part in (slice(-LATER), slice(-LATER, None)))
    with Border(partitions=4) as border:
        border.lodge(before)
        began = border.start("first")
        ready = border.ready("first") - began
        decided = border.until_decided(1, "first") - began
        border.until_decided(before.items, "first")
        border.stop("first")
        began = border.start("again")
        border.ready("again")
        border.lodge(later)
        border.until_decided(1, "again")
        again = time.monotonic() - began
        said = border.counted("again")
        records = sum(v for k, v in said.items() if k.startswith("borderflow_rebuild_records_total"))
        seconds = sum(v for k, v in said.items() if k.startswith("borderflow_rebuild_seconds_sum"))
    return {
        "exec_to_ready_s": ready,
        "exec_to_first_decision_s": decided,
        "restart_to_first_decision_s": again,
        "rebuilt_records": records,
        "rebuild_s_per_million_records": seconds / max(records, 1) * 1e6,
        "start_without_join_s": ready - JOIN_S,
    }


def _part(records: list[RecordedLodgement]) -> Recording:
    return Recording(records, sum(record.items for record in records), "")


def takeover(recorded: Recording) -> float:
    """Seconds from the SIGKILL of one of two workers until the other has decided what was left."""
    with Border(partitions=4) as border:
        for name in ("kept", "lost"):
            border.start(name)
        for name in ("kept", "lost"):
            border.ready(name)
        time.sleep(8)  # both have joined, and each has its half
        border.lodge(recorded)
        border.until_decided(recorded.items, "kept", "lost")
        before = border.decided("kept")
        border.kill("lost")
        killed = time.monotonic()
        left = _part([r for r in recorded.records if r.items == 1][:2000])
        border.lodge(left)
        ended = 0
        while ended < left.items:  # what comes again is refused as a duplicate: every record is decided or refused
            time.sleep(0.1)
            said = border.counted("kept")
            refused = sum(v for k, v in said.items() if k.startswith("borderflow_refusals_total"))
            ended = int(said.get(DECIDED, 0) - before + refused)
        return time.monotonic() - killed


def side_by_side(recorded: Recording, workers: int) -> dict[str, float]:
    """Items a second and processor time an item of so many workers on one backlog."""
    with Border(partitions=4) as border:
        names = [f"worker-{number}" for number in range(workers)]
        for name in names:
            border.start(name)
        for name in names:
            border.ready(name)
        time.sleep(8 if workers > 1 else 0)
        used = sum(map(border.cpu_seconds, names))
        began = time.monotonic()
        border.lodge(recorded)
        took = border.until_decided(recorded.items, *names) - began
        used = sum(map(border.cpu_seconds, names)) - used
        return {"items_per_second": recorded.items / took, "cpu_us_per_item": used / recorded.items * 1e6}


def main() -> None:
    """Print the figures; write the JSON file that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.startup", description=__doc__.split("\n\n")[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--workers", default="1,2,4", help="how many workers side by side, in turn; empty: none")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    recorded = recording(asked.items, RECORDINGS)
    console = Console(highlight=False)
    with console.status("start, restart and rebuild"):
        figures = starting(recorded)
    for name, value in figures.items():
        console.print(f"{name}: {value:,.1f}")
    with console.status("takeover"):
        figures["takeover_s"] = takeover(recorded)
    console.print(f"takeover_s: {figures['takeover_s']:,.1f}")
    beside: dict[str, dict[str, float]] = {}
    table = Table("workers", "items/s", "CPU us an item")
    for count in [int(text) for text in asked.workers.split(",") if text]:
        with console.status(f"{count} side by side"):
            beside[str(count)] = one = side_by_side(recorded, count)
        table.add_row(str(count), f"{one['items_per_second']:,.0f}", f"{one['cpu_us_per_item']:.0f}")
    console.print(table)
    if asked.json:
        asked.json.write_text(json.dumps({"figures": figures, "workers": beside}, indent=2) + "\n")


if __name__ == "__main__":
    main()
