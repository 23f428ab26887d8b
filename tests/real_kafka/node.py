"""One Apache Kafka node: a Java process with its own folder, that can be stopped, killed, frozen and started again."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.real_kafka.jars import HERE, java

_PR_SET_PDEATHSIG = 1
_BOOTSTRAP = "bootstrap.checkpoint"
_LAID_OUT: list[bytes] = []
"""The first metadata of a node as Kafka's tool wrote them, once it has."""


class NodeFailedError(RuntimeError):
    """A node ended or did not do what was asked in time; holds the last lines that it wrote."""


class Node:
    """A broker and controller in one process. Its data stay in `folder`, whatever becomes of the process.

    Processes are forked from `keeper`, a single thread that lives as long as the cluster: PR_SET_PDEATHSIG follows
    the parent thread, so a node dies with the tests, however these end, and not with a thread that restarted it.
    """

    def __init__(
        self,
        number: int,
        folder: Path,
        properties: Mapping[str, str],
        jars: Path,
        keeper: ThreadPoolExecutor,
        *,
        heap: str = "384m",
        classes: str = "-Xshare:auto",
    ) -> None:
        self.number = number
        self.folder = folder
        self._properties = properties
        self._jars = jars
        self._keeper = keeper
        self._heap = heap
        self._classes = classes
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "node.log"
        self._config = folder / "server.properties"

    def format(self, cluster_id: str, scram: Mapping[str, str]) -> None:
        """Lay out the storage of a new node; `scram` maps user names to passwords. Raises `NodeFailedError`.

        Kafka's own tool does it, once: what it lays out without passwords differs in nothing but the ids.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{name}={value}" for name, value in self._properties.items()]
        self._config.write_text("\n".join(lines) + "\n")
        data = Path(self._properties["log.dirs"])
        if not scram and _LAID_OUT:
            data.mkdir()
            (data / "meta.properties").write_text(f"version=1\ncluster.id={cluster_id}\nnode.id={self.number}\n")
            (data / _BOOTSTRAP).write_bytes(_LAID_OUT[0])
            return
        command = [
            *self._java("128m"), "kafka.tools.StorageTool", "format",
            "--cluster-id", cluster_id, "--config", str(self._config),
        ]  # fmt: skip
        for user, password in scram.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise NodeFailedError(f"node {self.number} could not be formatted: {done.stdout}{done.stderr}")
        if not scram:
            _LAID_OUT.append((data / _BOOTSTRAP).read_bytes())

    def start(self) -> None:
        """Start the process, on the same ports and data as before; does not wait until it serves."""
        assert not self.alive, f"node {self.number} runs already"
        self._process = self._keeper.submit(self._fork).result()

    def stop(self, timeout_s: float = 30.0) -> None:
        """An orderly shutdown (leadership is handed over first); SIGKILL when it takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut would; what was acknowledged is still in the page cache."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """SIGSTOP: the node holds its sockets and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def alive(self) -> bool:
        """Whether the process runs (frozen or not)."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self, lines: int = 15) -> str:
        """The last lines that the node wrote."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def wait_for_port(self, port: int, answers: Callable[[str, int], bool], timeout_s: float) -> None:
        """Return when the node answers the Kafka protocol at `port`. Raises `NodeFailedError`."""
        deadline = time.monotonic() + timeout_s
        while not answers("127.0.0.1", port):
            if not self.alive or time.monotonic() > deadline:
                raise NodeFailedError(f"node {self.number} did not come up on port {port}:\n{self.log_tail()}")
            time.sleep(0.1)

    def _java(self, heap: str) -> list[str]:
        # The serial collector and the first compiler only: small and quick to start rather than fast.
        return [
            java(), f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", self._classes,
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
            "-cp", f"{self._jars}/*",
        ]  # fmt: skip

    def _fork(self) -> subprocess.Popen[bytes]:
        libc = ctypes.CDLL(None, use_errno=True)
        parent = os.getpid()

        def die_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with open(self._log, "ab") as log:
            return subprocess.Popen(
                [*self._java(self._heap), "kafka.Kafka", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,  # a Ctrl-C at the tests must not stop a node before its clients
                preexec_fn=die_with_parent,
            )
