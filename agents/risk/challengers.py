"""Models beside the champion: scored on every lesson before they learn it, within a budget, deciding nothing.

Two challengers ship. `forgetful` is the champion's own regression with weights that halve in 20 days: better where
schemes change faster than the champion forgets. `grove` is an ensemble of Hoeffding trees (Domingos and Hulten 2000;
River) over quantities and outcome rates: better where risk hangs on combinations that no cross names. A person
promotes one when it has been ahead for long enough (`borderflow models compare`, `promote`).
"""

from __future__ import annotations

from copy import deepcopy
from math import log
from typing import Any, Protocol

from agents.adding import added
from agents.identity import unit_hash
from agents.risk.champion import Champion, Learning, as_scored, blank, weight_name
from agents.risk.features import EVIDENCE, RATE, TIMES, Description

CHAMPION = "linear"
FORGETFUL = "forgetful"
GROVE = "grove"
MODELS = (CHAMPION, FORGETFUL, GROVE)


_TRAFFIC = frozenset((TIMES, EVIDENCE))
WARM = 500
SHARE = 0.05


def within_budget(stream: str, lesson: int) -> bool:
    """Whether challengers are scored on, and learn, a stream's lesson of this number: the first 500, then 5%.

    The champion learns every lesson in some 50 microseconds, the challengers need four times that. Drawn by number, the
    choice is the same in every worker, and models are compared on the same lessons.
    """
    return lesson <= WARM or unit_hash("challengers", stream, lesson) < SHARE


class Model(Protocol):
    """Anything that can decide for a stream."""

    def score(self, description: Description) -> tuple[float, list[float]]:
        """Log-odds, and the rates at the item's levels."""

    def adds(self, quantities: dict[str, float]) -> float:
        """What quantities that come beside a description add to its log-odds."""

    def log_odds(self, features: dict[str, float]) -> float:
        """The score of features as they were scored once."""

    def learn(self, features: dict[str, float], label: int, weight: float, day: float) -> float:
        """Learn one outcome; the gradient that `unlearn` takes, 0 for a model without one."""

    def unlearn(self, features: dict[str, float], label: int, weight: float, gradient: float, day: float) -> None:
        """Take back an outcome that was a mistake, as well as the model can."""

    def contributions(self, description: Description, rates: list[float]) -> dict[str, float]:
        """What each thing about an item adds to the log-odds; what they do not sum to is the remainder."""


class Forgetful:
    """The champion's regression over the champion's rates, with weights that fade."""

    def __init__(self, champion: Champion, half_life_days: float = 20.0) -> None:
        self._champion = champion
        self._learner = blank(Learning(), half_life_days)

    def score(self, description: Description) -> tuple[float, list[float]]:
        """Log-odds, and the champion's rates."""
        rates = self._champion.rates.log_odds(description.levels)
        return self.log_odds(as_scored(description, rates)), rates

    def adds(self, quantities: dict[str, float]) -> float:
        """What quantities of traffic add."""
        weight, standard = self._learner.weight, self._champion.scale.standard
        return added([weight(name) * standard(name, value) for name, value in quantities.items()])

    def log_odds(self, features: dict[str, float]) -> float:
        """The score of features."""
        return self._learner.log_odds(self._champion.inputs(features))

    def learn(self, features: dict[str, float], label: int, weight: float, day: float) -> float:
        """One step; the rates are the champion's and learn there."""
        return self._learner.learn(self._champion.inputs(features), label, weight, day)

    def unlearn(self, features: dict[str, float], label: int, weight: float, gradient: float, day: float) -> None:
        """One step back."""
        self._learner.unlearn(self._champion.inputs(features), gradient)

    def contributions(self, description: Description, rates: list[float]) -> dict[str, float]:
        """What each thing about an item adds to the log-odds."""
        weight, standard = self._learner.weight, self._champion.scale.standard
        found: dict[str, float] = {}
        for name, value in as_scored(description, rates).items():
            about = name.removeprefix(RATE)
            seen = value if "=" in name else standard(name, value)
            found[about] = found.get(about, 0.0) + weight(weight_name(name)) * seen
        return found


class Grove:
    """Three Hoeffding trees, each on its own draw of the lessons, averaged in log-odds."""

    def __init__(self, champion: Champion, trees: int = 3) -> None:
        self._champion = champion
        self._many = trees
        self._trees: list[Any] = []  # planted with the first lesson
        self._lessons = 0

    def score(self, description: Description) -> tuple[float, list[float]]:
        """Log-odds, and the champion's rates."""
        rates = self._champion.rates.log_odds(description.levels)
        return self.log_odds(as_scored(description, rates)), rates

    def adds(self, quantities: dict[str, float]) -> float:
        """Nothing: a tree's score is no sum, so the trees do not look at traffic."""
        return 0.0

    def log_odds(self, features: dict[str, float]) -> float:
        """The mean of the trees' log-odds, each within (-5, 5): a leaf is never certain."""
        if not self._trees:
            return 0.0
        x = _numbers(features)
        total = 0.0
        for one in self._trees:
            p = one.predict_proba_one(x).get(True, 0.0)
            p = p if p == p else 0.5  # a leaf of one value may answer NaN
            p = min(max(p, 0.0067), 0.9933)
            total += log(p / (1.0 - p))
        return total / len(self._trees)

    def learn(self, features: dict[str, float], label: int, weight: float, day: float) -> float:
        """Teach the trees that drew this lesson."""
        if not self._trees:
            self._trees = [_planted() for _ in range(self._many)]
        self._lessons += 1
        x = _numbers(features)
        for number, one in enumerate(self._trees):
            draw = unit_hash("grove", number, self._lessons)
            if draw < 0.7:
                one.learn_one(x, bool(label), w=weight)
        return 0.0

    def unlearn(self, features: dict[str, float], label: int, weight: float, gradient: float, day: float) -> None:
        """Nothing: a split cannot be taken back. The trees learn what is put in its place."""

    def contributions(self, description: Description, rates: list[float]) -> dict[str, float]:
        """Trees have no additive weights: what the score loses without each of its numbers, for one at a time."""
        features = as_scored(description, rates)
        whole = self.log_odds(features)
        found = {}
        for name in features:
            if name.startswith(RATE) or "=" not in name:
                without = dict(features)
                without[name] = 0.0
                found[name.removeprefix(RATE)] = whole - self.log_odds(without)
        return found


def _planted() -> Any:
    from river import tree  # with it comes SciPy, which takes a second: workers import both beside their start

    return tree.HoeffdingTreeClassifier(
        grace_period=50, delta=1e-4, max_depth=8, leaf_prediction="mc", max_size=5.0
    )  # fmt: skip


def _numbers(features: dict[str, float]) -> dict[str, float]:
    return {
        weight_name(name): value
        for name, value in features.items()
        if name.startswith(RATE) or ("=" not in name and name not in _TRAFFIC)
    }


def copy_of(model: Model) -> Model:
    """A model that scores like this one, bit for bit, and stands still."""
    return deepcopy(model)
