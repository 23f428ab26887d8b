"""Verifying an archive to its end: what is on its way there, and what was decided and is gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from load.bench.history import KEY, make_history
from schemas.codec import codec_for
from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.replay.findings import Findings
from streams.replay.verify import verify
from streams.wire import sent_ms
from tests.archive_files import write

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of 100 items."""
    root = tmp_path_factory.mktemp("verified") / "archive"
    make_history(root, items=400, days=4)
    return root


def records(root: Path, topic: str) -> list[Archived]:
    reader = ArchiveReader(Catalogue.of(root))
    return [one for partition in reader.catalogue.partitions(topic) for one in reader.records(topic, partition)]


def copied(root: Path, to: Path, keep: Callable[[Archived], bool]) -> Path:
    """The archive without some records at the ends of its partitions."""
    shutil.copytree(root / "policies", to / "policies")
    reader = ArchiveReader(Catalogue.of(root))
    for topic, partition in reader.catalogue.places:
        if kept := [one for one in reader.records(topic, partition) if keep(one)]:
            write(to, kept)
    return to


def found(root: Path, key: bytes | None = None) -> dict[str, Findings]:
    return {one.step: one for one in verify(ArchiveReader(Catalogue.of(root)), key)}


def test_decisions_that_are_gone_from_a_partition_s_end_are_missing(history: Path, tmp_path: Path) -> None:
    middle = sorted(one.offset for one in records(history, "decisions") if one.partition == 1)[-20]
    cut = copied(history, tmp_path, lambda one: (one.topic, one.partition) != ("decisions", 1) or one.offset < middle)
    selection = found(cut)["selection"]
    gone = {
        codec_for("decisions").decode(one.value).decision_id
        for one in records(history, "decisions")
        if one.partition == 1 and one.offset >= middle
    }
    assert {one.ce_id for one in selection.differences} == gone
    assert {one.kind for one in selection.differences} == {"missing"}
    assert selection.in_flight == 0


def test_all_decisions_of_a_partition_that_are_gone_are_missing(history: Path, tmp_path: Path) -> None:
    cut = copied(history, tmp_path, lambda one: (one.topic, one.partition) != ("decisions", 1))
    selection = found(cut)["selection"]
    assert selection.differing == sum(one.partition == 1 for one in records(history, "filtered"))


def test_an_alert_says_that_the_item_was_decided_once_its_topic_is_archived_further(
    history: Path, tmp_path: Path
) -> None:
    """Decisions of one partition end a while before those of others: less than an hour, or next to nothing."""
    lanes = records(history, "decisions")
    end = max(sent_ms(one) for one in lanes if one.partition == 1)
    raised = {codec_for("alerts").decode(one.value).decision.decision_id for one in records(history, "alerts")}
    for minutes, known in ((50, True), (5, False)):
        until = end - minutes * MINUTE_MS

        def keep(one: Archived, until: int = until) -> bool:
            place = (one.topic, one.partition)
            return sent_ms(one) <= end and (place != ("decisions", 1) or sent_ms(one) < until)

        gone = {
            codec_for("decisions").decode(one.value).decision_id
            for one in lanes
            if one.partition == 1 and until <= sent_ms(one) <= end - 10 * MINUTE_MS
        }
        selection = found(copied(history, tmp_path / str(minutes), keep))["selection"]
        missing = {one.ce_id for one in selection.differences}
        assert missing == (gone & raised if known else set())
        assert selection.in_flight > 0


def test_screened_items_that_are_gone_are_missing_where_something_followed_from_them(
    history: Path, tmp_path: Path
) -> None:
    middle = sorted(one.timestamp for one in records(history, "screened"))[-40]
    cut = copied(history, tmp_path, lambda one: one.topic != "screened" or one.timestamp < middle)
    screening = found(cut, KEY)["screening"]
    assert {one.kind for one in screening.differences} == {"missing"}
    assert screening.differing > 30
    assert screening.in_flight < 10, "only what was lodged in the last hour may be on its way"


def test_filtered_items_that_are_gone_are_missing_where_filtering_went_on(history: Path, tmp_path: Path) -> None:
    """A partition of lodgers' items ends a day before the others do."""
    end = max(one.timestamp for one in records(history, "filtered"))

    def keep(one: Archived) -> bool:
        if one.topic != "filtered" or one.timestamp < end - 24 * HOUR_MS:
            return True
        return codec_for("filtered").decode(one.value).upstream.partition != 1

    filtering = found(copied(history, tmp_path, keep), KEY)["filtering"]
    assert {one.kind for one in filtering.differences} == {"missing"}
    assert filtering.in_flight <= 1, "only what was filtered in the last hour may be on its way"
