"""The arrows between the four rooms hold, and the check that says so would notice if they did not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "agents", "streams", "load")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The four rooms as they are, to be spoilt."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "*.json", "*.yaml"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_room_keeps_its_arrows() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "0 broken" in done.stdout


def test_a_wrong_arrow_is_noticed(copied: Path) -> None:
    wrong = {
        "schemas/wrong.py": "import random\nfrom agents import step",
        "agents/wrong.py": "import time\nimport faust\nimport streams.settings",
        "streams/wrong.py": "import load.world",
        "load/wrong.py": "import agents.step",
        "load/bench/__init__.py": "",
        "load/bench/right.py": "import agents.step",
        "streams/commands/demo.py": "import load.world",
    }
    for path, text in wrong.items():
        (copied / path).parent.mkdir(exist_ok=True)
        (copied / path).write_text(text + "\n")
    done = lint_imports(copied)
    assert done.returncode == 1
    for broken in (
        "schemas.wrong -> random",
        "schemas.wrong -> agents.step",
        "agents.wrong -> time",
        "agents.wrong -> faust",
        "agents.wrong -> streams.settings",
        "streams.wrong -> load.world",
        "load.wrong -> agents.step",
    ):
        assert broken in done.stdout, broken
    assert "load.bench.right" not in done.stdout
    assert "streams.commands.demo" not in done.stdout


def test_nothing_in_the_package_is_called_utils_or_helpers() -> None:
    vague = {"utils", "helpers", "common", "manager", "misc", "base"}
    assert [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.stem in vague] == []
