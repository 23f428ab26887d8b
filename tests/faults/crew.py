"""A crew of worker processes that are killed, stopped, frozen and replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.integration.harbour import ROOT

START_S = 180
"""How long a worker may take to start. Nothing is promised about it, and a busy machine takes a minute to import."""


class Crew:
    """Workers of one group, by a name each; each writes `<folder>/<name>.log`. All are killed at the end."""

    def __init__(self, environment: Mapping[str, str], folder: Path, module: str = "tests.faults.chain") -> None:
        self._environment = {**os.environ, **environment}
        self._folder = folder
        self._module = module
        self._hired = 0
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def hire(self) -> str:
        """Start one more worker; returns its name once it is about to join the group (signals are handled then)."""
        self._hired += 1
        name = f"worker-{self._hired}"
        with open(self._folder / f"{name}.log", "ab") as out:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-m", self._module], cwd=ROOT, env=self._environment, stdout=out, stderr=out
            )
        log, deadline = self._folder / f"{name}.log", time.monotonic() + START_S
        while b"BatchConsumerThread]: Starting" not in log.read_bytes() and self.workers[name].poll() is None:
            assert time.monotonic() < deadline, f"{name} did not start"
            time.sleep(0.1)
        return name

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal."""
        self.workers[name].send_signal(number)

    def dismiss(self, name: str, number: signal.Signals, timeout_s: float = START_S) -> int:
        """Send SIGKILL or SIGTERM, wait for the end and forget the worker; returns its exit code."""
        process = self.workers.pop(name)
        process.send_signal(number)
        return process.wait(timeout_s)

    @property
    def names(self) -> list[str]:
        """Who works at present."""
        return list(self.workers)

    @property
    def ended(self) -> dict[str, int]:
        """Exit codes of workers that ended by themselves."""
        return {name: code for name, one in self.workers.items() if (code := one.poll()) is not None}

    def said(self, name: str, lines: int = 15) -> str:
        """The last lines that a worker wrote."""
        return "\n".join((self._folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.workers.values():
            process.kill()
            process.wait()
