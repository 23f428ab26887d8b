"""A shadow's folder: what it tries, how it stands, what it chose. Commands and the process meet here, nowhere else."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from agents.risk.policy import Policy, read_policy
from schemas.knowledge import CriterionPublished
from streams.commands import CommandRefusedError
from streams.reports.page import write_whole
from streams.simulate.candidates import Candidate

NAME: Final = re.compile(r"^[a-z0-9][a-z0-9-]{0,39}$")
CANDIDATE: Final = "shadow"
LIVE: Final = "live"


class Status(msgspec.Struct, kw_only=True):
    """How a shadow stands, as its process last wrote it. Times are ISO 8601, UTC.

    `cpu_us_per_item` is what one item costs the shadow's own process; `memory_mb` is its peak. `behind` counts the
    filtered records that are still to be read, or to be decided. `slept_s` is what the CPU limit made it wait.
    """

    state: str = "starting"
    process: int = 0
    started_at: str = ""
    written_at: str = ""
    items: int = 0
    behind: int = 0
    cpu_s: float = 0.0
    cpu_us_per_item: float = 0.0
    cpu_limit: float = 0.0
    slept_s: float = 0.0
    memory_mb: float = 0.0
    model_version: int = 0
    from_ms: int = 0
    until_ms: int = 0


class ShadowFolder:
    """One shadow below the folder of shadows."""

    def __init__(self, root: Path, name: str) -> None:
        if not NAME.match(name):
            raise CommandRefusedError(f"{name!r}: a shadow's name has small letters, digits and dashes, 40 at most")
        self.name = name
        self.path = root / name
        self.choices = self.path / "choices"
        self.results = self.path / "results"
        self._stop = self.path / "stop"

    @property
    def exists(self) -> bool:
        """Whether this shadow was ever started."""
        return (self.path / "shadow.json").is_file()

    def begin(self, candidate: Candidate) -> None:
        """Write down what is tried. Raises `CommandRefusedError` when the name was used for something else."""
        wanted = msgspec.json.encode(
            {"policy": msgspec.to_builtins(candidate.policy), "criteria": msgspec.to_builtins(candidate.criteria)},
            order="sorted",
        )
        file = self.path / "shadow.json"
        if file.is_file() and file.read_bytes() != wanted:
            raise CommandRefusedError(f"{file}: shadow {self.name} tries something else; take another name")
        write_whole(file, wanted, private=True)  # a policy may hold the secret of its draws
        self._stop.unlink(missing_ok=True)

    def candidate(self) -> Candidate:
        """What is tried. Raises `CommandRefusedError`."""
        file = self.path / "shadow.json"
        if not file.is_file():
            raise CommandRefusedError(f"there is no shadow {self.name} in {self.path.parent}")
        try:
            held: dict[str, Any] = msgspec.json.decode(file.read_bytes())
            policy: Policy = read_policy(held["policy"])
            criteria = msgspec.convert(held["criteria"], tuple[CriterionPublished, ...])
        except (ValueError, KeyError) as error:
            raise CommandRefusedError(f"{file}: is not what a shadow wrote: {error}") from None
        return Candidate(CANDIDATE, policy, criteria)

    def write_status(self, status: Status) -> None:
        """Say how it stands."""
        write_whole(self.path / "status.json", msgspec.json.format(msgspec.json.encode(status)) + b"\n")

    def status(self) -> Status:
        """How it stood when it last said. `lost` when its process is not there and did not say that it ended."""
        try:
            status = msgspec.json.decode((self.path / "status.json").read_bytes(), type=Status)
        except (OSError, msgspec.DecodeError):
            return Status(state="unknown")
        if status.state in ("starting", "running") and not self.is_running():
            status.state = "lost"
        return status

    def ask_to_stop(self) -> None:
        """Leave word for the process."""
        self._stop.touch()

    @property
    def asked_to_stop(self) -> bool:
        """Whether somebody left word."""
        return self._stop.exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder while the process lives. Raises `CommandRefusedError` when another one does."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandRefusedError(f"shadow {self.name} runs already") from None
            yield

    def is_running(self) -> bool:
        """Whether a process on this machine holds the folder."""
        try:
            with open(self.path / ".lock", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def shadows(root: Path) -> list[ShadowFolder]:
    """All shadows below a folder, by name."""
    found = [ShadowFolder(root, path.name) for path in sorted(root.glob("*")) if NAME.match(path.name)]
    return [one for one in found if one.exists]
