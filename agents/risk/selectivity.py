"""The decision on one item: which layers speak, which one may spend an inspection, which lane, and why.

Layers come in their order (`agents.risk.layers`). Mandatory hits, direct criteria and the draw are never held back;
the others select only what the control point's account and their own quota afford. The draw is taken for every
item, whatever the others say, so that the audit sample is uniform over all traffic (docs/policy.md).
"""

from __future__ import annotations

from typing import Any, Protocol

from agents.adding import added
from agents.epoch import EPOCH
from agents.identity import Draws, record_id
from agents.risk import layers
from agents.risk.alerts import STEP
from agents.risk.control_point import ControlPointState
from agents.risk.features import PATROL_LOOK, SURGE_LOOK
from agents.risk.flows import NOTHING, FlowTraffic, Promise
from agents.risk.learner import logistic
from agents.risk.policy import Policy
from schemas.decisions import Lane, Layer, Reason, SelectionDecided
from schemas.items import CriterionHit, ItemFiltered, RiskHit
from schemas.marks import Origin, Upstream

REASONS = 5
"""The most reasons of the model that a decision carries beside those of its layers."""


_NO_FEATURES: dict[str, float] = {}
_PATROLS = 0.75
"""The most of the share for looks at flows that goes to those at which nobody looked for long: surges find room."""


class Appraisal(Protocol):
    """What the brain says of one item (agents/risk/brain.py). `learnt`: labels behind the model of its stream,
    `surge_finds`: share of finds in the latest looks at surges, `probability`: what such a score has meant, `rank`: the
    log-odds that it competes as in a flow that is so busy, `look`: the score that a look competes as at a flow at which
    few looked, `below_bar`: the one of a layer's items."""

    @property
    def log_odds(self) -> float: ...
    @property
    def features(self) -> dict[str, float]: ...
    @property
    def flows(self) -> tuple[str, ...]: ...
    @property
    def model_version(self) -> int: ...
    @property
    def learnt(self) -> int: ...
    @property
    def surge_finds(self) -> float: ...
    def among(self, traffic: dict[str, float]) -> Appraisal: ...
    def probability(self, score: float) -> float | None: ...
    def rank(self, busy: float) -> float: ...
    def look(self, worth: float, unseen: float, daily: float) -> float: ...
    def below_bar(self, layer: Layer) -> float: ...


class Scorer(Protocol):
    """The part of the brain that selection needs."""

    def appraise(self, filtered: ItemFiltered) -> Any:
        """An `Appraisal`; it comes back in `explain`."""

    def explain(self, filtered: ItemFiltered, appraisal: Any, limit: int = 5) -> tuple[Reason, ...]:
        """At most `limit` reasons whose weights sum to the log-odds; asked for selected items only."""


def undecided(policy_version: str, software: str | None) -> SelectionDecided:
    """What every decision of a policy begins as: nothing selects the item, and nothing else is known of it yet."""
    never, nowhere = EPOCH, Upstream(topic="", partition=-1, offset=-1)
    return SelectionDecided(
        decision_id="",
        item_id="",
        stream="manifests",
        control_point="",
        subject="",
        lodged_at=never,
        due_at=never,
        lane="green",
        selected=False,
        score=-1.0,
        threshold=-1.0,
        propensity=-1.0,
        model_version=-1,
        profile_version=-1,
        criteria_version=-1,
        risk_information_version=-1,
        policy_version=policy_version,
        software=software,
        origin=Origin(topic="", partition=-1, offset=-1, lodgement_id="", sent_ms=-1),
        upstream=nowhere,
        screened=nowhere,
    )


class Selectivity:
    """The rules of one policy, with its numbers at hand."""

    __slots__ = (
        "_anomaly",
        "_anomaly_share",
        "_brain",
        "_draw",
        "_everything_until",
        "_exploration_lane",
        "_profile",
        "_profile_share",
        "_surge",
        "_surge_share",
        "_undecided",
    )

    def __init__(self, policy: Policy, brain: Scorer, software: str | None = None) -> None:
        self._brain = brain
        self._undecided = undecided(policy.policy_version, software)
        self._draw = Draws(policy.draws)
        self._everything_until = policy.cold_start.everything_until
        self._profile, self._profile_share = policy.profile, policy.layers.profile
        self._anomaly, self._anomaly_share = policy.anomaly, policy.layers.anomaly
        self._surge_share = policy.layers.surge
        self._surge = policy.surge
        self._exploration_lane: Lane = policy.lanes.exploration

    def decide(
        self,
        held: ControlPointState,
        traffic: FlowTraffic,
        filtered: ItemFiltered,
        appraisal: Appraisal,
        upstream: Upstream,
    ) -> SelectionDecided:
        """Decide one item as its control point stands. Changes nothing: the decision is folded afterwards."""
        item, account, flows = filtered.item, held.account, appraisal.flows
        seen = traffic.windows(item.lodged_at)
        appraisal = appraisal.among(traffic.quantities(flows, seen))
        ordered = layers.mandatory_hits(item.hits) if item.hits else []
        direct: list[CriterionHit] = []
        boosts: list[CriterionHit] = []
        watched = flows and self._surge_share > 0.0  # a policy without looks takes flows for nothing to watch
        promise = traffic.promise(flows, seen, self._surge.patrol_days) if watched else NOTHING
        log_odds, ranked, unboosted = appraisal.log_odds, appraisal.rank(promise.busy), None
        if filtered.criteria and not filtered.auto_cleared:
            direct = layers.effective(filtered.criteria, "direct")
            boosts = layers.effective(filtered.criteria, "boost")
            if boosts:
                boost = added([hit.weight for hit in boosts])
                log_odds, ranked = log_odds + boost, ranked + boost
                unboosted = logistic(appraisal.log_odds)
        score = logistic(log_odds)
        probability = appraisal.probability(score) if unboosted is None else None  # the model did not see the boost
        rank = score if ranked == log_odds else logistic(ranked)

        spoken: list[Layer] = []
        layer: Layer | None = None
        if ordered:
            spoken.append("mandatory")
            layer = "mandatory"
        if direct:
            spoken.append("criteria")
            layer = layer or "criteria"
        surge, look, told = 0.0, SURGE_LOOK, 0.0
        if flows and not filtered.auto_cleared and account.within_quota("surge", self._surge_share):
            surge, look, told = self._worth(held, appraisal, promise)
        offender = False
        bar = account.score_bar()
        everything = self._everything_until is not None and item.lodged_at < self._everything_until
        if not filtered.auto_cleared and not everything:
            if rank >= bar and account.affords():
                spoken.append("model")
                layer = layer or "model"
            if self._is_repeat_offender(filtered):
                offender = True
                if (
                    self._profile_share > 0.0
                    and appraisal.below_bar("profile") >= bar
                    and account.within_quota("profile", self._profile_share, 1.0)
                    and account.affords(1.0)
                ):
                    spoken.append("profile")
                    layer = layer or "profile"
            if layers.is_unusual(filtered, self._anomaly) and (
                appraisal.below_bar("anomaly") >= bar
                and account.within_quota("anomaly", self._anomaly_share)
                and account.affords(1.0)
            ):
                spoken.append("anomaly")
                layer = layer or "anomaly"
            if surge >= bar and surge > 0.0 and account.affords():
                spoken.append("surge")
                layer = layer or "surge"

        rate = 1.0 if everything else held.exploration_rate(appraisal.learnt)
        propensity = 1.0
        if self._draw(item.item_id) < rate:
            spoken.append("exploration")
            if layer is None:
                layer = "exploration"
                propensity = rate
        elif layer is None:
            propensity = 1.0 - rate

        lane: Lane = "green"
        reasons: tuple[Reason, ...] = ()
        features = _NO_FEATURES
        selected = layer is not None
        if layer is not None:
            lane = self._lane(held, layer, spoken, offender, direct, rank, filtered)
            times = told if look == SURGE_LOOK else 0.0
            said = self._reasons(spoken, filtered, ordered, direct, times, rate)
            if offender and "profile" not in spoken:
                said.append(layers.profile_reason(filtered, self._profile))
            said.extend([layers.criterion_reason(hit) for hit in boosts])
            reasons = (*said, *self._brain.explain(filtered, appraisal, REASONS))
            features = appraisal.features
            if layer == "surge":
                features[look] = told
        balance = account.balance if everything else account.after(selected)
        origin = item.origin
        # Of a method's call with up to 28 arguments by name, of others' with up to 15, CPython makes no dictionary: it
        # takes a fifth of the time.
        decision = self._undecided.__replace__(
            decision_id=record_id("d", STEP, origin.topic, origin.partition, origin.offset, origin.index),
            item_id=item.item_id,
            revision=item.revision,
            stream=item.stream,
            control_point=item.control_point,
            subject=item.subject,
            lodged_at=item.lodged_at,
            due_at=item.due_at,
            profile_version=item.profile_version,
            risk_information_version=item.risk_information_version,
            origin=origin,
            upstream=upstream,
            screened=filtered.upstream,
            score=score,
            rank=None if rank == score else rank,
            probability=probability,
            surge=surge,
            threshold=bar,
            surge_threshold=bar if surge else 0.0,
            propensity=propensity,
            exploration_rate=rate,
            balance=balance,
            window=account.window_after(balance),
            flows=flows,
            auto_cleared=filtered.auto_cleared,
            model_version=appraisal.model_version,
            criteria_version=filtered.criteria_version,
        )
        if not selected and not boosts:
            return decision
        return decision.__replace__(
            lane=lane,
            selected=selected,
            layer=layer,
            layers=tuple(spoken),
            unboosted=unboosted,
            features=features,
            criteria=tuple([hit.criterion_id for hit in (*direct, *boosts)]),
            reasons=reasons,
        )

    def _worth(self, held: ControlPointState, appraisal: Appraisal, promise: Promise) -> tuple[float, str, float]:
        """What a look at an item for its flows is worth, as a score; what kind of look, and what is told of the flow.

        That is how many times its norm a flow is that surges, and the items a day of one at which nobody looked for
        long. Looks of that kind take a part of the share at most.
        """
        rule, flows = self._surge, appraisal.flows
        patrol = appraisal.look(rule.patrol_worth, promise.unseen, promise.daily)
        surge = rule.worth * appraisal.surge_finds * promise.surging
        if surge > patrol:
            surge /= 1 + held.surge_picks.spent_on(flows[:1])
            if surge > patrol:
                return surge, SURGE_LOOK, promise.times
        if not held.account.within_quota("surge", _PATROLS * self._surge_share):
            return 0.0, PATROL_LOOK, 0.0
        return patrol, PATROL_LOOK, promise.daily

    def _is_repeat_offender(self, filtered: ItemFiltered) -> bool:
        item = filtered.item
        if item.prior.seizures and layers.is_repeat_offender(item.prior, self._profile, item.lodged_at):
            return True
        return item.counterpart_prior is not None and layers.is_repeat_offender(
            item.counterpart_prior, self._profile, item.lodged_at
        )

    def _lane(
        self,
        held: ControlPointState,
        layer: Layer,
        spoken: list[Layer],
        offender: bool,
        direct: list[CriterionHit],
        rank: float,
        filtered: ItemFiltered,
    ) -> Lane:
        if layer == "mandatory" or offender:
            return "red"
        drawn = "exploration" in spoken  # what is drawn must be looked at alike, whatever else selected it
        if layer == "criteria":
            return "red" if drawn and self._exploration_lane == "red" else layers.direct_lane(direct)
        if drawn:
            return self._exploration_lane
        book = held.lanes_of(filtered.item.stream)
        return book.assign(book.position(layer, rank))

    def _reasons(
        self,
        spoken: list[Layer],
        filtered: ItemFiltered,
        ordered: list[RiskHit],
        direct: list[CriterionHit],
        times: float,
        rate: float,
    ) -> list[Reason]:
        said: list[Reason] = []
        for layer in spoken:
            if layer == "mandatory":
                said.extend([layers.mandatory_reason(hit) for hit in ordered])
            elif layer == "criteria":
                said.extend([layers.criterion_reason(hit) for hit in direct])
            elif layer == "profile":
                said.append(layers.profile_reason(filtered, self._profile))
            elif layer == "anomaly":
                said.append(layers.anomaly_reason(filtered))
            elif layer == "surge":
                said.append(layers.surge_reason(times))
            elif layer == "exploration":
                said.append(layers.exploration_reason(rate))
        return said
