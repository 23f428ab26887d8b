"""The model that decides: outcome rates at many levels feeding one online logistic regression, per stream.

`features` is what an alert carries and what is learnt from later: attributes as 1, quantities, and `rate:<category>`
with the rate of each level as it stood when the item was scored. The linear model sees a rate under its level
(`rate:hs6`), so one weight says how far the rates of that level are to be trusted.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

import msgspec

from agents.risk.features import FLOW, FLOW_KINDS, RATE, Description
from agents.risk.learner import OnlineLogistic
from agents.risk.moments import Scale
from agents.risk.rates import OutcomeRates

_FLOW_RATE: Final = RATE + FLOW
FLOW_RATES: Final = tuple(_FLOW_RATE + kind for kind in FLOW_KINDS)


class Learning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the champion learns. The defaults are those of docs/models.md.

    Of outcomes at their levels, `rates_most` are remembered at each and halve in `rates_half_life_days`; `smoothing` is
    how many outcomes at the base rate stand beside them. `first_g2` is the squared gradient that a weight begins with,
    so that a first lesson that says little moves it little; `steps` is how many gradient steps one label is worth.
    `weights_half_life_days` None: for ever. `intercept` is the log-odds of an item of which nothing is known, `flow`
    the weight that evidence about an item's flow begins with and, with a half-life, goes back to.
    """

    rate: float = 0.1
    first_g2: float = 0.05
    intercept_rate: float = 0.01
    steps: int = 1
    weights_half_life_days: float | None = None
    rates_half_life_days: float = 1000.0
    rates_most: float = 50.0
    smoothing: float = 1.0
    intercept: float = -3.5
    flow: float = 1.0
    weights: int = 300_000
    categories: int = 300_000


def blank(learning: Learning, half_life_days: float | None) -> OnlineLogistic:
    """The regression before its first lesson."""
    return OnlineLogistic(
        learning.rate,
        learning.intercept_rate,
        half_life_days,
        learning.weights,
        learning.intercept,
        dict.fromkeys(FLOW_RATES, learning.flow),
        learning.first_g2,
    )


class Champion:
    """Scores descriptions and learns features as they were scored."""

    __slots__ = ("_steps", "learner", "rates", "scale")

    def __init__(self, learning: Learning | None = None) -> None:
        learning = learning or Learning()
        self._steps = learning.steps
        self.learner = blank(learning, learning.weights_half_life_days)
        self.scale = Scale()
        self.rates = OutcomeRates(
            learning.rates_half_life_days, learning.smoothing, learning.rates_most, learning.categories
        )

    def score(self, description: Description) -> tuple[float, list[float]]:
        """The log-odds of an item, and the rates at its levels as they stand now."""
        learner, known = self.learner, self.scale.known
        total, weight_of = learner.intercept, learner.weights.get
        for name in description.attributes:
            weight = weight_of(name)
            if weight is not None:
                total += weight
        for name, value in description.quantities.items():
            weight = weight_of(name)
            if weight is not None:
                mean, per = known[name]
                total += weight * ((value - mean) * per)
        return self.rates.weighed(description.levels, learner.of(description.rate_names), total)

    def adds(self, quantities: dict[str, float]) -> float:
        """What quantities that come beside a description add to its log-odds."""
        known, weight_of = self.scale.known, self.learner.weights.get
        total = 0.0
        for name, value in quantities.items():
            weight = weight_of(name)
            if weight is not None:
                mean, per = known[name]
                total += weight * ((value - mean) * per)
        return total

    def log_odds(self, features: dict[str, float]) -> float:
        """The score of features as they were scored once."""
        return self.learner.log_odds(self.inputs(features))

    def inputs(self, features: dict[str, float]) -> dict[str, float]:
        """Features as the regression sees them: rates under their levels, quantities standardised."""
        standard = self.scale.standard
        return {weight_name(name): value if "=" in name else standard(name, value) for name, value in features.items()}

    def contributions(self, description: Description, rates: list[float]) -> dict[str, float]:
        """What each thing about an item adds to the log-odds, the intercept left out.

        What a category says as an attribute and as an outcome rate is one contribution, under the category's name.
        """
        weights = self.learner.weights
        found = {}
        for name in description.attributes:
            if name in weights:
                found[name] = weights[name]
        for name, value in description.quantities.items():
            if name in weights:
                found[name] = weights[name] * self.scale.standard(name, value)
        for name, category, rate in zip(description.rate_names, description.levels, rates, strict=True):
            if rate != 0.0 and name in weights:
                found[category] = found.get(category, 0.0) + weights[name] * rate
        return found

    def learn(self, features: dict[str, float], label: int, weight: float, day: float) -> float:
        """Learn one outcome from the features as they were scored. `day` is days since the epoch.

        Returns the gradient (the sum of its steps'), for `unlearn`.
        """
        self.scale.note(_quantities(features))
        x = self.inputs(features)
        gradient = 0.0
        for _ in range(self._steps):
            gradient += self.learner.learn(x, label, weight, day)
        self.rates.advance(day)
        self.rates.learn(_levels(features), label, weight)
        return gradient

    def unlearn(self, features: dict[str, float], label: int, weight: float, gradient: float, day: float) -> None:
        """Take back an outcome that was learnt along `gradient` when the rates stood at `day`.

        What it added to the evidence of the item's flow is taken back apart.
        """
        self.learner.unlearn(self.inputs(features), gradient)
        self.scale.take_back(_quantities(features))
        self.rates.unlearn(_levels(features), label, weight, day)


def flow_of(features: dict[str, float]) -> str:
    """The flow of an item that was scored with these features, empty without one."""
    return next((name[len(RATE) :] for name in features if name.startswith(_FLOW_RATE)), "")


def _levels(features: dict[str, float]) -> list[str]:
    return [name[len(RATE) :] for name in features if name.startswith(RATE)]


def _quantities(features: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in features.items() if "=" not in name}


def as_scored(description: Description, rates: list[float]) -> dict[str, float]:
    """The features of an item by name, to be learnt from when its outcome is known."""
    features = dict.fromkeys(description.attributes, 1.0)
    features.update(description.quantities)
    for category, rate in zip(description.levels, rates, strict=True):
        features[RATE + category] = rate
    return features


def bounded(features: dict[str, float]) -> dict[str, float]:
    """Features that no learner can choke on: finite, and within +-1000 (our own are within 35)."""
    return {name: max(-1000.0, min(1000.0, value)) for name, value in features.items() if isfinite(value)}


def is_open(features: dict[str, float]) -> bool:
    """Whether something had been found in the item's flow when it was scored, and not been outweighed since."""
    return any(value > 0.0 for name, value in features.items() if name.startswith(_FLOW_RATE))


def weight_name(name: str) -> str:
    """The weight that a feature goes with: a rate's is that of its level, any other feature has its own."""
    return name.partition("=")[0] if name.startswith(RATE) else name
