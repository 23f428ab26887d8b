"""What is told to stop ends within seconds, at any moment and whatever its brokers do, and goes on without a gap."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from load.children import Children
from streams.archive.layout import Catalogue
from streams.audit.book import Chain
from streams.embedded import EmbeddedBroker
from tests.integration.border import PARTITIONS, Border, raw_record
from tests.integration.harbour import PATIENCE_S, ROOT
from tests.integration.test_archive import archived, plain
from tests.real_kafka.fixtures import asked_for

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(400),
    pytest.mark.skipif(asked_for(), reason="its broker is frozen"),
]

WITHIN_S = 6.0
"""Two seconds, on a machine that has no time for it; clients that wait for their brokers take 20 and more."""


class Frozen:
    """A border whose broker is held still: it takes connections, and answers nothing."""

    def __init__(self, broker: EmbeddedBroker, at: Border) -> None:
        assert broker.pid is not None
        self._pid = broker.pid
        self.at = at
        self.number = 0

    def freeze(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def lodge(self, count: int) -> None:
        """More decisions, spread over the partitions."""
        made = [raw_record(b'{"decided": %d}' % n, f"point-{n % 7}") for n in range(self.number, self.number + count)]
        for n, record in enumerate(made):
            record.partition = n % PARTITIONS
        self.at.lodge("decisions", made)
        self.number += count


@pytest.fixture
def border(tmp_path: Path) -> Iterator[Frozen]:
    with EmbeddedBroker() as broker, Children(broker.environment(), tmp_path) as children:
        at = Border(children)
        at.open()
        frozen = Frozen(broker, at)
        try:
            yield frozen
        finally:
            frozen.thaw()


def hears(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> bool:
    """Whether a process has begun to hear a signal (the kernel's mask of those that it catches)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def until_it_hears(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not hears(process):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ended(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> tuple[int, float]:
    """Exit code, and seconds that it took to stop."""
    process.send_signal(number)
    began = time.monotonic()
    return process.wait(PATIENCE_S), time.monotonic() - began


def stops_at_once(
    border: Frozen, process: subprocess.Popen[bytes], name: str, moment: float, number: int = signal.SIGTERM
) -> None:
    """Told to stop while its broker has frozen, `moment` seconds after it began to hear, it ends in time and order."""
    until_it_hears(process)
    time.sleep(moment)
    border.freeze()
    time.sleep(0.2)
    code, took = ended(process, number)
    border.thaw()
    assert code == 0, border.at.log(name)
    assert took < WITHIN_S, (moment, border.at.log(name))


# From before its clients are made to long after its start: metadata, offsets, files that are taken up, records in hand.
MOMENTS = (0.0, 0.05, 0.2, 0.6, 1.6)


def test_an_archive_that_is_told_to_stop_waits_for_no_broker_and_archives_each_record_once(
    border: Frozen, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    for moment in MOMENTS:
        border.lodge(40)
        process = border.at.archive(root, "--every", "0.3")
        stops_at_once(border, process, "archive", moment)
    border.at.run("archive", "--dir", str(root), "--once")
    assert archived(root, "decisions") == plain(border.at.read("decisions", border.number))
    assert sum(Catalogue.of(root).end("decisions", n) or 0 for n in range(PARTITIONS)) == border.number


def test_a_sealer_that_is_told_to_stop_waits_for_no_broker_and_seals_each_record_once(
    border: Frozen, tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    for moment in MOMENTS:
        border.lodge(40)
        process = border.at.seal(folder, "--every", "0.3")
        stops_at_once(border, process, "seal", moment, signal.SIGINT if moment == 0.2 else signal.SIGTERM)
    border.at.run("audit", "seal", "--dir", str(folder), "--once")
    chains = [Chain(folder, "decisions", partition) for partition in range(PARTITIONS)]
    assert sum(map(len, chains)) == border.number
    assert [one.heads()[-1].entries for one in chains] == [len(one) for one in chains]
    border.at.run("audit", "verify", "--dir", str(folder))


@pytest.mark.parametrize("command", ["shadow start candidate", "console --demo-users --port 0"])
def test_others_that_are_told_to_stop_wait_for_no_broker(command: str, border: Frozen, tmp_path: Path) -> None:
    for moment in MOMENTS[::2]:
        process = border.at._children.start("other", *command.split(), BORDERFLOW_SHADOW_DIR=str(tmp_path / "shadows"),
            BORDERFLOW_CONSOLE_TRAIL_FILE=str(tmp_path / "trail.jsonl"))  # fmt: skip
        stops_at_once(border, process, "other", moment)


def test_a_console_whose_brokers_fall_silent_as_it_starts_says_so_and_ends(tmp_path: Path) -> None:
    """Its clients would each wait for 40 s, one after the other."""
    with EmbeddedBroker() as broker:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "console", "--demo-users", "--port", "0"], cwd=tmp_path,
            env={**os.environ, **broker.environment(), "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        began = time.monotonic()
        said = process.communicate(timeout=PATIENCE_S)[1]
        assert process.returncode == 1, said
        assert time.monotonic() - began < 35, said
        assert f"BORDERFLOW_BROKERS: 127.0.0.1:{broker.port} did not answer for 20 s" in said
        assert "Traceback" not in said
