"""What borderflow is held against: chance, fixed rules, boosted trees retrained every week, and River's own learners.

Each strategy scores what it is shown and learns only from what it had inspected. All see the same items, as the
stream's own screening and filtering made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any, Protocol

import numpy as np
from river import compose, forest, linear_model, optim, preprocessing

from agents.identity import unit_hash
from agents.risk.features import Description
from agents.risk.rates import OutcomeRates


@dataclass(slots=True)
class Example:
    """One item as the baselines see it. `day` in days since the epoch; the label is known to the benchmark only.

    `parties`: whose prior records it comes with, the subject and the shipper if there is one.
    """

    item_id: str
    day: float
    control_point: str
    description: Description
    parties: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, str]:
        """Plain attributes by name, without crosses."""
        return dict(
            attribute.split("=", 1) for attribute in self.description.attributes if "*" not in attribute.split("=")[0]
        )


class Strategy(Protocol):
    """`explore` is the share of its picks that is drawn by chance."""

    name: str
    explore: float

    def score(self, examples: Sequence[Example]) -> list[float]:
        """Ranks; the highest are inspected."""

    def learn(self, examples: Sequence[Example], labels: Sequence[int]) -> None:
        """Outcomes of what it had inspected, in order of time."""


class Cost:
    """Seconds spent, by what they were spent on, as microseconds an item."""

    def __init__(self) -> None:
        self.seconds = {"score": 0.0, "learn": 0.0}
        self.items = {"score": 0, "learn": 0}

    def of(self, what: str) -> float:
        """Microseconds an item, 0 when there was none."""
        return 1e6 * self.seconds[what] / self.items[what] if self.items[what] else 0.0

    def add(self, what: str, items: int, since: float) -> None:
        """Count `items` done since `since` (process_time)."""
        self.seconds[what] += process_time() - since
        self.items[what] += items


class Chance:
    """A uniform draw."""

    name, explore = "random", 0.0

    def score(self, examples: Sequence[Example]) -> list[float]:
        return [unit_hash("random", example.item_id) for example in examples]

    def learn(self, examples: Sequence[Example], labels: Sequence[int]) -> None:
        """Chance learns nothing."""


class StaticRules:
    """A fixed list of what a targeteer without feedback would write: sensitive chapters, transit, cheap, unknown."""

    name, explore = "static rules", 0.0
    CHAPTERS = frozenset(("24", "22", "30", "33", "42", "61", "62", "64", "71", "85", "91", "95"))

    def score(self, examples: Sequence[Example]) -> list[float]:
        scores = []
        for example in examples:
            columns, quantities = example.columns, example.description.quantities
            points = 2.0 * (columns.get("hs2") in self.CHAPTERS)
            points += columns.get("departure") != columns.get("origin")
            points += quantities.get("duty-rate", 0.0) >= 2.0
            points += quantities.get("log-value-per-kg", 9.0) < 1.0
            points += columns.get("payment") == "cash"
            points += columns.get("booked") == "late"
            points += columns.get("one-way") == "yes"
            scores.append(points + unit_hash("rules", example.item_id))
        return scores

    def learn(self, examples: Sequence[Example], labels: Sequence[int]) -> None:
        """Rules do not learn."""


class WeeklyTrees:
    """Gradient-boosted trees, retrained every week on all labels so far: XGBoost (100 trees, depth 4) or LightGBM.

    Categories are numbered in order of appearance, as in the literature on the data set, and LightGBM is told which
    columns they are.
    """

    def __init__(self, library: str, explore: float = 0.0) -> None:
        self.library = library
        self.explore = explore
        self.name = library + (" + 10% random" if explore else " weekly")
        self._columns: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._rows: list[tuple[dict[str, str], dict[str, float]]] = []
        self._labels: list[int] = []
        self._model: Any = None
        self._trained_day = -1e9

    def score(self, examples: Sequence[Example]) -> list[float]:
        if examples and examples[0].day - self._trained_day >= 6.5 and len(set(self._labels)) == 2:
            self._train()
            self._trained_day = examples[0].day
        if self._model is None:
            return [unit_hash(self.name, example.item_id) for example in examples]
        matrix = self._matrix([(example.columns, example.description.quantities) for example in examples])
        if self.library == "XGBoost":
            return [float(score) for score in self._model.inplace_predict(matrix)]
        return [float(score) for score in self._model.predict(matrix)]

    def learn(self, examples: Sequence[Example], labels: Sequence[int]) -> None:
        self._rows += [(example.columns, example.description.quantities) for example in examples]
        self._labels += labels

    def _train(self) -> None:
        for columns, quantities in self._rows:
            for name in columns:
                self._columns.setdefault(name, len(self._columns))
            for name in quantities:
                self._numbers.setdefault(name, len(self._numbers))
        matrix, labels = self._matrix(self._rows, learning=True), np.array(self._labels)
        if self.library == "XGBoost":
            import xgboost

            self._model = xgboost.train(
                {"max_depth": 4, "eta": 0.3, "objective": "binary:logistic", "nthread": 1, "seed": 1},
                xgboost.DMatrix(matrix, labels),
                num_boost_round=100,
            )
        else:
            import lightgbm

            data = lightgbm.Dataset(
                matrix, labels, categorical_feature=list(range(len(self._columns))), params={"verbose": -1}
            )
            settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 1, "deterministic": True}
            settings |= {"num_leaves": 31, "min_data_in_leaf": 10, "cat_smooth": 5.0, "min_data_per_group": 5}
            self._model = lightgbm.train(settings, data, num_boost_round=100)

    def _matrix(self, rows: list[tuple[dict[str, str], dict[str, float]]], learning: bool = False) -> Any:
        wide = len(self._columns)
        matrix = np.full((len(rows), wide + len(self._numbers)), np.nan, dtype=np.float32)
        codes = self._codes
        for place, (columns, quantities) in enumerate(rows):
            for name, value in columns.items():
                column = self._columns.get(name)
                if column is None:
                    continue
                category = name + "=" + value
                code = codes.get(category)
                if code is None and learning:
                    code = codes[category] = len(codes)
                if code is not None:
                    matrix[place, column] = code
            for name, number in quantities.items():
                column = self._numbers.get(name)
                if column is not None:
                    matrix[place, wide + column] = number
        return matrix


class RiverLogistic:
    """River's logistic regression over one-hots, simple crosses and scaled numbers."""

    name, explore = "River LR", 0.0

    def __init__(self) -> None:
        self._scale: Any = preprocessing.StandardScaler()  # River's methods carry no types
        self._model: Any = linear_model.LogisticRegression(optimizer=optim.AdaGrad(0.1), intercept_lr=0.01)

    def _features(self, example: Example, learning: bool) -> dict[str, float]:
        if learning:
            self._scale.learn_one(example.description.quantities)
        features: dict[str, float] = dict(self._scale.transform_one(example.description.quantities))
        features.update(dict.fromkeys(example.description.attributes, 1.0))
        return features

    def score(self, examples: Sequence[Example]) -> list[float]:
        model = self._model
        return [model.predict_proba_one(self._features(example, False))[True] for example in examples]

    def learn(self, examples: Sequence[Example], labels: Sequence[int]) -> None:
        for example, label in zip(examples, labels, strict=True):
            self._model.learn_one(self._features(example, True), bool(label))


class RiverForest:
    """River's adaptive random forest (Gomes et al. 2017) over numbers and outcome rates at every level."""

    name, explore = "River ARF", 0.0

    def __init__(self, trees: int = 10) -> None:
        self._rates = OutcomeRates(1e6, smoothing=4.0, most=1e9)
        self._model = compose.Pipeline(forest.ARFClassifier(n_models=trees, seed=1, leaf_prediction="nba"))
        self._learnt = 0

    def _features(self, example: Example) -> dict[str, float]:
        description = example.description
        features = dict(description.quantities)
        for level, rate in zip(description.levels, self._rates.log_odds(description.levels), strict=True):
            features[level.partition("=")[0]] = rate
        return features

    def score(self, examples: Sequence[Example]) -> list[float]:
        if not self._learnt:
            return [unit_hash(self.name, example.item_id) for example in examples]
        model = self._model
        return [model.predict_proba_one(self._features(example)).get(True, 0.0) for example in examples]

    def learn(self, examples: Sequence[Example], labels: Sequence[int]) -> None:
        for example, label in zip(examples, labels, strict=True):
            self._model.learn_one(self._features(example), bool(label))
            self._rates.learn(example.description.levels, label)
            self._learnt += 1


def baselines(names: Sequence[str] | None = None) -> list[Strategy]:
    """All baselines, or those named."""
    found: list[Strategy] = [
        Chance(),
        StaticRules(),
        WeeklyTrees("XGBoost"),
        WeeklyTrees("LightGBM"),
        WeeklyTrees("XGBoost", explore=0.1),
        WeeklyTrees("LightGBM", explore=0.1),
        RiverLogistic(),
        RiverForest(),
    ]
    return [strategy for strategy in found if names is None or strategy.name in names]


def pick(examples: Sequence[Example], scores: Sequence[float], places: int, strategy: Strategy) -> list[int]:
    """Indices of the picked: the highest scores, and the strategy's share by chance. In the order of `examples`."""
    drawn = round(places * strategy.explore)
    ranked = sorted(range(len(examples)), key=lambda i: (-scores[i], i))
    picked = ranked[: places - drawn]
    if drawn:
        rest = sorted(ranked[places - drawn :], key=lambda i: unit_hash("explore", examples[i].item_id))
        picked += rest[:drawn]
    return sorted(picked)
