"""Snapshots of the models: the brain as it stood at a version, so that nobody has to fold all lessons to get there.

They only shorten the way. One that is missing, of other software or of another feature schema is passed over and the
lessons are folded instead; one that is not what it was when it was written is an error that names the file. The file
begins with one line of JSON that says what it is; the rest is bound to the version of the software that wrote it.
"""

from __future__ import annotations

import hashlib
import hmac
import pickle
from pathlib import Path
from typing import Final

import msgspec

from agents.risk.brain import Brain
from agents.risk.features import FEATURE_SCHEMA
from streams.archive.layout import ArchiveError
from streams.archive.sealing import ArchiveKey
from streams.files import is_ours
from streams.replay.run import software
from streams.reports.page import write_whole

FOLDER: Final = "snapshots"
_SUFFIX: Final = ".model"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is. `sha256` is that of the rest of the file; `seal` is keyed with the archive's key, if any."""

    version: int
    made_with: str
    features: int
    sha256: str
    seal: str = ""


class Snapshots:
    """The snapshots of one archive. With a key, only those that were sealed with it are taken."""

    def __init__(self, root: Path, key: ArchiveKey | None = None) -> None:
        self._folder = root / FOLDER
        self._secret = b"" if key is None else key.derive(b"", "snapshots")

    def versions(self) -> list[int]:
        """The model versions that there are files of."""
        return sorted(int(file.stem) for file in self._folder.glob(f"*{_SUFFIX}") if file.stem.isdigit())

    def keep(self, brain: Brain) -> Path:
        """Write the brain down as it stands. Raises `OSError`."""
        body = pickle.dumps(brain)
        digest = hashlib.sha256(body).hexdigest()
        head = Head(version=brain.version, made_with=software(), features=FEATURE_SCHEMA, sha256=digest,
                    seal=self._seal(brain.version, digest))  # fmt: skip
        file = self._file(brain.version)
        write_whole(file, msgspec.json.encode(head) + b"\n" + body, private=True)
        return file

    def latest(self, upto: int) -> Brain | None:
        """The brain of the highest version not above `upto`, None without one that this software can take.

        Raises `ArchiveError` that names a file which is not what it was.
        """
        for version in reversed(self.versions()):
            if version <= upto and (brain := self.read(version)) is not None:
                return brain
        return None

    def read(self, version: int) -> Brain | None:
        """One snapshot; None for one of other software. Raises `ArchiveError`."""
        file = self._file(version)
        with open(file, "rb") as opened:
            ours, (line, _, body) = is_ours(opened), opened.read().partition(b"\n")
        try:
            head = msgspec.json.decode(line, type=Head)
        except msgspec.DecodeError as error:
            raise ArchiveError(f"{file}: its first line does not say what it is: {error}") from None
        if hashlib.sha256(body).hexdigest() != head.sha256:
            raise ArchiveError(
                f"{file}: the snapshot of model version {version} fails its sha256 ({len(body)} bytes after its first "
                "line); remove it, and the lessons are folded instead"
            )
        if head.version != version or not hmac.compare_digest(head.seal, self._seal(version, head.sha256)):
            raise ArchiveError(
                f"{file}: the snapshot of model version {version} was not sealed with this archive's key; remove it"
            )
        if head.made_with != software() or head.features != FEATURE_SCHEMA:
            return None
        if not self._secret and not ours:  # unpickled, a file may do whatever its writer likes
            raise ArchiveError(
                f"{file}: the snapshot of model version {version} has no seal, and others than you can have written "
                "it; remove it, and the lessons are folded instead"
            )
        brain = pickle.loads(body)  # noqa: S301 - our own file, checked, and sealed or nobody else's
        if not isinstance(brain, Brain) or brain.version != version:
            raise ArchiveError(f"{file}: is not a snapshot of model version {version}")
        return brain

    def _seal(self, version: int, digest: str) -> str:
        if not self._secret:
            return ""
        return hmac.new(self._secret, f"{version}:{digest}".encode(), "sha256").hexdigest()

    def _file(self, version: int) -> Path:
        return self._folder / f"{version:020d}{_SUFFIX}"
