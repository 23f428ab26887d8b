"""The report of a replay as a page and as JSON: what was decided again, held against what was recorded."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from streams.archive.layout import Catalogue
from streams.archive.views import connect, exactly
from streams.replay.run import Manifest
from streams.reports import page, plots
from streams.simulate.run import software

_AGAIN: Final = """
CREATE TABLE again AS
SELECT value->>'$.decision_id' AS decision_id, value->>'$.subject' AS subject, value->>'$.lane' AS lane,
       (value->>'$.selected')::BOOLEAN AS selected, value->>'$.control_point' AS control_point,
       epoch_ms(at_ms)::DATE AS day
FROM read_json(?, format = 'newline_delimited', maximum_object_size = 268435456,
               columns = {topic: 'VARCHAR', at_ms: 'BIGINT', value: 'JSON'})
WHERE topic = 'decisions'
"""
_SIDE_BY_SIDE: Final = """
CREATE TABLE side_by_side AS
SELECT a.*, d.subject AS subject_then, d.lane AS lane_then, d.selected AS selected_then, d.inspected, d.seized
FROM again a LEFT JOIN outcomes d USING (decision_id)
"""
_COUNTS: Final = """
       count(*) AS items, count(*) FILTER (selected) AS selected, count(*) FILTER (selected_then) AS selected_then,
       count(*) FILTER (selected AND selected_then) AS selected_both,
       count(*) FILTER (lane IS DISTINCT FROM lane_then) AS other_lane
FROM side_by_side
"""
LANES: Final = ("green", "blue", "yellow", "red")
NOTE: Final = (
    "A replay takes records in the order of event time; workers took those of several partitions as they came, and "
    "learnt in between. So some lanes near a threshold differ although policy and software are the same. Whether the "
    "recorded decisions were right is what borderflow replay --verify proves.",
    "Found then: seizures recorded for items that the replay selects, too. Items that were not inspected then have no "
    "outcome; borderflow simulate estimates what they would have been.",
)
OTHER_KEY: Final = (
    "No subject is the one that was recorded: this replay had another pseudonym key, so no profile and no window of a "
    "subject was met by whom it was met then. Is BORDERFLOW_PSEUDONYM_KEY the key that was used then?"
)


class Counted(msgspec.Struct, frozen=True):
    """Items of one group, and how many the replay and the record select."""

    name: str
    items: int
    selected: int
    selected_then: int
    selected_both: int
    other_lane: int


class Moved(msgspec.Struct, frozen=True):
    """Items by their lane in the record (None: no such decision there) and in the replay."""

    then: str | None
    again: str
    items: int


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay's report says."""

    command: str
    archive: str
    first: str | None
    last: str | None
    manifest: Manifest
    software: dict[str, str]
    whole: Counted
    unrecorded: int
    seizures_then: int
    seizures_kept: int
    lanes: list[Moved]
    by_day: list[Counted]
    by_control_point: list[Counted]
    cautions: list[str] = []


def compare(catalogue: Catalogue, folder: Path, manifest: Manifest, command: str, offices: Collection[str]) -> Replayed:
    """Read the replay's files back and count them against the archive's decisions.

    `offices` are the control points of its policy.
    """
    db = connect(catalogue, "outcomes", spill=folder / "spill")
    try:
        files = [exactly(folder / part.name) for part in manifest.parts]
        if files:
            db.execute(_AGAIN, [files])
        else:
            db.execute(
                "CREATE TABLE again (decision_id VARCHAR, subject VARCHAR, lane VARCHAR, selected BOOLEAN, "
                "control_point VARCHAR, day DATE)"
            )
        db.execute(_SIDE_BY_SIDE)
        first, last, unrecorded, seizures, kept, same = db.execute(
            "SELECT min(day)::VARCHAR, max(day)::VARCHAR, count(*) FILTER (lane_then IS NULL), "
            "count(*) FILTER (seized), count(*) FILTER (seized AND selected), "
            "count(*) FILTER (subject = subject_then) FROM side_by_side"
        ).fetchall()[0]
        lanes = db.execute("SELECT lane_then, lane, count(*) FROM side_by_side GROUP BY ALL ORDER BY ALL").fetchall()
        whole = next(iter(_counted(db, "'all'")), Counted("all", 0, 0, 0, 0, 0))
        cautions = [OTHER_KEY] if whole.items > unrecorded and not same else []
        there = db.execute(
            "SELECT DISTINCT control_point FROM decisions WHERE epoch_ms(lodged_at) >= ? AND epoch_ms(lodged_at) < ?",
            [manifest.plan.since_ms, manifest.plan.until_ms],
        ).fetchall()
        if lacking := sorted({name for (name,) in there if name is not None} - set(offices)):
            cautions.append(
                f"The policy has no control point for what was decided then at {', '.join(lacking)}: it is not in this "
                "replay."
            )
        return Replayed(
            command=command, archive=str(catalogue.root), first=first, last=last, manifest=manifest,
            software=software(), whole=whole, unrecorded=unrecorded, seizures_then=seizures, seizures_kept=kept,
            lanes=[Moved(*row) for row in lanes], by_day=_counted(db, "day::VARCHAR"),
            by_control_point=_counted(db, "control_point"), cautions=cautions,
        )  # fmt: skip
    finally:
        db.close()


def _counted(db: Any, group: str) -> list[Counted]:
    asked = f"SELECT {group} AS name, {_COUNTS} GROUP BY name ORDER BY name"
    return [Counted(*row) for row in db.execute(asked).fetchall()]


def write_report(found: Replayed, folder: Path) -> list[Path]:
    """Write report.html and report.json. Raises `OSError`, or `CommandRefusedError` without matplotlib."""
    html, data = folder / "report.html", folder / "report.json"
    page.write_whole(html, report(found).encode(), private=True)
    page.write_whole(data, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n", private=True)
    return [html, data]


def report(found: Replayed) -> str:
    """The page."""
    whole = found.whole
    same = whole.items - whole.other_lane
    parts = [
        page.figures((
            (f"{whole.items:,}", "items decided again"),
            (_share(same, whole.items), "in the lane that was recorded"),
            (_share(whole.selected, whole.items), f"coverage; recorded {_share(whole.selected_then, whole.items)}"),
            (f"{found.seizures_kept:,} of {found.seizures_then:,}", "seizures found then are selected again"),
        )),
        page.section("Read this first", page.points((*found.cautions, *NOTE))),
        page.section("Lanes", _lanes(found)),
    ]  # fmt: skip
    if found.by_day:
        parts.append(page.section("Day by day", page.plot(_days(found), "Coverage by day of lodgement.")))
    rows = ((one.name, one.items, one.selected, one.selected_then, one.selected_both, one.other_lane)
            for one in found.by_control_point)  # fmt: skip
    head = ("control point", "items", "selected", "selected then", "selected both times", "in another lane")
    parts.append(page.section("By control point", page.table(head, rows)))
    parts.append(page.section("What was run", page.code(found.command), page.facts(_provenance(found))))
    span = f"{whole.items:,} items lodged from {found.first or '-'} to {found.last or '-'}, {found.archive}"
    return page.page("Replay of a history", span, parts)


def _lanes(found: Replayed) -> str:
    counts = {(one.then, one.again): one.items for one in found.lanes}
    recorded = [lane for lane in (*LANES, None) if any(then == lane for then, _ in counts)]
    rows = [(lane or "not recorded", *(counts.get((lane, again), 0) for again in LANES)) for lane in recorded]
    return page.table(("recorded", *(f"{lane} again" for lane in LANES)), rows)


def _days(found: Replayed) -> str:
    made, (axes,) = plots.figure(1, 2.6)
    names, marker = [one.name for one in found.by_day], "." if len(found.by_day) < 40 else None
    axes.plot(names, [one.selected_then / one.items for one in found.by_day], color=plots.OTHER, label="recorded",
              marker=marker)  # fmt: skip
    axes.plot(names, [one.selected / one.items for one in found.by_day], color=plots.OWN, label="decided again",
              marker=marker)  # fmt: skip
    plots.days(axes, names)
    axes.set(title="coverage", ylim=(0, None))
    plots.percent(axes.yaxis)
    axes.legend(fontsize=8)
    return plots.svg(made, "days")


def _provenance(found: Replayed) -> list[tuple[str, str]]:
    plan, manifest = found.manifest.plan, found.manifest
    refused = ", ".join(f"{reason} {count}" for reason, count in manifest.refused.items())
    return [
        ("policy", plan.policy), ("lodged at or after", _time(plan.since_ms)), ("lodged before", _time(plan.until_ms)),
        ("decided for states from", _time(plan.warm_ms)), ("archive", found.archive),
        ("files", f"{len(manifest.parts)}; their sha256 are in replay.json"), ("refused", refused or "none"),
        ("decisions that are not in the archive", f"{found.unrecorded:,}"), *sorted(found.software.items()),
    ]  # fmt: skip


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _time(at_ms: int) -> str:
    if at_ms <= 0:
        return "the beginning"
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return "the end" if moment.year > 9000 else moment.isoformat(timespec="seconds")
