"""The brain: a fold of the one log of labelled examples into models and profiles.

Every worker folds the same log in the same order, so every copy is equal, and the version of the brain is the offset
after the last record folded: any decision can be scored again by folding to its version.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Protocol

import msgspec

from agents.risk.activation import Activation, Mode
from agents.risk.challengers import CHAMPION, FORGETFUL, GROVE, Forgetful, Grove, Model, within_budget
from agents.risk.champion import Champion, Learning, as_scored, bounded, flow_of, is_open
from agents.risk.features import PATROL_LOOK, SURGE_LOOK, Description, describe
from agents.risk.learner import logistic
from agents.risk.quarantine import Quarantine
from agents.risk.ranks import Ranks, constant_look
from agents.risk.reasons import put_into_words
from agents.risk.standings import InspectedBand, Prequential, Standing
from agents.risk.usual import UsualValue
from schemas.decisions import Layer, Reason
from schemas.inspections import ModelFrozen, ModelPromoted, ModelRolledBack, OutcomeLearned
from schemas.items import ItemFiltered, PriorRecord, Stream, Subject

STREAMS: tuple[Stream, ...] = ("manifests", "express-cargo", "passengers")
DEFAULT_ACTIVATION: dict[Stream, Mode] = {
    "manifests": "continuous",
    "express-cargo": "continuous",
    "passengers": "promoted",
}
_DAY = 86400.0
_SEEN = 200_000
_CORRECTABLE = 50_000
_IN_ORDER: tuple[str, ...] = (FORGETFUL, GROVE, CHAMPION)
SURGE_LOOKS = 80.0
"""Latest looks at surges over which their share of finds is kept."""
_FINDS_AT_FIRST = 0.05
_NO_TRAFFIC: dict[str, float] = {}
_TEACHES_NOTHING = frozenset(("not-inspected", "passed-on"))


class ProfileBook(Protocol):
    """The prior records of subjects, folded from the same log (agents/risk/profiles.py)."""

    version: int

    def prior(self, subject: Subject) -> PriorRecord:
        """What the record knows of a subject."""

    def fold(self, offset: int, key: str | None, event: msgspec.Struct | None) -> None:
        """Fold one record of the log."""


class Appraisal(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What the model says of one item.

    `opened` is whether something was found in the item's flow lately, and not outweighed since. `learnt` is how many
    labels the model that decides for the item's stream has learnt from; 0 is a cold start. `surge_finds` is the share
    of finds in the latest looks at surges of the stream. `described` is the item without `traffic`.
    """

    mind: StreamMind
    model: Model
    described: Description
    flows: tuple[str, ...]
    rates: list[float]
    log_odds: float
    opened: bool
    model_version: int
    learnt: int
    surge_finds: float
    traffic: dict[str, float]

    def among(self, traffic: dict[str, float]) -> Appraisal:
        """The appraisal of the same item with what its traffic says, which selection knows."""
        if not traffic:
            return self
        return Appraisal(
            self.mind,
            self.model,
            self.described,
            self.flows,
            self.rates,
            self.log_odds + self.model.adds(traffic),
            self.opened,
            self.model_version,
            self.learnt,
            self.surge_finds,
            traffic,
        )

    @property
    def score(self) -> float:
        """The log-odds as a number from 0 to 1."""
        return logistic(self.log_odds)

    def probability(self, score: float) -> float | None:
        """What such a score has meant in such flows, None outside the band where scores are calibrated."""
        return self.mind.bands[self.opened].probability(score)

    def rank(self, busy: float) -> float:
        """The log-odds that the item competes as (`agents/risk/ranks.py`): its own where its flow is open.

        `busy`, 0 to 1: how much comes in its flow. For travellers always its own: what decides about them does not
        change by itself (EU C-817/19).
        """
        if self.opened or self.mind.activation.standing is not None:
            return self.log_odds
        return self.mind.ranks.unopened_rank(self.log_odds, busy)

    def look(self, worth: float, unseen: float, daily: float) -> float:
        """The score that a look at a flow competes as at which nobody looked for long (`agents/risk/ranks.py`)."""
        if self.mind.activation.standing is not None:
            return constant_look(worth, unseen)
        return self.mind.ranks.look(worth, unseen, daily)

    def below_bar(self, layer: Layer) -> float:
        """The score that a layer's items compete as which the model does not select; 1 for travellers: always."""
        if self.mind.activation.standing is not None:
            return 1.0
        return self.mind.ranks.below_bar(layer)

    @property
    def description(self) -> Description:
        """What the model saw."""
        return self.described.among(self.traffic) if self.traffic else self.described

    @property
    def features(self) -> dict[str, float]:
        """The features as scored. Made when asked for: most items are never inspected, so nobody learns from them."""
        return as_scored(self.description, self.rates)


class Learnt(msgspec.Struct, frozen=True, gc=False):
    """What stands of one decision in the models, so that it can be taken back.

    `held` lessons moved nothing. `rates_day` is the day that the rates stood at, `evidence` what was added then to that
    of the item's flow. `number` is the lesson's place in the inspected band, `meant` that in the meaning of scores,
    `compared` that in the standings (0 when challengers were not scored on it). `gradients` are by model, in the order
    in which they learn, 0 for one that did not.
    """

    result_id: str
    label: int = 0
    weight: float = 1.0
    score: float = 0.0
    day: float = 0.0
    held: bool = False
    rates_day: float = 0.0
    evidence: float = 0.0
    number: int = 0
    meant: int = 0
    compared: int = 0
    gradients: tuple[float, ...] = ()


class StreamMind:
    """The models of one stream, what decides, and how each model stands."""

    def __init__(self, mode: Mode, champion: Champion, ranks: Ranks) -> None:
        self.champion = champion
        self.ranks = ranks
        self.models: dict[str, Model] = {
            CHAMPION: self.champion,
            FORGETFUL: Forgetful(self.champion),
            GROVE: Grove(self.champion),
        }
        self.activation = Activation(mode, self.models)
        self.prequential = {name: Prequential() for name in self.models}
        self.bands = InspectedBand(), InspectedBand()
        """At flows that are not open, and at those that are."""
        self.usual = UsualValue()
        self.labels = 0
        self.surge_finds = _FINDS_AT_FIRST

    def learn(self, event: OutcomeLearned, *, new: bool = True) -> Learnt:
        """Within the challengers' budget score with every model, then let every model learn.

        Outside of it the champion learns, and what was promoted to follow the log. Challengers read the champion's
        rates: they go first. `new` is whether the item's declared value has not been noted yet.
        """
        features, label = bounded(event.features), event.label
        day = event.inspected_at.timestamp() / _DAY
        score = min(max(event.score, 0.0), 1.0)
        opened = is_open(features)
        band = self.bands[opened]
        band.note(score, label)
        self.labels += 1
        if features.pop(SURGE_LOOK, 0.0):
            self.surge_finds += (label - self.surge_finds) / SURGE_LOOKS
        self.ranks.learn(score, label, opened=opened, looked=features.pop(PATROL_LOOK, 0.0), layer=event.layer)
        if new:
            self.usual.note(features)
        compared = 0
        taught: Collection[str | None] = (CHAMPION, self.activation.following)
        if within_budget(event.stream, self.labels):
            for name, model in self.models.items():
                self.prequential[name].note(model.log_odds(features), label)
            compared, taught = self.prequential[CHAMPION].lessons, self.models.keys()
        rates, flow = self.champion.rates, flow_of(features)
        rates.advance(day)
        spoke = rates.evidence(flow)
        gradients = tuple(
            [
                self.models[name].learn(features, label, event.weight, day) if name in taught else 0.0
                for name in _IN_ORDER
            ]
        )
        return Learnt(
            result_id=event.result_id,
            label=label,
            weight=event.weight,
            score=score,
            day=day,
            rates_day=rates.day,
            evidence=rates.evidence(flow) - spoke,
            number=band.lessons,
            meant=self.ranks.of(opened).lessons,
            compared=compared,
            gradients=gradients,
        )

    def unlearn(self, scored: dict[str, float], wrong: Learnt) -> None:
        """Take a lesson back, as far as each model can (docs/models.md). `scored` are the features as scored."""
        features = bounded(scored)
        features.pop(SURGE_LOOK, None)
        features.pop(PATROL_LOOK, None)
        opened = is_open(features)
        self.bands[opened].forget(wrong.score, wrong.label, wrong.number)
        self.ranks.forget(wrong.score, wrong.label, wrong.meant, opened=opened)
        self.labels -= 1
        # The other way round: challengers saw quantities in the champion's scale as it was before it learnt.
        for name, gradient in reversed([*zip(_IN_ORDER, wrong.gradients, strict=True)]):
            self.models[name].unlearn(features, wrong.label, wrong.weight, gradient, wrong.rates_day)
        self.champion.rates.unlearn_flow(flow_of(features), wrong.evidence, wrong.rates_day)
        if wrong.compared:
            for book in self.prequential.values():
                book.forget(wrong.compared)


class Brain:
    """Models by stream, and the profiles, as they stand at `version`."""

    def __init__(
        self,
        profiles: ProfileBook,
        learning: Learning | None = None,
        activation: dict[Stream, Mode] | None = None,
        quarantine: Quarantine | None = None,
        exact: bool = True,
    ) -> None:
        """`exact=False` leaves out the levels of the whole declaration: the benchmark asks what is left without."""
        modes = {**DEFAULT_ACTIVATION, **(activation or {})}
        self.profiles = profiles
        self.version = 0
        self.quarantine = quarantine or Quarantine()
        self.quarantined = 0
        self.ignored = 0
        self._exact = exact
        learning = learning or Learning()
        cargo, travellers = Champion(learning), Champion(learning)
        goods, people = (cargo, Ranks()), (travellers, Ranks())
        shared = {"manifests": goods, "express-cargo": goods, "passengers": people}
        self._minds = {stream: StreamMind(modes[stream], *shared[stream]) for stream in STREAMS}
        # A plain dict walks over what was deleted before it to find its first: 50 us a lesson at 200,000.
        self._learnt: OrderedDict[str, None] = OrderedDict()
        self._standing: OrderedDict[str, Learnt] = OrderedDict()

    def fold(self, offset: int, key: str | None, event: msgspec.Struct | None, sent_ms: int = 0) -> None:
        """Fold the record at `offset`. A record at or below what was folded has no second effect.

        A lesson in quarantine moves neither models nor profiles (`quarantined` counts them). One that corrects another
        takes it back first; it applies only to the lesson that stands, so that a redelivery changes nothing. A
        promotion of an unknown model, or a rollback to a version that is not kept, changes nothing (`ignored` counts
        them).
        """
        if offset < self.version:
            return
        self.version = offset + 1
        if isinstance(event, OutcomeLearned):
            self.profiles.fold(offset, key, self._learn(event))
            return
        self.profiles.fold(offset, key, event)
        done = True
        if isinstance(event, ModelPromoted):
            mind = self._minds[event.stream]
            done = mind.activation.promote(event.model, offset, mind.labels)
        elif isinstance(event, ModelFrozen):
            mind = self._minds[event.stream]
            mind.activation.freeze(offset, mind.labels)
        elif isinstance(event, ModelRolledBack):
            done = self._minds[event.stream].activation.roll_back(event.to_version)
        self.ignored += not done

    def appraise(self, filtered: ItemFiltered) -> Appraisal:
        """Score one filtered item with the model that decides for its stream."""
        mind = self._minds[filtered.item.stream]
        activation = mind.activation
        description = describe(filtered)
        if not self._exact:
            description = description.without_whole_declarations()
        if activation.standing is None:
            model, learnt, finds = mind.models[activation.name], mind.labels, mind.surge_finds
        else:  # what decides for travellers does not change by itself
            model, learnt, finds = activation.standing, activation.labels, _FINDS_AT_FIRST
        log_odds, rates = model.score(description)
        opened, flows = bool(rates) and rates[-1] > 0.0, description.flows
        return Appraisal(
            mind, model, description, flows, rates, log_odds, opened, self.version, learnt, finds, _NO_TRAFFIC
        )

    def explain(self, filtered: ItemFiltered, appraisal: Appraisal, limit: int = 5) -> tuple[Reason, ...]:
        """Say why, at most `limit` reasons whose weights sum to the log-odds."""
        mind = self._minds[filtered.item.stream]
        contributions = mind.activation.model.contributions(appraisal.description, appraisal.rates)
        return put_into_words(
            contributions, appraisal.log_odds, filtered, mind.champion.rates.counts, mind.usual, limit
        )

    def standings(self, stream: Stream) -> tuple[Standing, ...]:
        """Champion and challengers on the same latest lessons of a stream."""
        mind = self._minds[stream]
        deciding = mind.activation.name
        return tuple(book.standing(name, name == deciding) for name, book in mind.prequential.items())

    def lessons(self, stream: Stream) -> int:
        """How many lessons the models of a stream have learnt."""
        return self._minds[stream].labels

    def activation(self, stream: Stream) -> Activation:
        """What decides for a stream, and what can be rolled back to."""
        return self._minds[stream].activation

    def entries(self) -> int:
        """Weights, categories and decisions in memory (a metric)."""
        champions = {id(mind.champion): mind.champion for mind in self._minds.values()}
        return sum(len(one.learner) + len(one.rates) for one in champions.values()) + len(self._learnt)

    def _learn(self, event: OutcomeLearned) -> OutcomeLearned | None:
        """Let the models learn, or take back. What the profiles learn of it, None for nothing."""
        decision = event.decision_id
        wrong = self._standing.get(decision)
        if event.corrects is None:
            if decision in self._learnt:
                return None
        elif wrong is not None:
            if event.corrects != wrong.result_id:
                return None  # a redelivery
            self._take_back(event, wrong)
        standing, learnt = Learnt(event.result_id), event
        if event.outcome not in _TEACHES_NOTHING:
            day = event.inspected_at.timestamp() / _DAY
            if self.quarantine.admit(event.control_point, event.label, event.score, day) is None:
                standing = self._minds[event.stream].learn(event, new=wrong is None or wrong.number == 0)
            else:
                self.quarantined += 1
                standing = Learnt(event.result_id, event.label, score=event.score, day=day, held=True)
                learnt = msgspec.structs.replace(event, outcome="not-inspected")
        self._note(decision, standing)
        return learnt

    def _take_back(self, event: OutcomeLearned, wrong: Learnt) -> None:
        """Undo what stands of a decision; nothing when that was a lesson taken back already."""
        if wrong.number:
            self._minds[event.stream].unlearn(event.features, wrong)
        if wrong.number or wrong.held:
            self.quarantined -= wrong.held
            self.quarantine.take_back(event.control_point, wrong.label, wrong.score, wrong.day, held=wrong.held)

    def _note(self, decision: str, standing: Learnt) -> None:
        self._learnt[decision] = None
        if len(self._learnt) > _SEEN:
            del self._learnt[next(iter(self._learnt))]
        self._standing.pop(decision, None)
        self._standing[decision] = standing
        if len(self._standing) > _CORRECTABLE:
            del self._standing[next(iter(self._standing))]
