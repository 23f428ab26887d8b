"""What metrics cost a worker: `python -m load.bench.metering`.

The recorded input runs through the hosting of a worker (as `load.bench.budget` runs it), in turns as it is and with
nothing counted: no metric is moved and nothing is looked at in order to be counted. The difference is the share of
processor time that metrics take; the budget is 3%. The page that Prometheus asks for is
written in a time of its own, and is added as it would be asked for every 5 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from prometheus_client import generate_latest
from rich.console import Console
from rich.progress import track

from load.bench.budget import RECORDINGS, Line, timed_run
from load.bench.recorded import recording
from load.bench.timing import microseconds
from streams import metrics
from streams.hosting import StepHost

BUDGET = 0.03
SCRAPED_EVERY_S = 5.0


class _Uncounted:
    """Stands for a metric that nothing moves."""

    def inc(self, by: float = 1) -> None: ...
    def observe(self, value: float) -> None: ...


@contextmanager
def uncounted() -> Iterator[None]:
    """Within, a worker's steps count nothing."""
    nothing = _Uncounted()

    def none(*_: Any) -> None: ...

    def child(*_: Any) -> _Uncounted:
        return nothing

    with patch.object(StepHost, "_count", none), patch.object(metrics, "child", child):
        yield


def pair(recorded: Any, *, uncounted_first: bool) -> tuple[float, float]:
    """Microseconds an item, counted and not, of two runs one after the other."""

    def without() -> float:
        with uncounted():
            return timed_run(Line(), recorded)

    if uncounted_first:
        bare = without()
        return timed_run(Line(), recorded), bare
    counted = timed_run(Line(), recorded)
    return counted, without()


def main() -> None:
    """Print the share; write the JSON file that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.metering", description=__doc__.split("\n\n")[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    recorded = recording(asked.items, RECORDINGS)
    pairs = [
        pair(recorded, uncounted_first=bool(number % 2))
        for number in track(range(asked.pairs), "measuring", console=Console(stderr=True), transient=True)
    ]
    counted, bare = (statistics.median(side) for side in zip(*pairs, strict=True))
    page_s = microseconds(lambda: generate_latest(metrics.REGISTRY)) / 1e6
    counting = statistics.median((one - other) / one for one, other in pairs)
    said = {
        "pairs": len(pairs), "items": recorded.items, "us_per_item": counted, "us_per_item_uncounted": bare,
        "share_of_counting": counting, "shares": [(one - other) / one for one, other in pairs],
        "page_s": page_s, "share_of_the_page": page_s / SCRAPED_EVERY_S,
        "share": counting + page_s / SCRAPED_EVERY_S, "budget": BUDGET,
    }  # fmt: skip
    console = Console(highlight=False)
    console.print(f"counted {counted:.1f} us an item, not counted {bare:.1f}: counting takes {counting:.1%}")
    console.print(f"the page takes {page_s * 1000:.1f} ms: {page_s / SCRAPED_EVERY_S:.2%} when asked for every 5 s")
    console.print(f"together {said['share']:.1%} of a worker's time; the budget is {BUDGET:.0%}")
    if asked.json:
        asked.json.write_text(json.dumps(said, indent=2) + "\n")


if __name__ == "__main__":
    main()
