"""Processes that the demo starts and that never outlive it, however it ends.

Each child runs in its own process group, so that Ctrl-C in the terminal reaches the demo alone and the children are
stopped in order; and each is told by the kernel (PR_SET_PDEATHSIG) to end when the demo does, even by SIGKILL.
Start children from the main thread: that signal follows the parent thread.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

_PR_SET_PDEATHSIG = 1

PATIENCE_S = 120.0
"""How long a child may take to start or a command to end: seconds, but a busy machine takes a minute to import."""

COMMAND = (sys.executable, "-m", "streams.cli")
"""`borderflow`, run by this very interpreter."""


def free_port() -> int:
    """A TCP port that was free on 127.0.0.1 a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ChildFailedError(RuntimeError):
    """A child did not start, or ended by itself; the message holds the last lines that it wrote."""


class Children:
    """Starts `borderflow` commands as children and stops them, the last one first."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self.environment = dict(environment)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start `borderflow ARGUMENTS` with its output in the log file of `name`; `settings` add to the environment."""
        with open(self.log_of(name), "ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                [*COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == "broker" else log,
                stderr=log,
                env={**os.environ, **self.environment, **settings},
                start_new_session=True,
                preexec_fn=_end_with_parent(os.getpid()),
            )
        self._running[name] = process
        return process

    def start_broker(self, timeout_s: float = PATIENCE_S) -> str:
        """Start the embedded broker; its bootstrap. Later children get the settings that suit it."""
        process = self.start("broker", "broker", "--port", "0", "--json")
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        ready, _, _ = select.select([process.stdout], [], [], timeout_s)
        line = process.stdout.readline() if ready else b""
        if not line:
            raise ChildFailedError(self._said("broker", "the embedded broker did not start"))
        said: dict[str, Any] = json.loads(line)
        self.environment.update(said["environment"])
        return str(said["bootstrap"])

    def run(
        self, name: str, *arguments: str, timeout_s: float = PATIENCE_S, content_with: tuple[int, ...] = (0,)
    ) -> None:
        """Run `borderflow ARGUMENTS` to its end. Raises `ChildFailedError` for an exit code not in `content_with`."""
        process = self.start(name, *arguments)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise ChildFailedError(self._said(name, f"borderflow {arguments[0]} took over {timeout_s:.0f} s")) from None
        finally:
            del self._running[name]
        if code not in content_with:
            raise ChildFailedError(self._said(name, f"borderflow {' '.join(arguments)} ended with {code}"))

    def wait_ready(self, name: str, port: int, timeout_s: float = PATIENCE_S) -> None:
        """Return once the worker `name` says on /readyz that it decides items. Raises `ChildFailedError`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check()
            try:
                with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                    return
            except (URLError, OSError):
                if time.monotonic() > deadline:
                    raise ChildFailedError(self._said(name, f"{name} was not ready in {timeout_s:.0f} s")) from None
                time.sleep(0.1)

    def check(self) -> None:
        """Raise `ChildFailedError` when a child has ended by itself."""
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                raise ChildFailedError(self._said(name, f"{name} ended with {code}"))

    def cpu_seconds(self, name: str) -> float:
        """Processor seconds that a running child has used, user and system."""
        fields = Path(f"/proc/{self._running[name].pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self, name: str) -> int:
        """Resident memory of a running child."""
        pages = int(Path(f"/proc/{self._running[name].pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a running child, and what it has started, a signal."""
        os.killpg(self._running[name].pid, number)

    def stop(self, name: str, grace_s: float = 15.0) -> int | None:
        """Ask a child to end (SIGTERM), insist after `grace_s`; its exit code, None when it was not running."""
        process = self._running.pop(name, None)
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode

    def log_of(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._logs / f"{name}.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def _said(self, name: str, what: str) -> str:
        log = self.log_of(name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([what, *_worst(lines)])


def _worst(lines: list[str]) -> list[str]:
    """The few lines of a log that tell most: the first severe ones of JSON lines, else the last ones."""
    severe = []
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and said.get("level") in ("critical", "error"):
            severe.append(f"{said['level']}: {said.get('event', '')}")
    return severe[:3] or lines[-8:]


def _end_with_parent(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return arm
