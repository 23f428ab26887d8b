"""A disk that is really full: the archive stops loudly, keeps what it has, and goes on without a loss later.

Three ways to have no room: the least free space that a user asks for (tests/integration/test_archive.py), a limit on
the size of a file that any user may set, and a tiny file system, for which the test must be root.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from load.children import COMMAND
from tests.integration.border import PARTITIONS, Border, border, parcel, parcel_record
from tests.integration.harbour import PATIENCE_S, ROOT
from tests.integration.test_archive import archived, plain

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    """A border with some lodgements and no worker: the archive alone is looked at."""
    with border(tmp_path_factory.mktemp("full")) as made:
        made.open()
        made.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(2_000)])
        yield made


def archive(
    at: Border, root: Path, *arguments: str, limit: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "archive", "--dir", str(root), "--once", "--free", "0", *arguments], cwd=ROOT,
        env={**os.environ, **at.environment}, preexec_fn=limit, capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip


@contextlib.contextmanager
def tiny_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of this size; skips the test for who may not mount one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "borderflow-test", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip("only root may mount a file system of its own")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_an_archive_on_a_full_disk_stops_loudly_and_loses_nothing(at: Border, tmp_path: Path) -> None:
    root = tmp_path / "disk"
    with tiny_disk(root, "96k"):
        stopped = archive(at, root)
        assert stopped.returncode == 1, stopped.stderr
        # It looks before it writes; when something else took the room in between, the system says so.
        assert "MiB are free" in stopped.stderr or "No space left on device" in stopped.stderr
        assert "the archive stops; nothing that is not in a file was acknowledged" in stopped.stderr
        assert not list(root.rglob("*.tmp")), "nothing half-written is left"
        before = {str(path.relative_to(root)) for path in root.rglob("*.parquet")}
        subprocess.run(["mount", "-o", "remount,size=64m", str(root)], check=True)
        done = archive(at, root)
        assert done.returncode == 0, done.stderr
        assert before <= {str(path.relative_to(root)) for path in root.rglob("*.parquet")}
        assert archived(root, "express-cargo") == plain(at.read("express-cargo"))


def test_an_archive_that_may_not_write_a_file_to_its_end_stops_loudly_and_loses_nothing(
    at: Border, tmp_path: Path
) -> None:
    root = tmp_path / "archive"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    stopped = archive(at, root, limit=limit)
    assert stopped.returncode == 1, stopped.stderr
    assert "File too large" in stopped.stderr
    done = archive(at, root)
    assert done.returncode == 0, done.stderr
    assert archived(root, "express-cargo") == plain(at.read("express-cargo"))
