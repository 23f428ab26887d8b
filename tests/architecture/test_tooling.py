"""The Makefile, the CI script, the hooks and the package say what the documentation promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import LONGEST

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=inherited, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "target", ["install", "demo", "test", "lint", "types", "lint-imports", "check", "clean", "test-kafka"]
)
def test_the_makefile_has_the_targets_that_people_are_told_of(target: str) -> None:
    assert re.search(rf"^  {target} ", make("help").stdout, re.MULTILINE)


def test_the_demo_takes_its_duration_from_make() -> None:
    assert "borderflow demo --duration 60" in make("--dry-run", "demo", "DURATION=60").stdout
    assert "--duration" not in make("--dry-run", "demo").stdout


def test_an_old_python_is_refused_with_a_line_that_says_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    # What the check reads of an interpreter is its version: here one that claims to be 3.9.
    old.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9, 0); $1"\n')
    old.chmod(0o755)
    done = make("install", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert f"borderflow needs Python 3.11 or newer; {old} is 3.9" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_ci_runs_checks_and_tests_and_fails_when_one_of_them_does() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    ran = re.findall(r'^ *(stage|beside) "[^"]+" (?:make )?(\S+)', text, re.MULTILINE)
    beside, waited = ("beside", "install_missing"), ("stage", "beside_done")
    assert ran == [
        beside, ("stage", "install"), waited,
        ("beside", "audit"), ("beside", "check"),
        ("beside", ".venv/bin/python"), ("stage", "test"), waited, ("stage", "test-kafka"),
        ("stage", "test"), waited,  # where there is no Apache Kafka
    ]  # fmt: skip
    left_out = re.search(r"MARK=\"([^\"]+)\"", text)
    assert left_out is not None
    assert left_out[1] == "not kafka and (browser or not broker)", "what test-kafka runs, and no more"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("target", ["test", "coverage", "test-kafka"])
def test_the_longest_files_of_tests_are_begun_first(target: str) -> None:
    assert "--no-loadscope-reorder" in make("--dry-run", target).stdout, "pytest-xdist orders files by itself"
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []


def test_the_streaming_stack_is_pinned_exactly_and_locked(project: dict[str, Any]) -> None:
    locked = dict(
        line.split(" ")[0].split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line and not line.startswith(("#", " "))
    )
    wanted = project["project"]["dependencies"] + [
        one for extra in project["project"]["optional-dependencies"].values() for one in extra
    ]
    for requirement in wanted:
        name = re.split(r"[=<>~!\[ ]", requirement)[0].lower()
        assert name in locked, f"{name} is not in requirements.lock"
        if "==" in requirement:
            assert requirement.lower() == f"{name}=={locked[name]}"
    for name in ("faust-streaming", "aiokafka", "kafka-python", "river", "msgspec", "orjson"):
        assert any(one.startswith(f"{name}==") for one in project["project"]["dependencies"])


def test_hooks_need_no_network() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert {hook["language"] for repo in hooks["repos"] for hook in repo["hooks"]} == {"system"}


def test_the_types_of_every_room_are_checked_and_published(project: dict[str, Any]) -> None:
    rooms = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert rooms == project["tool"]["mypy"]["packages"] == ["schemas", "agents", "streams", "load"]
    assert project["tool"]["mypy"]["strict"] is True
    for room in rooms:
        assert (ROOT / room / "py.typed").exists()


def test_the_licence_is_the_plain_text_of_apache_2(project: dict[str, Any]) -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n")
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert project["project"]["license"] == "Apache-2.0"


def test_the_changelog_has_this_version_or_what_is_coming(project: dict[str, Any]) -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "Keep a Changelog" in text
    assert "## [Unreleased]" in text or f"## [{project['project']['version']}]" in text
