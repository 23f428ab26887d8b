"""Verifying an archive to its end: what is on its way there, and what was decided and is gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from agents import refusals
from agents.risk.policy import version_of
from agents.step import Refusal
from load.bench.history import KEY, make_history
from schemas.codec import codec_for, encode
from streams.archive.layout import Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.deadletter import dead_letter
from streams.redrive import DeadLetter, redrives
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


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve days of 100 items: results come back, and models learn."""
    root = tmp_path_factory.mktemp("taught") / "archive"
    make_history(root, items=1200, days=12)
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


def bury(root: Path, refused: list[Archived], reason: str, step: str) -> None:
    """Archive a letter for each of these records."""
    letters = [
        dead_letter(one, Refusal(one.offset, reason, "control_point", ""), step, sent_ms(one)) for one in refused
    ]
    write(root, [Archived(f"{refused[0].topic}-dlq", 0, n, one.timestamp, one.key, one.value, list(one.headers))
                 for n, one in enumerate(letters)])  # fmt: skip


@pytest.mark.parametrize("decided", [0, 20])
@pytest.mark.parametrize("reason", [refusals.UNKNOWN_CONTROL_POINT, refusals.NO_SCORE])
def test_items_that_were_refused_are_told_as_such_once_their_letters_are_archived(
    decided: int, reason: str, history: Path, tmp_path: Path
) -> None:
    """Decisions of a partition that no decision is made in, or no more of."""
    cut = copied(history, tmp_path, lambda one: (one.topic, one.partition) != ("decisions", 1) or one.offset < decided)
    waiting = [one for one in records(history, "filtered") if one.partition == 1][decided:]
    bury(cut, waiting[1:], reason, "selection")
    selection = found(cut)["selection"]
    assert (selection.refused, selection.in_flight, selection.differing) == (len(waiting) - 1, 0, 1)
    assert selection.differences[0].kind == "missing"


def test_a_letter_for_what_any_policy_refuses_excuses_nothing(history: Path, tmp_path: Path) -> None:
    cut = copied(history, tmp_path, lambda one: (one.topic, one.partition) != ("decisions", 1))
    waiting = [one for one in records(history, "filtered") if one.partition == 1]
    bury(cut, waiting, refusals.DUPLICATE_LODGEMENT, "selection")
    selection = found(cut)["selection"]
    assert (selection.refused, selection.differing) == (0, len(waiting))


def test_lodgements_that_a_policy_refused_are_told_as_such_once_their_letters_are_archived(
    history: Path, tmp_path: Path
) -> None:
    lodged = records(history, "express-cargo")
    place = lodged[-1].partition
    refused = [one for one in lodged if one.partition == place][-10:]

    def came_of(one: Archived) -> bool:
        if one.topic not in ("screened", "filtered", "decisions"):
            return False
        event = codec_for(one.topic).decode(one.value)
        origin = event.item.origin if one.topic == "filtered" else event.origin
        return (origin.topic, origin.partition) == ("express-cargo", place) and origin.offset >= refused[0].offset

    cut = copied(history, tmp_path, lambda one: not came_of(one))
    assert found(cut, KEY)["screening"].in_flight > 0
    bury(cut, refused, refusals.CLOCK_AHEAD, "screening")
    screening = found(cut, KEY)["screening"]
    assert (screening.refused, screening.in_flight, screening.differing) == (10, 0, 0)


def changed(root: Path, to: Path, change: Callable[[str, int, list[Archived]], list[Archived]]) -> Path:
    """The archive with other records in some partitions."""
    shutil.copytree(root / "policies", to / "policies")
    reader = ArchiveReader(Catalogue.of(root))
    for topic, partition in reader.catalogue.places:
        write(to, change(topic, partition, list(reader.records(topic, partition))))
    return to


def test_what_was_screened_from_a_lodgement_that_cannot_be_read_is_told(history: Path, tmp_path: Path) -> None:
    def torn(topic: str, partition: int, lodged: list[Archived]) -> list[Archived]:
        if (topic, partition) == ("express-cargo", 0):
            lodged[5] = replace(lodged[5], value=(lodged[5].value or b"")[:-1] + b"]")
        return lodged

    screening = found(changed(history, tmp_path, torn), KEY)["screening"]
    (one,) = screening.differences
    assert (one.kind, one.topic, screening.unchecked) == ("unexpected", "screened", 0)


def test_what_was_screened_from_a_lodgement_that_is_not_archived_is_counted(history: Path, tmp_path: Path) -> None:
    def gone(topic: str, partition: int, lodged: list[Archived]) -> list[Archived]:
        return [*lodged[3:5], *lodged[6:-4]] if (topic, partition) == ("express-cargo", 0) else lodged

    whole = found(history, KEY)["screening"]
    screening = found(changed(history, tmp_path, gone), KEY)["screening"]
    assert (screening.differing, screening.unchecked) == (0, 3 + 1 + 4)
    assert screening.checked == whole.checked - 8


@pytest.mark.parametrize(
    ("topic", "partition", "said"), [("express-cargo", 77, (0, 1)), ("letters", 0, (1, 0))], ids=["partition", "topic"]
)
def test_what_was_screened_from_where_nothing_is_lodged_is_told(
    topic: str, partition: int, said: tuple[int, int], history: Path, tmp_path: Path
) -> None:
    def forged(of: str, place: int, made: list[Archived]) -> list[Archived]:
        if (of, place) != ("screened", 0):
            return made
        event = codec_for(of).decode(made[-1].value)
        event = msgspec.structs.replace(
            event,
            origin=msgspec.structs.replace(event.origin, topic=topic, partition=partition),
            upstream=msgspec.structs.replace(event.upstream, topic=topic, partition=partition),
        )
        return [*made, replace(made[-1], offset=made[-1].offset + 1, value=encode(event))]

    screening = found(changed(history, tmp_path, forged), KEY)["screening"]
    assert (screening.differing, screening.unchecked) == said


def test_what_was_filtered_from_where_nothing_is_screened_is_told(history: Path, tmp_path: Path) -> None:
    """An item that somebody put in behind screening, and that selection decided."""

    def forged(of: str, place: int, made: list[Archived]) -> list[Archived]:
        if (of, place) != ("filtered", 0):
            return made
        event = codec_for(of).decode(made[-1].value)
        event = msgspec.structs.replace(event, upstream=msgspec.structs.replace(event.upstream, partition=77))
        return [*made, replace(made[-1], offset=made[-1].offset + 1, value=encode(event))]

    assert found(changed(history, tmp_path, forged), KEY)["filtering"].unchecked == 1


@pytest.mark.parametrize(("topic", "step"), [("screened", "screening"), ("filtered", "filtering")])
def test_an_item_that_was_refused_and_sent_again_is_not_called_unexpected(
    topic: str, step: str, history: Path, tmp_path: Path
) -> None:
    def again(of: str, place: int, made: list[Archived]) -> list[Archived]:
        if (of, place) != (topic, 1):
            return made
        one, end = made[-30], made[-1].offset + 1
        letter = DeadLetter(
            topic=of, number=0, at_ms=one.timestamp, partition=place, offset=one.offset, index=None, item_id="",
            step="", reason="no-score", field="", error="", attempt=1, omitted_bytes=0, key=one.key, value=one.value,
            headers=one.headers,
        )  # fmt: skip
        sent = redrives([letter], one.timestamp)[0].record
        return [*made, replace(one, offset=end, value=sent.value, headers=list(sent.headers))]

    checked = found(changed(history, tmp_path, again), KEY)[step]
    assert (checked.differing, checked.unchecked) == (0, 1)


def test_what_another_version_of_borderflow_decided_is_counted_and_all_else_is_checked(
    history: Path, tmp_path: Path
) -> None:
    """As after an upgrade: earlier decisions are by a policy with a setting that this version lacks."""
    (file,) = (history / "policies").glob("*.json")
    text = file.read_bytes().replace(b'"surge":{', b'"surge":{"patrol":0.075,', 1)
    older = version_of(file.stem.rpartition("+")[0], text)
    ours, theirs = file.stem.encode(), older.encode()

    def upgraded(topic: str, partition: int, lodged: list[Archived]) -> list[Archived]:
        if topic != "decisions":
            return lodged
        half = len(lodged) // 2
        return [replace(one, value=(one.value or b"").replace(ours, theirs)) for one in lodged[:half]] + lodged[half:]

    cut = changed(history, tmp_path, upgraded)
    (cut / "policies" / f"{older}.json").write_bytes(text)
    before, steps = found(history, KEY), found(cut, KEY)
    for name, step in steps.items():
        assert (step.differing, step.checked + step.others) == (0, before[name].checked), name
        assert step.others > 100, name
    assert steps["selection"].others == sum(theirs in (one.value or b"") for one in records(cut, "decisions"))


def test_decisions_on_items_that_the_archive_does_not_have_are_counted_and_the_rest_is_checked(
    history: Path, tmp_path: Path
) -> None:
    """Items are kept for days and decisions for months: by brokers, and by retention in the archive."""

    def cut(topic: str, partition: int, made: list[Archived]) -> list[Archived]:
        return made[10:-7] if topic == "filtered" else made

    whole, selection = found(history)["selection"], found(changed(history, tmp_path, cut))["selection"]
    partitions = len({one.partition for one in records(history, "filtered")})
    assert (selection.differing, selection.unchecked) == (0, 17 * partitions)
    assert selection.checked == whole.checked - 17 * partitions


def test_an_item_before_the_first_decision_that_there_was_is_missing_its_own(history: Path, tmp_path: Path) -> None:
    decisions = [one for one in records(history, "decisions") if one.partition == 1]
    gone = {codec_for("decisions").decode(one.value).decision_id for one in decisions[:3]}
    late = changed(history, tmp_path / "late", lambda topic, place, made: made[3:] if of(topic, place) else made)
    selection = found(late)["selection"]
    assert (selection.differing, selection.unchecked) == (0, len(decisions)), "of an archive that was begun late"

    def taken_out(topic: str, place: int, made: list[Archived]) -> list[Archived]:
        if not of(topic, place):
            return made
        return [replace(one, offset=n) for n, one in enumerate(made[3:])]

    selection = found(changed(history, tmp_path / "first", taken_out))["selection"]
    assert gone <= {one.ce_id for one in selection.differences if one.kind == "missing"}


@pytest.mark.parametrize("key", [None, KEY], ids=["decisions", "all steps"])
def test_what_was_made_with_lessons_that_are_not_archived_yet_is_counted(
    key: bytes | None, taught: Path, tmp_path: Path
) -> None:
    """Each topic is archived at its own pace, a minute apart or so."""
    reached = max(codec_for("decisions").decode(one.value).model_version for one in records(taught, "decisions")) - 3
    cut = copied(taught, tmp_path, lambda one: one.topic != "labelled-examples" or one.offset < reached)
    whole, steps = found(taught, key), found(cut, key)
    for name, step in steps.items():
        assert step.differing == 0, name
        assert step.checked + step.unchecked == whole[name].checked, name
    assert steps["selection"].unchecked > 10


def test_a_decision_that_names_lessons_from_after_it_was_sent_is_told(history: Path, tmp_path: Path) -> None:
    def ahead(topic: str, partition: int, made: list[Archived]) -> list[Archived]:
        if of(topic, partition):
            event = codec_for(topic).decode(made[20].value)
            made[20] = replace(made[20], value=encode(msgspec.structs.replace(event, model_version=1000)))
        return made

    selection = found(changed(history, tmp_path, ahead))["selection"]
    assert [(one.kind, one.fields) for one in selection.differences] == [("differs", ("model_version",))]


def test_a_version_that_knowledge_never_had_is_told_of_its_record_alone(taught: Path, tmp_path: Path) -> None:
    def ahead(topic: str, partition: int, made: list[Archived]) -> list[Archived]:
        if (topic, partition) == ("screened", 1):
            event = codec_for(topic).decode(made[20].value)
            made[20] = replace(made[20], value=encode(msgspec.structs.replace(event, profile_version=1000)))
        return made

    steps = found(changed(taught, tmp_path, ahead), KEY)
    (one,) = steps["screening"].differences
    assert (one.kind, one.topic, one.partition) == ("differs", "screened", 1)
    assert steps["screening"].checked == found(taught, KEY)["screening"].checked - 1


@pytest.mark.parametrize("place", [0, 20])
def test_an_item_that_cannot_be_read_holds_up_no_other(place: int, history: Path, tmp_path: Path) -> None:
    """It was buried when it came: nothing follows from it. A later version may have written it, or somebody else."""

    def torn(topic: str, partition: int, made: list[Archived]) -> list[Archived]:
        if (topic, partition) == ("filtered", 1):
            made[place] = replace(made[place], value=b"{")
            made.append(replace(made[-1], offset=made[-1].offset + 1, value=b"{"))
        return made

    whole, selection = found(history)["selection"], found(changed(history, tmp_path, torn))["selection"]
    (one,) = selection.differences
    assert (one.kind, one.topic, one.partition) == ("unexpected", "decisions", 1)
    assert (selection.checked, selection.unchecked) == (whole.checked - 1, 0)


def of(topic: str, partition: int) -> bool:
    return (topic, partition) == ("decisions", 1)
