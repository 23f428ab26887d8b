"""What a look is worth at a flow at which nobody looked for long, in the measure of the score that it competes with.

Two things are learnt, once for cargo and once for travellers. What such looks found lately: where they find nothing,
they become rare. And what scores have meant: where a model explores, a score of .15 may have led to finds in one of
fifty, and taken at its word it would crowd out looks that find more, and that open what the model then follows. So
worth is turned into the score that has meant as much (docs/adr/0019).
"""

from __future__ import annotations

from bisect import bisect_left
from math import log
from typing import Final

from agents.risk.learner import logistic
from agents.risk.standings import FadingTally

LOOKS: Final = 400.0
"""Latest such looks over which their share of finds is kept."""
FINDS_AT_FIRST: Final = 0.02
CHANCE_FINDS: Final = 0.005
"""Share of finds that lead nowhere: of what is illicit by itself, and not because its flow has turned."""
_LESSONS: Final = 1000.0
_LOWEST, _WIDTH, _BINS = -6.0, 0.5, 17
_IMAGINED: Final = 5.0
_SHARPEST: Final = 1e-6
_MIDDLES: Final = tuple(_LOWEST + _WIDTH * (i + 0.5) for i in range(_BINS))


class Meaning(FadingTally):
    """What scores have meant: the share of finds of inspected items, a function that rises with the score.

    Lessons are counted in half units of log-odds, each with five imagined ones that the score is true of, and pooled
    until the shares rise (isotonic regression by pooling adjacent violators; Ayer et al. 1955, "An empirical
    distribution function for sampling with incomplete information").
    """

    __slots__ = ("_shares", "_where")

    def __init__(self) -> None:
        super().__init__(_BINS, _LESSONS, _bin)
        self._shares: list[float] = []  # rising; empty when they must be made anew
        self._where: list[float] = []  # log-odds of each

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


class Patrols:
    """What looks at flows at which nobody looked for long have found, and what scores have meant."""

    __slots__ = ("finds", "meaning")

    def __init__(self) -> None:
        self.finds = FINDS_AT_FIRST
        self.meaning = Meaning()

    def learn(self, score: float, label: int, *, patrol: bool) -> None:
        """Take in an outcome, `patrol` when the item was inspected for nothing else than such a look."""
        self.meaning.note(score, label)
        if patrol:
            self.finds += (label - self.finds) / LOOKS

    def rank(self, worth: float, unseen: float) -> float:
        """The score that a look competes as; `worth` in multiples of what such looks find, `unseen` 0 to 1."""
        share = _share(self.finds, worth, unseen)
        return self.meaning.score_of(share) if share > 0.0 else 0.0


def constant_rank(worth: float, unseen: float) -> float:
    """The same for travellers: what decides about them does not change by itself (EU C-817/19)."""
    return _share(FINDS_AT_FIRST, worth, unseen)


def _share(finds: float, worth: float, unseen: float) -> float:
    return worth * (finds - CHANCE_FINDS) * unseen


def _bin(score: float) -> int:
    sure = min(max(score, _SHARPEST), 1.0 - _SHARPEST)
    return min(max(int((log(sure / (1.0 - sure)) - _LOWEST) / _WIDTH), 0), _BINS - 1)
