"""The cases of a border control centre: alerts, who claimed them and how they ended. A fold of three topics.

Results are judged by the rules of re-evaluation (`agents.reevaluation.refusal_of`): the first one stands, a correction
or a withdrawal must name the one that stands, and what re-evaluation refuses changes nothing here. Claims are judged by
`agents.casework.CaseBook`. Both are ordered by their logs. Topics are not ordered among each other: what comes before
its alert waits for it, and a result ends the claims that were made before it was sent, whenever it is read. So every
console comes to the same answer.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from agents.casework import CaseBook, Claim
from agents.epoch import epoch_ms
from agents.reevaluation import refusal_of
from agents.risk.alerts import first_reason
from agents.risk.policy import Policy
from agents.standing import Report, Said, Standing
from schemas.casework import AlertAcknowledged, AlertClaimed, ClaimGivenUp
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted, InspectionWithdrawn

Stand = Literal["open", "filed", "gone"]
_EARLY: Final = 50_000
"""How many results and claims may wait for alerts; most of them are on alerts older than the horizon."""
_TOLD: Final = 50
"""How many of the latest events of an alert its page tells."""
_CASEWORK: Final = {"claimed": AlertClaimed, "given-up": ClaimGivenUp}


class Station(NamedTuple):
    """A control point that an alert was passed on to, and the officer who did."""

    control_point: str
    by: str


@dataclass(slots=True)
class Case:
    """One alert and what became of it. Times in ms of the wall clock.

    `shift_ms` is what must be added to a time of the record to get there: 0, or in a simulated world how far its
    calendar is from when the lodgement was really sent. `seq` is the position of its last change. `stations` are the
    passings-on that stand; `passed` are the control points of all that there ever were, whose pages hold a row of it.
    `result` is the one that stands.
    """

    alert_id: str
    decision_id: str
    control_point: str
    lodged_at: datetime
    partition: int
    raw: bytes
    row: dict[str, Any]
    keys: tuple[str, ...]
    due_ms: int
    raised_ms: int
    shift_ms: int
    seq: int = 0
    stand: Stand = "open"
    result: InspectionCompleted | None = None
    result_ms: int = 0
    stations: tuple[Station, ...] = ()
    passed: tuple[str, ...] = ()
    standing: Standing = field(default_factory=Standing)
    history: list[dict[str, Any]] = field(default_factory=list)

    def why_refused(self, result_id: str) -> str | None:
        """Why a result was refused, by the reasons of re-evaluation; None when it was not."""
        return next((one["why"] for one in self.history if one["id"] == result_id and "why" in one), None)

    @property
    def seen_by(self) -> tuple[str, ...]:
        """Control points whose officers see the alert: its own, and the one that it was passed on to last.

        Also the one that passed it on from there, as long as that can be undone: until somebody files something else.
        """
        undoable = self.result is not None and self.result.outcome == "passed-on"
        return (self.control_point, *(station.control_point for station in self.stations[-2 if undoable else -1 :]))


class Cases:
    """All cases of the horizon. `seq` is the position of the latest change; positions below `purged` are forgotten.

    `dropped` alerts are no longer held for want of room; `unread` ones could not be read: a newer worker wrote them.
    """

    def __init__(self, policy: Policy, *, simulated: bool = False, capacity: int = 100_000) -> None:
        """`policy` says which results may join an alert; `simulated` is for a world with a calendar of its own."""
        self._policy = policy
        self._simulated = simulated
        self._capacity = capacity
        self._by_alert: OrderedDict[str, Case] = OrderedDict()  # in the order of their last change
        self._by_decision: dict[str, Case] = {}
        self._early: OrderedDict[str, list[tuple[Any, int, int, int]]] = OrderedDict()
        self._related: dict[str, set[str]] = {}
        self.claims = CaseBook()
        self.seq = 0
        self.purged = 0
        self.dropped = 0
        self.unread = 0

    def __len__(self) -> int:
        return len(self._by_alert)

    def find(self, alert_id: str) -> Case | None:
        """The case of an alert."""
        case = self._by_alert.get(alert_id)
        return case if case is not None and case.stand != "gone" else None

    def on(self, decision_id: str) -> Case | None:
        """The case of a decision."""
        case = self._by_decision.get(decision_id)
        return case if case is not None and case.stand != "gone" else None

    def claim(self, case: Case, now_ms: int) -> Claim | None:
        """The claim that stands on a case."""
        return self.claims.holder(case.decision_id, _at(now_ms))

    def history(self, case: Case) -> list[dict[str, Any]]:
        """What happened to a case, by when it was sent. A claim that took no effect came second."""
        effective = self.claims.effective(case.decision_id)
        return [
            one if (kind := _CASEWORK.get(one["what"])) is None or (kind, one["id"]) in effective
            else {**one, "what": "claim-lost"}
            for one in case.history
        ]  # fmt: skip

    def since(self, seq: int) -> Iterator[Case]:
        """Cases that changed after position `seq`, the latest change first."""
        for case in reversed(self._by_alert.values()):
            if case.seq <= seq:
                return
            yield case

    def related(self, case: Case) -> list[tuple[Case, tuple[str, ...]]]:
        """Other open cases that share a party, document or container, and what they share; most shared first."""
        shared: dict[str, list[str]] = {}
        for key in case.keys:
            for alert_id in self._related.get(key, ()):
                if alert_id != case.alert_id:
                    shared.setdefault(alert_id, []).append(key)
        found = [(self._by_alert[one], tuple(keys)) for one, keys in shared.items()]
        found = [one for one in found if one[0].stand == "open"]
        return sorted(found, key=lambda one: (-len(one[1]), one[0].due_ms))

    # -- folding

    def raise_alert(self, alert: AlertRaised, raw: bytes, partition: int = 0) -> Case | None:
        """Take in an alert of a partition; None for one that was taken in before."""
        if alert.alert_id in self._by_alert:
            return None
        decision = alert.decision
        lodged_ms = epoch_ms(decision.lodged_at)
        shift = decision.origin.sent_ms - lodged_ms if self._simulated else 0
        case = Case(
            alert_id=alert.alert_id,
            decision_id=decision.decision_id,
            control_point=decision.control_point,
            lodged_at=decision.lodged_at,
            partition=partition,
            raw=raw,
            row=row_of(alert),
            keys=keys_of(alert),
            due_ms=epoch_ms(alert.deadline) + shift,
            raised_ms=epoch_ms(alert.raised_at) + shift,
            shift_ms=shift,
        )
        self._by_alert[case.alert_id] = case
        self._by_decision[case.decision_id] = case
        for key in case.keys:
            self._related.setdefault(key, set()).add(case.alert_id)
        self._touch(case)
        for waited in self._early.pop(case.decision_id, ()):
            self.fold(*waited)
        while len(self._by_alert) > self._capacity:
            self._forget(next(iter(self._by_alert.values())))
            self.dropped += 1
        return case

    def fold(self, event: Any, at_ms: int, timestamp_ms: int | None = None, partition: int = 0) -> bool:
        """Fold a result, a withdrawal or casework, sent at `at_ms`. Whether there is something new to show.

        `timestamp_ms` is the record's own, when it is another than `at_ms`. Brokers see to it that it is not ahead, so
        what says to have been sent after it was sent by it; in a simulated world it is of another calendar.
        """
        stamp_ms = at_ms if timestamp_ms is None else timestamp_ms
        if not self._simulated:
            at_ms = min(at_ms, stamp_ms)
        decision_id = getattr(event, "decision_id", None)
        if decision_id is None:
            return False
        case = self._by_decision.get(decision_id)
        if case is None:
            self._early.setdefault(decision_id, []).append((event, at_ms, stamp_ms, partition))
            if len(self._early) > _EARLY:
                self._early.popitem(last=False)
            return False
        if case.stand == "gone":  # too late: its alert is no longer here to be shown
            return False
        if isinstance(event, Report):
            effective = self._report(case, event, at_ms, stamp_ms, partition)
        else:
            effective = self._work(case, event, at_ms)
        if effective:
            self._touch(case)
        return effective

    def _work(self, case: Case, event: Any, at_ms: int) -> bool:
        if isinstance(event, AlertClaimed | ClaimGivenUp):
            self.claims.fold(event)
            what = "claimed" if isinstance(event, AlertClaimed) else "given-up"
            who = event.officer if isinstance(event, AlertClaimed) else event.by or event.officer
            self._told(case, what, who, at_ms, event.claim_id)
            return True
        if isinstance(event, AlertAcknowledged):
            self._told(case, "acknowledged", event.officer or event.system, at_ms, "")
            return True
        return False

    def _report(self, case: Case, report: Report, at_ms: int, stamp_ms: int, partition: int) -> bool:
        said = Said.by(report)
        if case.standing.knows(said):
            return False
        alert = case if partition == case.partition else None
        if (refusal := refusal_of(report, stamp_ms, alert, case.standing, self._policy)) is not None:
            return self._refuse(case, report, at_ms, refusal[0])
        case.standing.take(said)
        if isinstance(report, InspectionWithdrawn):
            self._call_back(case)
            case.result, case.stand = None, "open"
            self._told(case, "withdrawn", report.officer, at_ms, report.withdrawal_id)
            return True
        if report.corrects:
            self._call_back(case)
        case.result, case.result_ms = report, at_ms
        if report.outcome == "passed-on" and report.passed_to is not None:
            case.stations = (*case.stations, Station(report.passed_to, report.officer or ""))
            case.passed = (*case.passed, report.passed_to)
        case.stand = "filed" if case.standing.closed else "open"
        self.claims.end(case.decision_id, _at(at_ms))
        self._told(case, report.outcome, report.officer, at_ms, report.result_id)
        return True

    def _refuse(self, case: Case, report: Report, at_ms: int, why: str) -> bool:
        if isinstance(report, InspectionWithdrawn) or case.why_refused(report.result_id) is not None:
            return False
        self._told(case, "result-refused", report.officer, at_ms, report.result_id, why=why)
        return True

    @staticmethod
    def _call_back(case: Case) -> None:
        """The result that stands is taken back: so is the passing-on, when it was one."""
        if case.result is not None and case.result.outcome == "passed-on" and case.result.passed_to is not None:
            case.stations = case.stations[:-1]

    @staticmethod
    def _told(case: Case, what: str, who: str | None, at_ms: int, event_id: str, **more: str) -> None:
        entry = {"what": what, "who": who or "", "at": at_ms, "id": event_id, **more}
        insort(case.history, entry, key=lambda one: (one["at"], one["what"], one["id"]))
        del case.history[:-_TOLD]

    def _touch(self, case: Case) -> None:
        self.seq += 1
        case.seq = self.seq
        self._by_alert.move_to_end(case.alert_id)

    # -- forgetting

    def sweep(self, now_ms: int, horizon_ms: int) -> int:
        """Let go of cases whose time ended `horizon_ms` ago; pages are told first. How many were let go."""
        old = [
            case
            for case in self._by_alert.values()
            if max(case.due_ms, case.raised_ms, case.result_ms) < now_ms - horizon_ms
        ]
        for case in old:
            if case.stand == "gone":
                self._forget(case)
            else:
                case.stand, case.raw = "gone", b""
                self._touch(case)
        return len(old)

    def _forget(self, case: Case) -> None:
        self.purged = max(self.purged, case.seq)
        del self._by_alert[case.alert_id]
        self._by_decision.pop(case.decision_id, None)
        for key in case.keys:
            held = self._related.get(key)
            if held is not None:
                held.discard(case.alert_id)
                if not held:
                    del self._related[key]


def keys_of(alert: AlertRaised) -> tuple[str, ...]:
    """What other alerts may share with this one: pseudonyms and container numbers, each with its kind."""
    item = alert.filtered.item
    if item.traveller is not None:
        return (f"document {item.traveller.document}",)
    if item.cargo is None:
        return (f"subject {item.subject}",)
    cargo = item.cargo
    return (
        f"consignee {cargo.consignee}",
        f"shipper {cargo.shipper}",
        *(f"container {number}" for number in cargo.containers),
    )


def row_of(alert: AlertRaised) -> dict[str, Any]:
    """What the queue shows of an alert and never changes: no name of a party or traveller is in it."""
    decision, item = alert.decision, alert.filtered.item
    first = first_reason(decision)
    said = [*(hit.category for hit in item.hits), *(hit.category for hit in alert.filtered.criteria)]
    categories = [one for one in said if one]
    row: dict[str, Any] = {
        "id": alert.alert_id,
        "p": alert.priority,
        "cp": decision.control_point,
        "st": decision.stream,
        "ln": decision.lane,
        "ly": decision.layer or "",
        "cat": list(dict.fromkeys(categories)),
        "ref": item.item_id.partition("/")[2],
        "why": first.text,
        "wc": first.code,
    }
    if item.cargo is not None:
        goods = item.cargo.goods
        row |= {"h4": goods.hs6[:4], "from": item.cargo.departure, "kg": goods.gross_mass_kg, "usd": goods.value_usd}
    elif item.traveller is not None:
        row |= {"from": item.traveller.embarkation}
    return row


def live_row(case: Case, claim: Claim | None) -> dict[str, Any]:
    """The row of the queue as it stands now."""
    if case.stand == "gone":
        return {"id": case.alert_id, "cp": case.control_point, "s": "gone"}
    row = {**case.row, "due": case.due_ms, "at": case.raised_ms, "s": case.stand}
    if claim is not None and case.stand == "open":
        row["by"], row["until"] = claim.officer, epoch_ms(claim.until)
    if case.stations:
        row["to"], row["toBy"] = case.stations[-1]
    if case.result is not None:
        row["out"], row["outBy"], row["outAt"] = case.result.outcome, case.result.officer or "", case.result_ms
    return row


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
