"""The layers that can select an item, each with its own reason in plain words.

mandatory (watchlist, intelligence) > criteria (direct) > model > profile > anomaly > surge > exploration. The rules
here say whether a layer speaks for an item; whether the control point can afford it is `agents.risk.capacity`.
Texts name what matched, never a person: they go into decisions, which leave the control centre.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from agents.risk.policy import AnomalyRule, ProfileRule
from agents.risk.reasons import TEXT_LENGTH
from schemas.decisions import Lane, Layer, Reason
from schemas.items import CriterionHit, ItemFiltered, PriorRecord, RiskHit

LAYERS: Final[tuple[Layer, ...]] = ("mandatory", "criteria", "model", "profile", "anomaly", "surge", "exploration")

_DAY_S = 86400.0


def mandatory_hits(hits: tuple[RiskHit, ...]) -> list[RiskHit]:
    """Watchlist and intelligence hits, the gravest first. A trusted-trader entry is not one."""
    found = [hit for hit in hits if hit.kind != "trusted-trader"]
    if len(found) > 1:
        found.sort(key=lambda hit: (-hit.severity, -hit.strength, hit.entry_id))
    return found


def effective(criteria: tuple[CriterionHit, ...], action: str) -> list[CriterionHit]:
    """Criteria of one action that fired below their cap."""
    return [hit for hit in criteria if hit.action == action and not hit.capped]


def direct_lane(hits: list[CriterionHit]) -> Lane:
    """Where direct criteria send an item: red if any says so."""
    return "red" if any(hit.lane == "red" for hit in hits) else "yellow"


def is_repeat_offender(prior: PriorRecord | None, rule: ProfileRule, at: datetime) -> bool:
    """Whether the record of one party speaks for an inspection by itself."""
    if prior is None or prior.seizures < rule.seizures:
        return False
    if prior.seizures < rule.hit_rate * prior.inspections:
        return False
    last = prior.last_seized_at
    return last is None or (at - last).total_seconds() <= rule.within_days * _DAY_S


def is_unusual(filtered: ItemFiltered, rule: AnomalyRule) -> bool:
    """Whether being unlike recent traffic speaks for an inspection by itself."""
    return filtered.anomaly >= rule.at_least


def mandatory_reason(hit: RiskHit) -> Reason:
    """A watchlist or intelligence entry, by its id and what of the item matched it."""
    how = "" if hit.strength >= 1.0 else f" (similarity {hit.strength:.2f})"
    what = f", {hit.category}" if hit.category else ""
    return Reason(code=hit.kind, text=f"{hit.kind} entry {hit.entry_id} matches the {hit.matched}{how}{what}")


def criterion_reason(hit: CriterionHit) -> Reason:
    """A targeting criterion in its author's words, as many as fit; the weight is what a boost adds to the log-odds."""
    text = named = f"criterion {hit.criterion_id} version {hit.version}"
    if hit.title:
        room = TEXT_LENGTH - len(f" ({named})")
        title = hit.title if len(hit.title) <= room else hit.title[: room - 1] + "…"
        text = f"{title} ({named})"
    if hit.action == "boost":
        return Reason(code="criterion-boost", text=text, weight=hit.weight)
    return Reason(code="criterion", text=text)


def profile_reason(filtered: ItemFiltered, rule: ProfileRule) -> Reason:
    """The record that spoke: the subject's if it does, else the counterpart's."""
    item = filtered.item
    if is_repeat_offender(item.prior, rule, item.lodged_at):
        who = "traveller" if item.traveller is not None else "consignee"
        prior = item.prior
    else:
        who, prior = "shipper", item.counterpart_prior or item.prior
    text = f"the {who} had {_count(prior.seizures, 'seizure')} in {_count(prior.inspections, 'inspection')}"
    return Reason(code="repeat-offender", text=text)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def anomaly_reason(filtered: ItemFiltered) -> Reason:
    """How unusual the item is."""
    return Reason(code="unusual", text=f"more unusual than {filtered.anomaly:.1%} of recent traffic of its kind")


def surge_reason(times: float) -> Reason:
    """How far the flow stands above its norm; 0 where too few of it were looked at."""
    if times > 0.0:
        return Reason(code="surge", text=f"traffic like this is {times:.1f} times what its norm explains")
    return Reason(code="unwatched", text="traffic like this is looked at too seldom to be sure of it")


def exploration_reason(rate: float) -> Reason:
    """The draw and its probability."""
    return Reason(code="drawn", text=f"drawn by chance for the audit sample, {rate:.2%} of all items")
