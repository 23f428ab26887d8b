"""A small border for tests of the deciders: items as filtering leaves them, and a brain that scores as it is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from agents.risk.policy import Policy, read_policy
from agents.risk.ranks import constant_look
from agents.step import Arrival
from schemas.decisions import AlertRaised, Layer, Reason, SelectionDecided
from schemas.inspections import InspectionCompleted, InspectionWithdrawn
from schemas.items import (
    CargoFacts,
    CriterionHit,
    GoodsFacts,
    ItemFiltered,
    ItemScreened,
    Monitored,
    PriorRecord,
    RiskHit,
    Stream,
)
from schemas.marks import Origin, Upstream

DAWN = datetime(2026, 1, 5, tzinfo=UTC)
DESK = "KRICN-EXP"


def policy_of(**settings: Any) -> Policy:
    """A policy with one express centre, and what the test says; no cold start unless it says so."""
    points = {DESK: {"streams": ["express-cargo"]}}
    return read_policy({"version": "test", "control_points": points, "cold_start": {"labels": 0}, **settings})


def parcel(
    number: int,
    *,
    at: datetime | None = None,
    control_point: str = DESK,
    stream: Stream = "express-cargo",
    hits: tuple[RiskHit, ...] = (),
    criteria: tuple[CriterionHit, ...] = (),
    anomaly: float = 0.0,
    auto_cleared: bool = False,
    prior: PriorRecord | None = None,
    due_after: timedelta = timedelta(hours=6),
    revision: int = 0,
) -> ItemFiltered:
    """Parcel `number`: its place in the lodgement log, in `screened` and in `filtered` alike."""
    lodged_at = at or DAWN + timedelta(seconds=number)
    facts = CargoFacts(
        bill=f"W{number}",
        consignee=f"c:{number % 97:032x}",
        shipper=f"c:{number % 31 + 1000:032x}",
        consignee_name="A CONSIGNEE",
        shipper_name="A SHIPPER",
        carrier="KE",
        mode="express",
        departure="CN",
        goods=GoodsFacts(hs6="851712", gross_mass_kg=1.5, value_usd=120.0, origin="CN"),
    )
    item = ItemScreened(
        item_id=f"express-cargo/W{number}",
        stream=stream,
        revision=revision,
        control_point=control_point,
        lodged_at=lodged_at,
        due_at=lodged_at + due_after,
        subject=facts.consignee,
        cargo=facts,
        prior=prior or PriorRecord(),
        hits=hits,
        profile_version=0,
        risk_information_version=0,
        origin=Origin(
            topic="express-cargo",
            partition=0,
            offset=number,
            lodgement_id=f"W{number}",
            sent_ms=int(lodged_at.timestamp() * 1000),
        ),
        upstream=Upstream(topic="express-cargo", partition=0, offset=number),
    )
    return ItemFiltered(
        item=item,
        monitored=Monitored(
            arrivals_1h=1,
            arrivals_24h=1,
            value_24h_usd=120.0,
            shippers_24h=1,
            control_points_24h=1,
            first_seen_hours=0.0,
            below_threshold_24h=0,
        ),
        criteria=criteria,
        anomaly=anomaly,
        auto_cleared=auto_cleared,
        criteria_version=0,
        upstream=Upstream(topic="screened", partition=0, offset=number),
    )


class ToldAppraisal:
    """An appraisal as the test told it."""

    __slots__ = (
        "features", "flows", "learnt", "log_odds", "model_version", "ranked", "score", "surge_finds", "worth",
    )  # fmt: skip

    def __init__(self, log_odds: float, ranked: float, flows: tuple[str, ...], learnt: int, version: int) -> None:
        self.log_odds = log_odds
        self.ranked = ranked
        self.worth = 1.0
        self.score = 0.0
        self.surge_finds = 0.1
        self.features = {"told": log_odds}
        self.flows = flows
        self.learnt = learnt
        self.model_version = version

    def among(self, traffic: dict[str, float]) -> ToldAppraisal:
        return self

    def probability(self, score: float) -> float | None:
        return None

    def rank(self, busy: float) -> float:
        return self.ranked

    def look(self, worth: float, unseen: float, daily: float) -> float:
        return constant_look(worth, unseen)

    def below_bar(self, layer: Layer) -> float:
        return self.worth


class ToldBrain:
    """Scores by a function of the item; stands in for the models, never for the rules under test."""

    def __init__(
        self,
        log_odds: Callable[[ItemFiltered], float],
        flows: Callable[[ItemFiltered], tuple[str, ...]] = lambda filtered: (),
        learnt: int = 10_000,
        less: float = 0.0,
        worth: float = 1.0,
    ) -> None:
        """Every other item competes as `less` log-odds less than its score; `worth`: what other layers compete as."""
        self.less = less
        self.worth = worth
        self.log_odds = log_odds
        self.flows = flows
        self.learnt = learnt
        self.version = 7

    def appraise(self, filtered: ItemFiltered) -> ToldAppraisal:
        log_odds = self.log_odds(filtered)
        rank = log_odds - self.less * (number_of(filtered) % 2)
        told = ToldAppraisal(log_odds, rank, self.flows(filtered), self.learnt, self.version)
        told.worth = self.worth
        return told

    def explain(self, filtered: ItemFiltered, appraisal: ToldAppraisal, limit: int = 5) -> tuple[Reason, ...]:
        return (Reason(code="told", text="as told", weight=appraisal.log_odds),)


def number_of(filtered: ItemFiltered) -> int:
    """The number that `parcel` was made with."""
    return filtered.item.origin.offset


def arrivals_of(
    events: Iterable[Any], topic: str = "filtered", first_offset: int = 0, partition: int = 0
) -> list[Arrival[Any]]:
    """The events as records of one partition, one after the other."""
    return [
        Arrival(event, topic, partition, offset, *(2 * (event_ms(event),)))
        for offset, event in enumerate(events, first_offset)
    ]


def event_ms(event: Any) -> int:
    """The record timestamp of an event: its event time."""
    if isinstance(event, ItemFiltered):
        return int(event.item.lodged_at.timestamp() * 1000)
    if isinstance(event, InspectionCompleted):
        return int(event.inspected_at.timestamp() * 1000)
    if isinstance(event, InspectionWithdrawn):
        return int(event.withdrawn_at.timestamp() * 1000)
    at = event.decision.lodged_at if isinstance(event, AlertRaised) else event.lodged_at
    return int(at.timestamp() * 1000)


def of_topic(outputs: Sequence[Any], topic: str) -> list[Any]:
    """The events of one topic among the outputs."""
    return [output.event for output in outputs if output.topic == topic]


def decisions_of(outputs: Sequence[Any]) -> list[SelectionDecided]:
    return of_topic(outputs, "decisions")


def result_on(alert: AlertRaised, outcome: str = "clear", **fields: Any) -> InspectionCompleted:
    """A centre's result on an alert, a day after the lodgement unless the test says otherwise."""
    decision = alert.decision
    settings: dict[str, Any] = {
        "result_id": f"r-{decision.decision_id}",
        "decision_id": decision.decision_id,
        "control_point": decision.control_point,
        "inspected_at": decision.lodged_at + timedelta(days=1),
        "method": "physical",
        "outcome": outcome,
        **fields,
    }
    return InspectionCompleted(**settings)


def withdrawal_of(result: InspectionCompleted, **fields: Any) -> InspectionWithdrawn:
    """A centre takes a result back, half a minute after the inspection unless the test says otherwise."""
    settings: dict[str, Any] = {
        "withdrawal_id": f"w-{result.result_id}",
        "result_id": result.result_id,
        "decision_id": result.decision_id,
        "control_point": result.control_point,
        "withdrawn_at": result.inspected_at + timedelta(seconds=30),
        **fields,
    }
    return InspectionWithdrawn(**settings)


def snapshot(state: Any) -> Any:
    """A state as plain values, so that two of them can be compared field by field."""
    if isinstance(state, dict):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, list | tuple | deque):
        return [snapshot(value) for value in state]
    slots = [name for kind in type(state).__mro__ for name in getattr(kind, "__slots__", ())]
    if slots and not isinstance(state, msgspec.Struct | datetime):
        return {name: snapshot(getattr(state, name)) for name in slots if hasattr(state, name)}
    return state
