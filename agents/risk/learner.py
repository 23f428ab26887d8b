"""The champion: one online logistic regression over an item's attributes, quantities and outcome rates.

The arithmetic is that of River's `LogisticRegression(AdaGrad(lr))` (Duchi, Hazan and Singer 2011), bit for bit
(tests/unit/test_learner.py), in plain dictionaries: no per-call masks and no boxed vectors, so a score takes a
third of the time, the weights can be aged by event time, and memory is bounded.
"""

from __future__ import annotations

from math import exp, log

_LOG_2 = log(2.0)
_EPS = 1e-8


def logistic(log_odds: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    if log_odds >= 0.0:
        return 1.0 / (1.0 + exp(-log_odds if log_odds < 700.0 else -700.0))
    e = exp(-700.0 if log_odds < -700.0 else log_odds)
    return e / (1.0 + e)


class OnlineLogistic:
    """Sparse online logistic regression with AdaGrad steps; at most `capacity` weights are kept.

    `half_life_days` ages the weights and their accumulated squared gradients alike (None: never), so a world that
    drifts is learnt anew at the pace of the first days. When more than `capacity` weights come, those with the least
    accumulated gradient, the least learnt ones, go; never those that it begins with.
    """

    __slots__ = (
        "_age",
        "_asked",
        "_day",
        "_first_g2",
        "_g2",
        "_start",
        "_tau",
        "capacity",
        "intercept",
        "intercept_rate",
        "rate",
        "weights",
    )

    def __init__(
        self,
        rate: float = 0.1,
        intercept_rate: float = 0.01,
        half_life_days: float | None = None,
        capacity: int = 300_000,
        intercept: float = 0.0,
        start: dict[str, float] | None = None,
        first_g2: float = 0.0,
    ) -> None:
        """`intercept` and `start` (weights by feature) are what it begins with; weights age towards `start`.

        `first_g2` is the squared gradient that every feature begins with. With 0, as in River, its first step is `rate`
        long however little there was to learn, and twenty new features of a clear item take twenty such steps.
        """
        self.rate = rate
        self._first_g2 = first_g2
        self.intercept_rate = intercept_rate
        self.intercept = intercept
        self._start = start or {}
        self.capacity = capacity
        self._tau = None if half_life_days is None else half_life_days / _LOG_2
        self._day: float | None = None
        self.weights: dict[str, float] = dict(self._start)
        self._g2: dict[str, float] = dict.fromkeys(self._start, first_g2)
        self._age: dict[str, float] = {}
        self._asked: dict[tuple[str, ...], list[float]] = {}  # until the next lesson

    def __len__(self) -> int:
        return len(self.weights)

    def weight(self, name: str) -> float:
        """The weight of one feature; 0 for one never learnt."""
        return self.weights.get(name, 0.0)

    def of(self, names: tuple[str, ...]) -> list[float]:
        """The weights of features that every item has, 0 where never learnt."""
        held = self._asked.get(names)
        if held is None:
            held = self._asked[names] = [self.weights.get(name, 0.0) for name in names]
        return held

    def log_odds(self, x: dict[str, float]) -> float:
        """The score of a feature dictionary."""
        weights = self.weights
        total = 0.0
        for name, value in x.items():
            weight = weights.get(name)
            if weight is not None:
                total += weight * value
        return total + self.intercept

    def learn(self, x: dict[str, float], label: int, weight: float = 1.0, day: float | None = None) -> float:
        """One step on the logistic loss. `day` (days since the epoch) ages what the step touches.

        Returns the gradient that the step went along, for `unlearn`.
        """
        if day is not None and self._tau is not None:
            self._age_touched(x, day)
        self._asked.clear()
        gradient = _loss_gradient(self.log_odds(x), label) * weight
        self.intercept -= self.intercept_rate * gradient
        weights, g2, rate, first = self.weights, self._g2, self.rate, self._first_g2
        for name, value in x.items():
            g = value * gradient
            squared = g2.get(name, first) + g**2
            g2[name] = squared
            weights[name] = weights.get(name, 0.0) - rate / (squared + _EPS) ** 0.5 * g
        if len(weights) > self.capacity:
            self._shed()
        return gradient

    def unlearn(self, x: dict[str, float], gradient: float) -> None:
        """Take back a step that went along `gradient`: exactly when no weight of it was learnt on since.

        Otherwise the step back is made with the squared gradients of today, which are no smaller unless they were aged:
        a weight moves by no more than `rate`, and what others learnt since stays.
        """
        self._asked.clear()
        self.intercept += self.intercept_rate * gradient
        weights, g2, rate = self.weights, self._g2, self.rate
        for name, value in x.items():
            if name not in weights:
                continue
            g = value * gradient
            squared = max(g2[name], g**2)
            weights[name] += rate / (squared + _EPS) ** 0.5 * g
            g2[name] = squared - g**2

    def _age_touched(self, x: dict[str, float], day: float) -> None:
        if self._day is None or day > self._day:
            self._day = day
        today = self._day
        tau = self._tau
        assert tau is not None  # noqa: S101  the caller checked; for the type checker only
        weights, g2, age, start, first = self.weights, self._g2, self._age, self._start, self._first_g2
        for name in x:
            since = age.get(name)
            age[name] = today
            if since is not None and today > since:
                kept = exp(-(today - since) / tau)
                anchor = start.get(name, 0.0)
                weights[name] = anchor + (weights[name] - anchor) * kept
                g2[name] = first + (g2[name] - first) * kept

    def _shed(self) -> None:
        g2 = self._g2
        learnt = [name for name in g2 if name not in self._start]
        order = sorted(learnt, key=g2.__getitem__)  # stable: among equals the oldest goes first
        for name in order[: len(g2) - int(self.capacity * 0.9)]:
            del g2[name]
            del self.weights[name]
            self._age.pop(name, None)


def _loss_gradient(log_odds: float, label: int) -> float:
    """d loss / d log-odds of log(1 + exp(-y z)), y in {-1, 1}; clipped where exp would overflow."""
    y = 1 if label else -1
    z = log_odds * y
    if z > 18.0:
        return exp(-z) * -y
    if z < -18.0:
        return float(-y)
    return -y / (exp(z) + 1.0)
