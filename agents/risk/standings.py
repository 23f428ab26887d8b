"""How models do on lessons that they have not learnt yet, and what a score has meant where it was inspected."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import exp, log

import msgspec

from agents.risk.learner import logistic

WINDOW = 500
BINS = 20
_ENOUGH = 30.0
_MISTAKE = -1


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A model on the latest lessons (at most 500), each scored before it was learnt.

    `finds` are those of them that were illicit. `log_loss` in nats; `ranking` is the share of (find, clear) pairs that
    it ranked the right way round (AUC), None while there is only one kind, and chance while there are few finds. Only
    inspected items have labels, so both speak of what was inspected.
    """

    model: str
    lessons: int
    finds: int
    log_loss: float
    ranking: float | None
    decides: bool


class Prequential:
    """The latest scores and labels of one model."""

    __slots__ = ("_latest", "lessons")

    def __init__(self) -> None:
        self._latest: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self.lessons = 0

    def note(self, log_odds: float, label: int) -> None:
        """Take in a score and what came out. Its number is `lessons` afterwards."""
        self._latest.append((log_odds, label))
        self.lessons += 1

    def forget(self, number: int) -> None:
        """Leave a lesson out that was a mistake, if it is among the latest."""
        place = len(self._latest) - 1 - (self.lessons - number)
        if 0 <= place < len(self._latest):
            self._latest[place] = (0.0, _MISTAKE)

    def standing(self, model: str, decides: bool) -> Standing:
        """Where the model stands."""
        loss = 0.0
        latest = [(log_odds, label) for log_odds, label in self._latest if label != _MISTAKE]
        for log_odds, label in latest:
            p = min(max(logistic(log_odds), 1e-6), 1.0 - 1e-6)
            loss -= log(p) if label else log(1.0 - p)
        finds = [log_odds for log_odds, label in latest if label]
        clears = [log_odds for log_odds, label in latest if not label]
        ranking = None
        if finds and clears:
            right = sum((find > clear) + 0.5 * (find == clear) for find in finds for clear in clears)
            ranking = right / (len(finds) * len(clears))
        held = len(latest)
        return Standing(
            model=model,
            lessons=self.lessons,
            finds=len(finds),
            log_loss=loss / held if held else 0.0,
            ranking=ranking,
            decides=decides,
        )


def twentieth(score: float) -> int:
    """Which twentieth of the range of scores, 0 to 19, a score falls in."""
    i = int(score * BINS)
    return 0 if i < 0 else i if i < BINS else BINS - 1


class FadingTally:
    """Inspected items and finds by the bin of their score. Evidence halves every `half_life` lessons."""

    __slots__ = ("_bin_of", "_fade", "finds", "inspected", "lessons")

    def __init__(self, bins: int, half_life: float, bin_of: Callable[[float], int]) -> None:
        """`bin_of` is score -> bin, from 0 to `bins` - 1."""
        self._bin_of = bin_of
        self._fade = log(2.0) / half_life
        self.inspected = [0.0] * bins
        self.finds = [0.0] * bins
        self.lessons = 0

    def note(self, score: float, label: int) -> None:
        """Take in the score of an inspected item and what came out. Its number is `lessons` afterwards."""
        self.lessons += 1
        fade = exp(-self._fade)
        self.inspected = [held * fade for held in self.inspected]
        self.finds = [held * fade for held in self.finds]
        i = self._bin_of(score)
        self.inspected[i] += 1.0
        self.finds[i] += label

    def forget(self, score: float, label: int, number: int) -> None:
        """Take a lesson out again that was a mistake, as far as it has not faded."""
        i = self._bin_of(score)
        left = exp(-self._fade * (self.lessons - number))
        self.inspected[i] = max(0.0, self.inspected[i] - left)
        self.finds[i] = max(0.0, self.finds[i] - left * label)


class InspectedBand(FadingTally):
    """Where a score may be published as a probability: in those twentieths of its range that were inspected lately.

    Elsewhere scores overestimate 1.3 to 2.2 times, and nothing inspected there could say so. Within, the probability
    is the share of finds among the inspected of the same twentieth, drawn to the score by ten imagined ones. Evidence
    halves every 500 lessons.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(BINS, WINDOW, twentieth)

    def probability(self, score: float) -> float | None:
        """The probability that goes with a score, None outside the band."""
        i = twentieth(score)
        inspected = self.inspected[i]
        if inspected < _ENOUGH:
            return None
        return (self.finds[i] + 10.0 * score) / (inspected + 10.0)
