"""Every policy that decided, kept with the archive: a decision can be recomputed only with the policy it was made by.

A policy is stored as canonical JSON under its version, which is a hash of that text, so a stored policy proves itself,
also one that another version of borderflow kept, which has other settings. Nothing can be recomputed with that here.
It may hold the secret of the exploration draws: the files are readable by their owner only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agents.risk.policy import Policy, PolicyRefusedError, read_policy, version_of
from streams.archive.layout import TEMPORARY, ArchiveError
from streams.files import make_folder, sync_folder


class OtherSoftwareError(ArchiveError):
    """A policy is what it was, and this version of borderflow has other settings: it cannot decide by it."""


class PolicyShelf:
    """The policies in `<archive>/policies`."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "policies"

    def versions(self) -> tuple[str, ...]:
        """The versions that are kept, in order."""
        return tuple(sorted(file.stem for file in self._folder.glob("*.json")))

    def damaged(self) -> Iterator[str]:
        """What is wrong with each file that is not the policy of its name."""
        for version in self.versions():
            try:
                self.get(version)
            except OtherSoftwareError:
                continue
            except ArchiveError as error:
                yield str(error)

    def keep(self, policy: Policy) -> bool:
        """Store a policy; False when it was there as it is. Raises `OSError`."""
        target = self._folder / f"{policy.policy_version}.json"
        with contextlib.suppress(ArchiveError, OSError):
            self.get(policy.policy_version)
            return False
        make_folder(self._folder)
        temporary = target.with_name(target.name + TEMPORARY)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(policy.canonical)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        sync_folder(self._folder)
        return True

    def get(self, version: str) -> Policy:
        """The policy of a version.

        Raises `ArchiveError`: it is not kept, or the file is not what it was; and `OtherSoftwareError`.
        """
        file = self._folder / f"{version}.json"
        if not file.is_file():
            raise ArchiveError(
                f"{file}: policy {version} is not kept; add its file with `borderflow archive keep-policy FILE`"
            )
        text = file.read_bytes()
        if (made := version_of(version.rpartition("+")[0], text)) != version:
            raise ArchiveError(f"{file}: is not policy {version} any more: its contents make {made}")
        try:
            policy = read_policy(msgspec.json.decode(text))
        except (msgspec.DecodeError, PolicyRefusedError):
            policy = None
        if policy is None or policy.policy_version != version:
            raise OtherSoftwareError(
                f"{file}: another version of borderflow decided by policy {version}, and this one has other settings: "
                "use that version for what it decided"
            )
        return policy
