"""Recent decisions on all items, released ones too: counted for the centre's day and found again by what people know.

Only what is needed for that is kept of a decision, in SQLite tables in memory; the decision itself is read from its
topic when somebody opens it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from agents.identity import express_item_id, subject_key
from agents.risk.codelists import COUNTRIES
from agents.risk.normalise import fold_code, fold_name
from schemas.marks import Origin
from streams.console.accounts import User
from streams.wire import Record, sent_ms

BUCKET_MS: Final = 600_000
MOST_FOUND: Final = 100
"""Decisions that a search finds at most."""
_TRIM_EVERY: Final = 5_000
_STREAMS: Final = ("manifests/", "express-cargo/", "passengers/")
"""What the ids of items begin with."""


class Glimpse(msgspec.Struct, gc=False):
    """What is read of a decision: decoding these fields alone costs a third of decoding all."""

    decision_id: str
    item_id: str
    stream: str
    control_point: str
    subject: str
    lane: str
    selected: bool
    origin: Origin
    layer: str | None = None


_GLIMPSE = msgspec.json.Decoder(Glimpse)


class Traffic:
    """Counts by control point and ten minutes, and an index of the latest `kept` decisions."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._since_trim = 0
        self.latest_ms = 0
        """When the latest of them was decided."""
        self.counts: dict[tuple[int, str], dict[str, int]] = {}
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.executescript(
            """
            create table decided (
                at integer not null, decision_id text not null unique, ref text not null, lodgement text not null,
                subject text not null, control_point text not null, stream text not null, lane text not null,
                selected integer not null, layer text, partition integer not null, "offset" integer not null);
            create index by_ref on decided (ref);
            create index by_lodgement on decided (lodgement);
            create index by_subject on decided (subject);
            create index by_time on decided (at);
            """
        )

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from decided").fetchone()[0])

    def take(self, record: Record) -> None:
        """Fold one record of the decisions topic; one that was folded before counts once."""
        try:
            seen = _GLIMPSE.decode(record.value or b"")
        except msgspec.DecodeError:
            return  # its dead letter is the steps' business
        at = seen.origin.sent_ms
        added = self._db.execute(
            "insert or ignore into decided values (?,?,?,?,?,?,?,?,?,?,?,?)",
            (at, seen.decision_id, seen.item_id.rpartition("/")[2], seen.origin.lodgement_id, seen.subject,
             seen.control_point, seen.stream, seen.lane, seen.selected, seen.layer, record.partition, record.offset),
        ).rowcount  # fmt: skip
        if not added:
            return
        self.latest_ms = max(self.latest_ms, sent_ms(record))
        held = self.counts.setdefault((at // BUCKET_MS, seen.control_point), {})
        held["items"] = held.get("items", 0) + 1
        if seen.selected and seen.layer:
            held["selected"] = held.get("selected", 0) + 1
            held[seen.layer] = held.get(seen.layer, 0) + 1
        self._since_trim += 1
        if self._since_trim >= _TRIM_EVERY:
            self._since_trim = 0
            self._trim()

    def forget_before(self, ms: int) -> None:
        """Drop counts of before a time."""
        for key in [key for key in self.counts if key[0] < ms // BUCKET_MS]:
            del self.counts[key]

    def find(self, text: str, key: bytes, user: User) -> list[dict[str, Any]]:
        """Decisions that a user may see on what `text` names: a waybill, house bill, manifest, lodgement or decision, a
        consignee's name or identifier, a travel document's number. Latest first, at most `MOST_FOUND`.

        Names and numbers are not kept: they are turned into the pseudonyms that decisions carry, for every country.
        """
        text = text.strip()
        subjects = subjects_of(text, key)
        name = text.partition("/")[2] if text.startswith(_STREAMS) else text
        lodgement, _, bill = name.rpartition("/")
        marks, points = ",".join("?" * len(subjects)), () if user.everywhere else user.control_points
        here = f"and control_point in ({','.join('?' * len(points))})" if points else ""
        rows = self._db.execute(
            f"""select at, decision_id, ref, lodgement, control_point, stream, lane, selected, layer,
                partition, "offset" from decided
                where (ref in (?, ?) or lodgement = ? or (ref = ? and lodgement = ?) or decision_id = ?
                or subject in ({marks})) {here}
                order by at desc limit {MOST_FOUND}""",  # noqa: S608 - only question marks are put in
            (name, express_item_id(name).rpartition("/")[2], name, bill, lodgement, text, *subjects, *points),
        )
        names = ("at", "decision_id", "ref", "lodgement", "cp", "st", "ln", "selected", "ly", "partition", "offset")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _trim(self) -> None:
        over = len(self) - self._kept
        if over > 0:
            self._db.execute(
                "delete from decided where rowid in (select rowid from decided order by at limit ?)", (over,)
            )


def subjects_of(text: str, key: bytes) -> tuple[str, ...]:
    """Every pseudonym that a consignee or traveller of this name, identifier or document number could have."""
    found: list[str] = []
    name, code = fold_name(text), fold_code(text)
    if text.startswith(("c:", "t:")):
        found.append(text)
    if code:
        found.append(subject_key("c", "identifier\x1f" + code, key))
        found.extend(subject_key("t", f"{issuer}\x1f{code}", key) for issuer in _countries())
    if name:
        found.extend(subject_key("c", f"name\x1f{name}\x1f{country}", key) for country in ("", *_countries()))
    return tuple(found)


def _countries() -> Iterable[str]:
    return COUNTRIES
