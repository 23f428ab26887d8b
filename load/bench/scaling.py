"""How the cost of an item grows with the border: `python -m load.bench.scaling`.

The recorded input through the hosting of a worker over logs in memory (as `load.bench.budget` runs it), in settings
that a nation or a continent would have: nearly everything at one control point, 1,000 control points, 100,000 entries
of risk information, 2,000 criteria. And the memory that one more subject in filtering's horizon takes.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agents.risk.policy import Policy, read_policy
from agents.risk.windows import SubjectWindows
from load.bench.budget import RECORDINGS, Line, timed_run
from load.bench.criteria import conditions
from load.bench.recorded import RecordedLodgement, Recording, recording
from load.world import START
from schemas.knowledge import CriterionPublished, RiskInformationPublished
from streams.policies import load_policy

HOT = "KRICN-EXP"
STREAMS = ["manifests", "express-cargo", "passengers"]
LEAST_BYTES = 200
"""No subject takes less: its two names alone are as long."""


def hot(number: int) -> str:
    """Nine items of ten at one control point."""
    return HOT if number % 10 else "KRPTK-EXP"


def many(number: int) -> str:
    """A thousand control points in turn."""
    return f"CP-{number % 1000:04d}"


def moved(recorded: Recording, place: Callable[[int], str]) -> Recording:
    """The same lodgements at other control points."""
    raw = msgspec.json.Decoder(dict[str, msgspec.Raw])
    records: list[RecordedLodgement] = []
    for number, record in enumerate(recorded.records):
        body = raw.decode(record.value)
        body["control_point"] = msgspec.Raw(msgspec.json.encode(place(number)))
        records.append(msgspec.structs.replace(record, value=msgspec.json.encode(body)))
    return Recording(records, recorded.items, recorded.sha256)


def policy_of(names: list[str]) -> Policy:
    """A policy in which every one of these control points takes every stream."""
    return read_policy({"version": "bench", "control_points": {name: {"streams": STREAMS} for name in names}})


def with_risk_information(line: Line, count: int) -> None:
    """Entries that name traders whom nobody here is, as most of a real list does."""
    for number in range(count):
        entry = RiskInformationPublished(
            entry_id=f"E{number}", version=1, kind="watchlist", streams=("manifests", "express-cargo"),
            party_names=(f"Trader {number * 7919 % 999_983} of {number % 977} Street",), valid_from=START,
            similarity=0.9 if number % 10 == 0 else 1.0,
        )  # fmt: skip
        line.deciders.risk_information.fold(number, entry.entry_id, entry)


def with_criteria(line: Line, count: int) -> None:
    """Criteria as targeteers write them (`load.bench.criteria`)."""
    for number, text in enumerate(conditions(count)):
        event = CriterionPublished(
            criterion_id=f"C{number}", version=1, title="bench", condition=text, action="boost", weight=0.1,
            streams=("manifests", "express-cargo"), author="bench", valid_from=START, cap=0.01,
        )  # fmt: skip
        line.deciders.criteria.fold(number, event.criterion_id, event)


def bytes_per_subject(subjects: int) -> float | None:
    """Resident bytes that each subject with one item in the horizon takes in the windows of filtering.

    None where they fit into memory that this process had taken before, so that what is resident says nothing.
    """
    windows = SubjectWindows(86_400_000)
    gc.collect()
    before = _resident()
    for number in range(subjects):
        subject, item = f"c:{number:032x}", f"express-cargo/W{number:012d}"
        windows.advance(number)
        windows.observe(subject, item, 0, number, 12_000, f"c:{number % 5000:032x}", HOT, False)
    taken = _resident() - before
    assert len(windows) >= subjects  # noqa: S101 - and they are alive until here
    return taken / subjects if taken > subjects * LEAST_BYTES else None


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def settings(recorded: Recording) -> dict[str, Callable[[], tuple[Line, Recording]]]:
    """What to measure, by name."""
    thousand = [many(number) for number in range(1000)]

    def as_is() -> tuple[Line, Recording]:
        return Line(), recorded

    def at(place: Callable[[int], str], names: list[str]) -> Callable[[], tuple[Line, Recording]]:
        there = moved(recorded, place)
        return lambda: (Line(policy=policy_of(names)), there)

    def knowing(add: Callable[[Line, int], None], count: int) -> Callable[[], tuple[Line, Recording]]:
        def made() -> tuple[Line, Recording]:
            line = Line(policy=load_policy())
            add(line, count)
            return line, recorded

        return made

    return {
        "as recorded: 10 control points": as_is,
        "90% at one control point": at(hot, [HOT, "KRPTK-EXP"]),
        "1,000 control points": at(many, thousand),
        "100,000 risk-information entries": knowing(with_risk_information, 100_000),
        "500 criteria": knowing(with_criteria, 500),
        "2,000 criteria": knowing(with_criteria, 2_000),
    }


def main() -> None:
    """Print the table; write the JSON file that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.scaling", description=__doc__.split("\n\n")[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    recorded = recording(asked.items, RECORDINGS)
    wanted = settings(recorded)
    taken: dict[str, list[float]] = {name: [] for name in wanted}
    turns = [(name, made) for _ in range(asked.runs) for name, made in wanted.items()]
    for name, made in track(turns, "measuring", console=Console(stderr=True), transient=True):
        line, lodged = made()
        taken[name].append(timed_run(line, lodged))
    figures = {name: statistics.median(runs) for name, runs in taken.items()}
    first = figures["as recorded: 10 control points"]
    table = Table("setting", "us an item", "ratio", title=f"{recorded.items:,} items, medians of {asked.runs} runs")
    for name, took in figures.items():
        table.add_row(name, f"{took:.1f}", f"{took / first:.2f}")
    each = bytes_per_subject(asked.subjects)
    console = Console()
    console.print(table)
    if each is None:
        console.print(f"bytes a subject: not measured, {asked.subjects:,} are too few to see in resident memory; "
                      "take more --subjects (1,000,000 unless given)")  # fmt: skip
    else:
        console.print(f"{each:.0f} bytes a subject: 10 million subjects in the horizon take {each / 100:,.1f} GB")
    if asked.json:
        said: dict[str, Any] = {"us_per_item": figures, "bytes_per_subject": each, "items": recorded.items}
        asked.json.write_text(json.dumps(said, indent=2) + "\n")


if __name__ == "__main__":
    main()
