"""Verification of a whole history: the three steps that lead to a decision, each against what is recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from agents.risk.policy import Policy
from streams.archive.policies import OtherSoftwareError, PolicyShelf
from streams.archive.reading import ArchiveReader
from streams.archive.views import connect
from streams.collector import look_rarely
from streams.replay.expected import Index
from streams.replay.findings import Findings
from streams.replay.on_their_way import traces
from streams.replay.verify_chain import check_filtering, check_screening
from streams.replay.verify_selection import check_selection


def verify(
    reader: ArchiveReader,
    pseudonym_key: bytes | None,
    *,
    since_ms: int = 0,
    until_ms: int = 1 << 62,
    noticed: Callable[[str, int], None] = lambda step, count: None,
    memory: str = "512MB",
) -> list[Findings]:
    """Recompute decisions, and with the pseudonym key also what screening and filtering made of lodgements.

    The last two are checked over the whole archive whatever `since_ms` says, because their state has no shorter
    beginning; without the key they are left out. What another version of borderflow decided, by a policy of which this
    one has other settings, is counted and not checked. Raises `ArchiveError` that names the file and the place.
    """
    look_rarely()
    shelf = PolicyShelf(reader.catalogue.root)

    @cache
    def policy_of(version: str) -> Policy | None:
        try:
            return shelf.get(version)
        except OtherSoftwareError:
            return None

    found = []
    with tempfile.TemporaryDirectory(prefix="borderflow-verify-") as folder:
        left = traces(reader, memory, Path(folder))
        if pseudonym_key is not None:
            db = connect(reader.catalogue, "raw_screened raw_filtered decisions", memory=memory, spill=Path(folder))
            index = Index(db, reader, lambda count: noticed("index", count))
            index.build("screened")
            index.build("filtered")
            found.append(
                check_screening(
                    reader, index, policy_of, pseudonym_key, left, lambda count: noticed("screening", count)
                )
            )
            found.append(check_filtering(reader, index, policy_of, left, lambda count: noticed("filtering", count)))
            db.close()
    found.append(
        check_selection(
            reader, policy_of, left, since_ms=since_ms, until_ms=until_ms,
            noticed=lambda count: noticed("selection", count),
        )
    )  # fmt: skip
    return found
