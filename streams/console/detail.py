"""What the page of one alert shows beside the alert itself."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from agents.epoch import epoch_ms
from schemas.codec import codec_for
from schemas.knowledge import CriterionPublished
from streams.console.accounts import User
from streams.console.cases import Case, Cases, live_row
from streams.console.day import Learning
from streams.console.filing import UNDO
from streams.console.reading import shown, without_personal_fields

_RELATED = 25


class CriteriaShelf:
    """Criteria as published: every version that the log still has, and the latest."""

    def __init__(self) -> None:
        self.latest: dict[str, CriterionPublished] = {}
        self._versions: dict[tuple[str, int], CriterionPublished] = {}

    def fold(self, event: CriterionPublished) -> None:
        """Take in one publication."""
        self.latest[event.criterion_id] = event
        self._versions[event.criterion_id, event.version] = event

    def text(self, criterion_id: str, version: int | None) -> dict[str, Any]:
        """A criterion at a version, or as it is now when that version is gone from the log."""
        found = self._versions.get((criterion_id, version or 0)) or self.latest.get(criterion_id)
        latest = self.latest.get(criterion_id)
        if found is None:
            return {"id": criterion_id, "version": version, "known": False}
        return {
            "id": criterion_id,
            "version": found.version,
            "asked": version,
            "known": True,
            "title": found.title,
            "condition": found.condition,
            "action": found.action,
            "lane": found.lane,
            "weight": found.weight,
            "category": found.category,
            "cap": found.cap,
            "from": epoch_ms(found.valid_from),
            "until": epoch_ms(found.valid_until) if found.valid_until else None,
            "author": found.author,
            "latest": latest.version if latest else None,
            "withdrawn": bool(latest and latest.withdrawn),
        }


def detail_of(
    case: Case, user: User, cases: Cases, learning: Learning, criteria: CriteriaShelf, now_ms: int
) -> dict[str, Any]:
    """The detail of a case for a user; names only for who handles alerts."""
    alert = shown(codec_for("alerts").decode(case.raw))
    if not user.handles:
        alert = without_personal_fields(alert, "alerts")
    item = alert["filtered"]["item"]
    decision = alert["decision"]
    shipper = (item.get("cargo") or {}).get("shipper")
    claim = cases.claim(case, now_ms)
    hits = {hit["criterion_id"]: hit for hit in alert["filtered"].get("criteria", ())}
    named = dict.fromkeys([*hits, *decision.get("criteria", ())])
    result = case.result
    related = (one for one in cases.related(case) if user.serves(*one[0].seen_by))
    told: dict[str, Any] = {
        "row": {**live_row(case, claim), "seq": case.seq},
        "alert": alert,
        "shift": case.shift_ms,
        "now": now_ms,
        "names": user.handles,
        "history": cases.history(case),
        "criteria": [
            {**criteria.text(one, hits[one]["version"] if one in hits else None),
             "capped": bool(one in hits and hits[one].get("capped"))}
            for one in named
        ],
        "known": learning.known_of(item["subject"]),
        "known_shipper": learning.known_of(shipper) if shipper else [],
        "related": [
            {"row": live_row(other, cases.claim(other, now_ms)), "shared": sorted({k.split()[0] for k in keys})}
            for other, keys in islice(related, _RELATED)
        ],
    }  # fmt: skip
    if result is not None:
        told["result"] = msgspec.to_builtins(result)
        if not user.handles:
            told["result"] = without_personal_fields(told["result"], "inspection-results")
        told["undo_until"] = case.result_ms + int(UNDO.total_seconds() * 1000) if result.officer == user.name else 0
    return told
