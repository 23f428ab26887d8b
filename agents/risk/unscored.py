"""Items that must be inspected whatever a model says, when it says nothing: its score is no finite number.

A model that is broken must not keep mandatory hits and direct criteria from officers. What stands in for its appraisal
has the lowest score, no features and no flows: it makes no claim, explains nothing and teaches little.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

from agents.risk import layers
from agents.risk.selectivity import Appraisal, Scorer
from schemas.decisions import Layer, Reason
from schemas.items import ItemFiltered

_LOWEST: Final = -20.0


class Unscored:
    """The appraisal of such an item; `broken` is what the model said."""

    __slots__ = ("features", "learnt", "model_version")

    flows: tuple[str, ...] = ()
    log_odds = _LOWEST
    surge_finds = 0.0

    def __init__(self, broken: Appraisal) -> None:
        self.features: dict[str, float] = {}
        self.learnt = broken.learnt
        self.model_version = broken.model_version

    def among(self, traffic: dict[str, float]) -> Unscored:
        """The same: nothing is asked of its traffic."""
        return self

    def probability(self, score: float) -> float | None:
        """Unknown."""
        return None

    def rank(self, busy: float) -> float:
        """The lowest: it makes no claim."""
        return _LOWEST

    def look(self, worth: float, unseen: float, daily: float) -> float:
        """Nothing: an item without flows is no look at one."""
        return 0.0

    def below_bar(self, layer: Layer) -> float:
        """Nothing: what orders the item needs no other layer."""
        return 0.0


def unscored(filtered: ItemFiltered, broken: Appraisal) -> Appraisal | None:
    """What stands in for an appraisal without a finite score; None for an item that cannot be decided without one."""
    direct = not filtered.auto_cleared and layers.effective(filtered.criteria, "direct")
    return Unscored(broken) if direct or layers.mandatory_hits(filtered.item.hits) else None


class Scores:
    """A brain whose scores can be decided by: where it gives no finite one, something stands in or nothing does."""

    __slots__ = ("_brain",)

    def __init__(self, brain: Scorer) -> None:
        self._brain = brain

    def appraise(self, filtered: ItemFiltered) -> Appraisal | None:
        """What the brain says, or what stands in for it; None for an item that cannot be decided without a score."""
        scored: Appraisal = self._brain.appraise(filtered)
        return scored if isfinite(scored.log_odds) else unscored(filtered, scored)

    def explain(self, filtered: ItemFiltered, appraisal: Any, limit: int = 5) -> tuple[Reason, ...]:
        """The brain's reasons; none of what stands in for its appraisal."""
        return () if isinstance(appraisal, Unscored) else self._brain.explain(filtered, appraisal, limit)
