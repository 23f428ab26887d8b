"""The parts of the demo that need no broker: making ahead, processes that never outlive it, the verdict."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from load.ahead import Ahead
from load.children import ChildFailedError, Children
from load.demo_summary import failures, print_report, sentence

ROOT = Path(__file__).parents[3]


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_lodgements_made_ahead_come_in_order_and_end() -> None:
    assert list(Ahead(iter(range(10_000)), room=7)) == list(range(10_000))


def test_a_closed_source_ends_at_once_and_stops_being_made() -> None:
    made: list[int] = []

    def endless() -> Iterator[int]:
        for number in count():
            made.append(number)
            yield number

    before = set(threading.enumerate())
    ahead = Ahead(endless(), room=10)
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    ahead.close()
    assert next(ahead, None) is None
    (maker,) = (one for one in threading.enumerate() if one.name == "lodgements" and one not in before)
    maker.join(60)
    assert not maker.is_alive()
    assert len(made) <= 15


def test_what_the_source_raises_reaches_its_reader() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no such column")

    ahead = Ahead(broken())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no such column"):
        next(ahead)
    assert next(ahead, None) is None


def test_a_command_that_fails_is_told_with_what_it_wrote(tmp_path: Path) -> None:
    with Children({}, tmp_path) as children, pytest.raises(ChildFailedError, match="no command 'smuggle'"):
        children.run("smuggle", "smuggle")


@pytest.mark.broker
def test_no_process_outlives_a_demo_that_was_killed(tmp_path: Path) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from load.children import Children
        with Children({{}}, Path({str(tmp_path)!r})) as children:
            children.start_broker()
            print(children.start("second", "broker", "--port", "0").pid, flush=True)
            time.sleep(60)
    """
    demo = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    child = int(demo.stdout.readline())
    time.sleep(1.5)
    family = [child, *(int(pid) for pid in Path(f"/proc/{child}/task/{child}/children").read_text().split())]
    assert all(alive(pid) for pid in family)
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    demo.stdout.close()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in family)
    assert os.getpid()  # this process is not of that family


def summary(**changes: Any) -> dict[str, Any]:
    """A good run, with changes."""
    layers = {"model": 0.31, "exploration": 0.02}
    return {
        "lodged": 36_000, "decided": 35_640, "dead_lettered": 360, "missing": 0, "doubled": 0, "doubled_raw": 0,
        "contradicted": 0, "strays": 0, "alerts_missing": 0, "alerts_doubled": 0, "alerts_unfounded": 0,
        "send_failures": 0, "items_per_second": 399.6, "latency_ms": {"p50": 41.0, "p99": 130.0},
        "worker_us_per_item": 700.0, "model_version": 500, "alerts": 720, "coverage": 0.02, "capacity_share": 0.02,
        "seizure_rate": layers, "seizure_rate_after_warm_up": layers, "selected_by_layer": dict.fromkeys(layers, 100),
        "inspected_by_layer": {"model": 90, "exploration": 900},
        "results_refused_by_reason": {"already-resolved": 2}, "inspected": 700,
        "dead_letters_by_reason": {"not-json": 300, "late": 60},
        **changes,
    }  # fmt: skip


def test_a_run_that_accounts_for_every_item_is_told_in_one_sentence() -> None:
    assert failures(summary()) == []
    assert "; 2.0% were selected (after the warm-up), and of those that the model chose" in sentence(summary())
    assert "31% were seizures, 15.5 times as many as of a random draw." in sentence(summary())
    few = {"model": 90, "exploration": 120}
    assert "31% were seizures; of a random draw, 2 of 120." in sentence(summary(inspected_by_layer=few))
    early = {"exploration": 12}
    assert sentence(summary(inspected_by_layer=early)).endswith("reported on nothing yet that the model chose.")


@pytest.mark.parametrize(
    "wrong",
    ["missing", "doubled", "contradicted", "send_failures", "strays", "alerts_missing", "alerts_doubled",
     "alerts_unfounded"],
)  # fmt: skip
def test_a_run_that_does_not_add_up_says_what_is_wrong(wrong: str) -> None:
    assert len(failures(summary(**{wrong: 3}))) == 1
    assert "3" in sentence(summary(**{wrong: 3}))


def test_the_report_of_a_run_without_a_single_find_is_printed() -> None:
    console = Console(width=80, color_system=None)
    with console.capture() as written:
        print_report(
            summary(seizure_rate={}, latency_ms={"p50": None, "p99": None}, dead_letters_by_reason={}), console
        )
    assert "missing" in written.get()
    assert all(len(line) <= 80 for line in written.get().splitlines())
