"""Alerts: what a border control centre is asked to do, how urgently, by when and why, in plain words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from agents.identity import record_id
from agents.risk.layers import mandatory_hits
from agents.risk.policy import Deadlines
from agents.risk.reasons import REMAINDER
from schemas.decisions import AlertRaised, Lane, Layer, Reason, SelectionDecided
from schemas.items import ItemFiltered

STEP: Final = "selection"
NOTHING_STANDS_OUT: Final = Reason(code="", text="nothing stands out by itself")
"""The reason of an item that scored high by many small contributions, or as the best of a quiet day."""

_TASK: Final[dict[Lane, str]] = {
    "red": "Inspect",
    "yellow": "Check the documents of",
    "blue": "Audit after clearance:",
    "green": "Release",
}
_URGENCY: Final[dict[Layer, int]] = {
    "mandatory": 2,
    "criteria": 2,
    "model": 3,
    "profile": 3,
    "anomaly": 3,
    "surge": 3,
    "exploration": 4,
}


def raise_alert(decision: SelectionDecided, filtered: ItemFiltered, deadlines: Deadlines) -> AlertRaised:
    """The alert of a selected item: a function of the decision and the item alone, so it can be raised again.

    It carries the scored features once, beside the decision.
    """
    origin = decision.origin
    deadline = deadline_of(decision, deadlines)
    return AlertRaised(
        alert_id=record_id("a", STEP, origin.topic, origin.partition, origin.offset, origin.index),
        decision=msgspec.structs.replace(decision, features={}),
        filtered=filtered,
        features=decision.features,
        priority=priority_of(decision, filtered, deadline, deadlines),
        headline=headline_of(decision, filtered),
        raised_at=decision.lodged_at,
        deadline=deadline,
    )


def deadline_of(decision: SelectionDecided, deadlines: Deadlines) -> datetime:
    """Before the item is released or arrives; an audit after clearance has days."""
    if decision.lane == "blue":
        return decision.lodged_at + timedelta(days=deadlines.audit_days)
    return max(decision.due_at, decision.lodged_at)


def priority_of(decision: SelectionDecided, filtered: ItemFiltered, deadline: datetime, deadlines: Deadlines) -> int:
    """1 the most urgent, 5 the least: by layer, one step up for a grave hit or little time, one down for yellow, two
    down for blue."""
    urgency = _URGENCY[decision.layer] if decision.layer is not None else 5
    if decision.layer == "mandatory" and any(hit.severity >= 3 for hit in mandatory_hits(filtered.item.hits)):
        urgency -= 1
    if decision.lane == "yellow":
        urgency += 1
    elif decision.lane == "blue":
        urgency += 2
    if (deadline - decision.lodged_at).total_seconds() <= deadlines.pressing_minutes * 60.0:
        urgency -= 1
    return min(5, max(1, urgency))


def headline_of(decision: SelectionDecided, filtered: ItemFiltered) -> str:
    """One line: what to do with what, and the first reason. Names no person."""
    return f"{_TASK[decision.lane]} {_what(filtered)}: {first_reason(decision).text}"[:512]


def first_reason(decision: SelectionDecided) -> Reason:
    """The weightiest reason that is one; with an empty code when only the remainder is left."""
    return next((reason for reason in decision.reasons if reason.code != REMAINDER), NOTHING_STANDS_OUT)


def _what(filtered: ItemFiltered) -> str:
    item = filtered.item
    if item.traveller is not None:
        return f"traveller from {item.traveller.embarkation}"
    cargo = item.cargo
    if cargo is None:
        return "item"
    kind = "parcel" if item.stream == "express-cargo" else "consignment"
    goods = cargo.goods
    return (
        f"{kind} of heading {goods.hs6[:4]} from {cargo.departure}, "
        f"{goods.gross_mass_kg:,.10g} kg, {goods.value_usd:,.0f} USD"
    )
