"""What scores and looks compete as for one bar: numbers that are worth the same where they are equal.

What a score means depends on what is known of the item's flow. Where something was found in it, a score of .1 may lead
to finds in one of ten; where nothing was, the same score in one of a hundred, because the model has only seen others
like it. And a look at a flow at which nobody looked for long has no score at all, but a share of finds, as have repeat
offenders and unusual items that the model does not select. So it is learnt, once for cargo and once for travellers,
what scores have meant at flows that were *opened* by a find and what at others, and what looks, by how busy the flow
is, and layers below the bar found lately. An item of a flow that is not open competes as the score that has meant as
much at open ones, and so do the others; less where little comes, because a find there leads to few more
(docs/adr/0019, 0020, 0023).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import log
from typing import Final

from agents.risk.learner import logistic
from agents.risk.standings import FadingTally
from schemas.decisions import Layer

TRIED: Final[tuple[Layer, ...]] = ("profile", "anomaly")
"""Layers that select items below the bar, as long as that is worth it."""
LOOKS: Final = 400.0
"""Latest such looks over which their shares of finds are kept."""
FINDS_AT_FIRST: Final = 0.02
CHANCE_FINDS: Final = 0.005
"""Share of finds that lead nowhere: of what is illicit by itself, and not because its flow has turned."""
_BUSY: Final = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
"""Items a day that tell apart how busy flows are: a scheme hides in traffic of its own size."""
_AS_ALL: Final = 25.0
"""Imagined looks at flows of each kind that found what all such looks find."""
_RETURN: Final = 15_000.0
"""Other lessons in which 63% of what looks did not find is forgotten: else none would ever be tried again."""
LAYER_AT_FIRST: Final = 0.05
"""Share of finds of repeat offenders and unusual items that are selected below the bar, before the first."""
_LAYER_LATEST, _LAYER_RETURN = 100.0, 2_000.0
_LESSONS: Final = 1000.0
_LOWEST, _WIDTH, _BINS = -6.0, 0.5, 17
_IMAGINED: Final = 5.0
_TRUST: Final = 0.9
"""Of what scores have meant; a tenth is their own word, so that scores that have meant the same keep their order."""
_ALONE: Final = 0.3
"""What a find that leads to no other is worth, of one in a busy flow."""
_SHARPEST: Final = 1e-6
_MIDDLES: Final = tuple(_LOWEST + _WIDTH * (i + 0.5) for i in range(_BINS))


class Meaning(FadingTally):
    """What scores have meant: the share of finds of inspected items, a function that rises with the score.

    Lessons are counted in half units of log-odds, each with five imagined ones that the score is true of, and pooled
    until the shares rise (isotonic regression by pooling adjacent violators; Ayer et al. 1955, "An empirical
    distribution function for sampling with incomplete information").
    """

    __slots__ = ("_fitted", "_shares", "_where")

    def __init__(self) -> None:
        super().__init__(_BINS, _LESSONS, _bin)
        self._shares: list[float] = []  # rising; empty when they must be made anew
        self._where: list[float] = []  # log-odds of each
        self._fitted: list[float] = []

    def note(self, score: float, label: int) -> None:
        super().note(score, label)
        self._shares = []

    def forget(self, score: float, label: int, number: int) -> None:
        super().forget(score, label, number)
        self._shares = []

    def score_of(self, share: float) -> float:
        """The score, 0 to 1, that has meant such a share of finds."""
        if not self._shares:
            self._pool()
        shares, where = self._shares, self._where
        i = bisect_left(shares, share)
        if i == 0:
            return logistic(where[0]) * share / shares[0]
        if i == len(shares):
            return logistic(where[-1])
        part = (share - shares[i - 1]) / (shares[i] - shares[i - 1])
        return logistic(where[i - 1] + part * (where[i] - where[i - 1]))

    def fitted(self) -> list[float]:
        """The share of finds of each bin, rising."""
        if not self._shares:
            self._pool()
        return self._fitted

    def _pool(self) -> None:
        blocks: list[tuple[float, float, float, int]] = []  # finds, inspected, sum of log-odds, bins
        for i, middle in enumerate(_MIDDLES):
            block = (self.finds[i] + _IMAGINED * logistic(middle), self.inspected[i] + _IMAGINED, middle, 1)
            while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
                below = blocks.pop()
                block = (below[0] + block[0], below[1] + block[1], below[2] + block[2], below[3] + block[3])
            blocks.append(block)
        self._shares = [finds / inspected for finds, inspected, _, _ in blocks]
        self._where = [where / bins for _, _, where, bins in blocks]
        self._fitted = [share for share, (*_, bins) in zip(self._shares, blocks, strict=True) for _ in range(bins)]


class LayerFinds:
    """What the selections of one layer have found lately that nothing else would have selected."""

    __slots__ = ("share",)

    def __init__(self) -> None:
        self.share = LAYER_AT_FIRST

    def learn(self, label: int) -> None:
        """Take in what came of one."""
        self.share += (label - self.share) / _LAYER_LATEST

    def rest(self) -> None:
        """Another lesson: what was found long ago says less and less, so that the layer is tried again."""
        self.share += (LAYER_AT_FIRST - self.share) / _LAYER_RETURN


class Looks:
    """What looks at flows at which nobody looked for long have found, of all and by how busy the flow is."""

    __slots__ = ("_busy", "finds")

    def __init__(self) -> None:
        self.finds = FINDS_AT_FIRST
        self._busy = [[0.0, 0.0] for _ in range(len(_BUSY) + 1)]  # looks and finds

    def learn(self, daily: float, label: int) -> None:
        """Take in what a look found at a flow of so many items a day, or 0 for another lesson."""
        kept = 1.0 - 1.0 / (LOOKS if daily else _RETURN)
        for tally in self._busy:
            tally[0] *= kept
            tally[1] *= kept
        self.finds = kept * self.finds + (1.0 - kept) * (label if daily else FINDS_AT_FIRST)
        if not daily:
            return
        tally = self._busy[bisect_right(_BUSY, daily)]
        tally[0] += 1.0
        tally[1] += label

    def share(self, daily: float) -> float:
        """The share of finds in looks at flows that are as busy."""
        looks, finds = self._busy[bisect_right(_BUSY, daily)]
        return (finds + _AS_ALL * self.finds) / (looks + _AS_ALL)


class Ranks:
    """What scores have meant, at open flows and at others, and what looks have found where nobody looked for long."""

    __slots__ = ("_steps", "layers", "looks", "opened", "unopened")

    def __init__(self) -> None:
        self.looks = Looks()
        self.layers = {layer: LayerFinds() for layer in TRIED}
        self.opened, self.unopened = Meaning(), Meaning()
        self._steps: list[float] = []  # what is added to log-odds, at the middle of each bin; empty: to be made anew

    def learn(self, score: float, label: int, *, opened: bool, looked: float = 0.0, layer: Layer = "model") -> None:
        """Take in an outcome, and the layer that selected the item.

        `looked`: the items a day of its flow, when it was inspected because nobody had looked there for long.
        """
        self.of(opened).note(score, label)
        self.looks.learn(looked, label)
        for name, finds in self.layers.items():
            if name == layer:
                finds.learn(label)
            else:
                finds.rest()
        self._steps = []

    def forget(self, score: float, label: int, number: int, *, opened: bool) -> None:
        """Take an outcome out again that was a mistake, as far as it has not faded."""
        self.of(opened).forget(score, label, number)
        self._steps = []

    def of(self, opened: bool) -> Meaning:
        """What scores have meant at flows in which something was found, or at the others."""
        return self.opened if opened else self.unopened

    def unopened_rank(self, log_odds: float, busy: float) -> float:
        """The log-odds that an item competes as which scored `log_odds` and whose flow is not open.

        `busy`, 0 to 1: how much comes in the flow, and would be found there after a find.
        """
        if not self._steps:
            self._steps = self._made()
        steps = self._steps
        ranked = log_odds + log(_ALONE + (1.0 - _ALONE) * busy)
        place = (log_odds - _MIDDLES[0]) / _WIDTH
        if place <= 0.0:
            return ranked + steps[0]
        if place >= _BINS - 1:
            return ranked + steps[-1]
        i = int(place)
        return ranked + steps[i] + (place - i) * (steps[i + 1] - steps[i])

    def _made(self) -> list[float]:
        return [
            _TRUST * (_log_odds(self.opened.score_of(share)) - middle)
            for share, middle in zip(self.unopened.fitted(), _MIDDLES, strict=True)
        ]

    def look(self, worth: float, unseen: float, daily: float) -> float:
        """The score that a look competes as at a flow of so many items a day.

        `worth` is in multiples of what such looks find, `unseen` from 0 to 1.
        """
        share = _share(self.looks.share(daily), worth, unseen)
        return self.opened.score_of(share) if share > 0.0 else 0.0

    def below_bar(self, layer: Layer) -> float:
        """The score that a layer's items below the bar compete as: the one that has meant what it found lately."""
        return self.opened.score_of(self.layers[layer].share)


def constant_look(worth: float, unseen: float) -> float:
    """The same for travellers: what decides about them does not change by itself (EU C-817/19)."""
    return _share(FINDS_AT_FIRST, worth, unseen)


def _share(finds: float, worth: float, unseen: float) -> float:
    return worth * (finds - CHANCE_FINDS) * unseen


def _bin(score: float) -> int:
    return min(max(int((_log_odds(score) - _LOWEST) / _WIDTH), 0), _BINS - 1)


def _log_odds(score: float) -> float:
    sure = min(max(score, _SHARPEST), 1.0 - _SHARPEST)
    return log(sure / (1.0 - sure))
