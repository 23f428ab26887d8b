"""The brain: a fold of the one log of labelled examples into models and profiles.

Every worker folds the same log in the same order, so every copy is equal, and the version of the brain is the offset
after the last record folded: any decision can be scored again by folding to its version.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from agents.risk.champion import Champion, as_scored
from agents.risk.features import Description, describe
from agents.risk.learner import logistic
from agents.risk.reasons import put_into_words
from schemas.decisions import Reason
from schemas.inspections import ModelFrozen, ModelPromoted, ModelRolledBack, OutcomeLearned
from schemas.items import ItemFiltered, PriorRecord, Stream, Subject

STREAMS: tuple[Stream, ...] = ("manifests", "express-cargo", "passengers")
_DAY = 86400.0
_SEEN = 200_000


class ProfileBook(Protocol):
    """The prior records of subjects, folded from the same log (agents/risk/profiles.py)."""

    version: int

    def prior(self, subject: Subject) -> PriorRecord:
        """What the record knows of a subject."""

    def fold(self, offset: int, key: str | None, event: msgspec.Struct | None) -> None:
        """Fold one record of the log."""


class Appraisal:
    """What the model says of one item. `probability` is None outside the band where scores are calibrated.

    `learnt` is how many labels the model that decides for the item's stream has learnt from; 0 is a cold start.
    """

    __slots__ = ("_description", "_rates", "flows", "learnt", "log_odds", "model_version", "probability", "score")

    def __init__(
        self,
        description: Description,
        rates: list[float],
        log_odds: float,
        probability: float | None,
        model_version: int,
        learnt: int,
    ) -> None:
        self._description = description
        self._rates = rates
        self.flows = description.flows
        self.learnt = learnt
        self.log_odds = log_odds
        self.score = logistic(log_odds)
        self.probability = probability
        self.model_version = model_version

    @property
    def features(self) -> dict[str, float]:
        """The features as scored. Made when asked for: most items are never inspected, so nobody learns from them."""
        return as_scored(self._description, self._rates)


class Brain:
    """Models by stream, and the profiles, as they stand at `version`."""

    def __init__(self, profiles: ProfileBook) -> None:
        self.profiles = profiles
        self.version = 0
        self._champions = {stream: Champion() for stream in STREAMS}
        self._learnt: dict[str, None] = {}
        self._labels = dict.fromkeys(STREAMS, 0)

    def fold(self, offset: int, key: str | None, event: msgspec.Struct | None) -> None:
        """Fold the record at `offset`. A record at or below what was folded has no second effect."""
        if offset < self.version:
            return
        self.version = offset + 1
        self.profiles.fold(offset, key, event)
        match event:
            case OutcomeLearned():
                self._learn(event)
            case ModelPromoted() | ModelFrozen() | ModelRolledBack():
                pass
            case _:
                pass

    def appraise(self, filtered: ItemFiltered) -> Appraisal:
        """Score one filtered item with the model that decides for its stream."""
        stream = filtered.item.stream
        description = describe(filtered)
        log_odds, rates = self._champions[stream].score(description)
        return Appraisal(description, rates, log_odds, None, self.version, self._labels[stream])

    def explain(self, filtered: ItemFiltered, appraisal: Appraisal, limit: int = 5) -> tuple[Reason, ...]:
        """Say why, at most `limit` reasons whose weights sum to the log-odds."""
        champion = self._champions[filtered.item.stream]
        return put_into_words(
            champion.contributions(appraisal.features), appraisal.log_odds, filtered, champion.rates.counts, limit
        )

    def _learn(self, event: OutcomeLearned) -> None:
        if event.outcome in ("not-inspected", "passed-on"):
            return  # takes an earlier lesson back in the profiles and rates; a model cannot unlearn
        if event.decision_id in self._learnt and event.corrects is None:
            return
        self._learnt[event.decision_id] = None
        if len(self._learnt) > _SEEN:
            del self._learnt[next(iter(self._learnt))]
        self._labels[event.stream] += 1
        day = event.inspected_at.timestamp() / _DAY
        self._champions[event.stream].learn(event.features, event.label, event.weight, day)
