"""Verifying screening and filtering, each at the versions that its outputs name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from load.bench.history import make_history
from schemas.codec import codec_for
from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.policies import built_in_policy
from streams.replay.shelf import Shelf
from streams.replay.verify_chain import _FilteredPartition, _ScreeningSteps
from tests.archive_files import write
from tests.border import policy_of


def test_a_brain_that_was_made_anew_where_another_one_lay_is_not_taken_for_it() -> None:
    policy = policy_of()
    steps = _ScreeningSteps(b"k" * 32)
    book = RiskInformationBook()
    for _ in range(50):
        brain = Brain(Profiles())  # often at the address of the one that is freed
        assert steps.of(policy, brain, book)._profiles is brain.profiles
        assert steps.of(policy, brain, book) is steps.of(policy, brain, book)
        del brain


class _Reader(ArchiveReader):
    """Counts how often the past of a partition is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(Catalogue.of(root))
        self.rebuilt = 0

    def records(self, *place: Any, **more: Any) -> Iterator[Archived]:
        self.rebuilt += len(place) == 4
        return super().records(*place, **more)


def test_while_workers_with_two_policies_share_the_items_the_past_is_read_once_for_each(tmp_path: Path) -> None:
    make_history(tmp_path, items=200, days=1)
    reader = _Reader(tmp_path)
    records = list(reader.records("screened", 1))
    policy = built_in_policy()
    policies = {"old": policy, "new": policy}
    both = _FilteredPartition(reader, 1, Shelf(reader, "criteria", CriteriaBook), policies.get)
    alone = _FilteredPartition(reader, 1, Shelf(reader, "criteria", CriteriaBook), policies.get)
    decode = codec_for("screened").decode
    for place, record in enumerate(records):
        event = decode(record.value)
        shared = both.decide(record, event, ("old", "new")[place % 2], (0,))
        assert shared is not None
        assert shared == alone.decide(record, event, "old", (0,))
    assert len(records) > 20
    assert reader.rebuilt == 3


def test_what_cannot_be_read_is_no_part_of_the_past(tmp_path: Path) -> None:
    make_history(tmp_path / "made", items=100, days=1)
    records = list(ArchiveReader(Catalogue.of(tmp_path / "made")).records("screened", 1))
    last = records[-1]
    write(tmp_path / "cut", [replace(records[3], value=b"{"), last])
    reader = ArchiveReader(Catalogue.of(tmp_path / "cut"))
    partition = _FilteredPartition(reader, 1, Shelf(reader, "criteria", CriteriaBook), {"p": built_in_policy()}.get)
    assert partition.decide(last, codec_for("screened").decode(last.value), "p", (0,)) is not None
