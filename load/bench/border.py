"""A running border for the benchmarks: the embedded broker, the topics, workers, and a backlog to decide.

With `BORDERFLOW_BROKERS` set it is that cluster instead, which must have no topics of an earlier run.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from load.bench.recorded import Recording
from load.children import Children, free_port
from streams.producing import Publisher, new_producer
from streams.settings import Settings
from streams.wire import Outgoing, rfc3339

DECIDED = 'borderflow_outputs_total{step="selection",topic="decisions"}'


class Border:
    """Broker and workers as processes; they end with the block."""

    def __init__(self, partitions: int) -> None:
        self._children = Children(
            {"BORDERFLOW_PARTITIONS": str(partitions), "BORDERFLOW_LOG_LEVEL": "WARNING"},
            Path(tempfile.mkdtemp(prefix="borderflow-bench-")),
        )
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Border:
        self._children.__enter__()
        if not os.environ.get("BORDERFLOW_BROKERS"):
            self._children.start_broker()
        self._children.run("topics", "topics", "create")
        return self

    def __exit__(self, *given: object) -> None:
        self._children.__exit__(None, None, None)

    @property
    def settings(self) -> Settings:
        """Settings of a worker."""
        return Settings.from_environment({**os.environ, **self._children.environment})

    def lodge(self, recorded: Recording) -> None:
        """Produce a recording as a backlog, sent now."""
        asyncio.run(self._lodge(recorded))

    async def _lodge(self, recorded: Recording) -> None:
        producer = new_producer(self.settings)
        await producer.start()
        publisher, at = Publisher(producer), rfc3339(time.time())
        for start in range(0, len(recorded.records), 1000):
            part = recorded.records[start : start + 1000]
            for topic in ("manifests", "express-cargo", "passengers"):
                mine = (Outgoing(r.key, r.value, r.timestamp_ms, r.headers(at)) for r in part if r.topic == topic)
                await publisher.publish(topic, mine)
        await producer.stop()

    def start(self, name: str) -> float:
        """Start a worker; the time at which it was executed."""
        self._ports[name] = free_port()
        began = time.monotonic()
        self._children.start(name, "worker", BORDERFLOW_WEB_PORT=str(self._ports[name]))
        return began

    def ready(self, name: str) -> float:
        """Wait until a worker decides items; the time at which it said so."""
        self._children.wait_ready(name, self._ports[name])
        return time.monotonic()

    def kill(self, name: str) -> None:
        """End a worker at once (SIGKILL)."""
        self._children._running[name].kill()
        self._children.stop(name)

    def stop(self, name: str) -> None:
        """Stop a worker in good order."""
        self._children.stop(name)

    def cpu_seconds(self, name: str) -> float:
        """Processor seconds that a worker has used."""
        return self._children.cpu_seconds(name)

    def memory_mb(self, name: str) -> float:
        """Resident memory of a worker, in MB."""
        return self._children.memory_bytes(name) / 1e6

    def counted(self, name: str) -> dict[str, float]:
        """The metrics of a worker, by name and labels."""
        with urlopen(f"http://127.0.0.1:{self._ports[name]}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def decided(self, *names: str) -> int:
        """Decisions that workers have delivered."""
        return int(sum(self.counted(name).get(DECIDED, 0.0) for name in names))

    def until_decided(self, items: int, *names: str, within_s: float = 300.0) -> float:
        """Wait until workers have decided so many; the time at which they had. Raises `TimeoutError`."""
        deadline = time.monotonic() + within_s
        while self.decided(*names) < items:
            self._children.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.decided(*names)} of {items} items were decided in {within_s:.0f} s")
            time.sleep(0.1)
        return time.monotonic()
