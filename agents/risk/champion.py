"""The model that decides: outcome rates at many levels feeding one online logistic regression, per stream.

`features` is what an alert carries and what is learnt from later: attributes as 1, quantities, and `rate:<category>`
with the rate as it stood. The linear model sees a rate under its level (`rate:hs6`), so one weight says how far the
rates of that level are to be trusted.
"""

from __future__ import annotations

from agents.risk.features import Description
from agents.risk.learner import OnlineLogistic
from agents.risk.rates import OutcomeRates

RATE = "rate:"


class Champion:
    """Scores descriptions and learns features as they were scored."""

    __slots__ = ("learner", "rates")

    def __init__(self) -> None:
        self.learner = OnlineLogistic()
        self.rates = OutcomeRates(half_life_days=60.0)

    def features(self, description: Description) -> dict[str, float]:
        """The features as they stand now."""
        features = dict.fromkeys(description.attributes, 1.0)
        features.update(description.quantities)
        for category, rate in self.rates.log_odds(description.attributes):
            features[RATE + category] = rate
        return features

    def log_odds(self, features: dict[str, float]) -> float:
        """The score of features."""
        return self.learner.log_odds(_seen_by_learner(features))

    def contributions(self, features: dict[str, float]) -> list[tuple[str, float]]:
        """What each feature adds to the log-odds. The intercept is not among them."""
        weight = self.learner.weight
        return [(name, weight(_weight_name(name)) * value) for name, value in features.items()]

    def learn(self, features: dict[str, float], label: int, weight: float, day: float) -> None:
        """Learn one outcome from the features as they were scored."""
        self.learner.learn(_seen_by_learner(features), label, weight, day)
        self.rates.advance(day)
        self.rates.learn([name for name in features if "=" in name and not name.startswith(RATE)], label, weight)


def _weight_name(name: str) -> str:
    return name.partition("=")[0] if name.startswith(RATE) else name


def _seen_by_learner(features: dict[str, float]) -> dict[str, float]:
    return {_weight_name(name): value for name, value in features.items()}
