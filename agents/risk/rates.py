"""How often each kind of item was found illicit: decayed counts of outcomes at many backoff levels.

A level is one attribute of an item (`hs6=851712`, `hs6*origin=851712*CN`). Its rate is the smoothed log-odds of the
labels so far, relative to the base rate of all labels, so that a category never inspected says exactly nothing:

    rate = log((positives + k p) / (negatives + k (1 - p))) - log(p / (1 - p))

with p the decayed base rate and k the smoothing (Micci-Barreca 2001, "A preprocessing scheme for high-cardinality
categorical attributes", with log-odds for means). A category forgets by what is learnt of it, more than by the
calendar: it never holds more than `most` outcomes, so that new ones of a busy flow replace old ones, while the one
find on a rare flow is remembered. Slowly, counts also halve every `half_life_days` of the time that the labels
themselves carry; they are kept inflated, so that one factor, not a walk over the table, ages them all.

The last category of an item may be its flow (`agents.risk.features.FLOW`). A flow turns, and turns back: what speaks
is not how often it was found illicit in months but whether it is so now. Its rate is a sum of evidence, the
log-likelihood ratio of each outcome of a flow that has turned against one that has not, bounded on both sides and
faded over `FLOW_DAYS`: a discounted CUSUM (Page 1954, "Continuous inspection schemes"). One find is enough to look
again at once, and a few clear results end it.
"""

from __future__ import annotations

from collections import OrderedDict
from math import exp, log

import msgspec

from agents.risk.features import FLOW

_LOG_2 = log(2.0)
_RENORMALISE_AT = 1e12
_PRIOR_POSITIVES = 1.0
_PRIOR_NEGATIVES = 9.0
FLOW_DAYS = 45.0
"""The time in which evidence about a flow falls to 37%: schemes stay on their way for some weeks."""
FOUND, CLEAR = 3.0, -0.5
"""Evidence of one outcome: a flow that has turned is illicit about every second time, another hardly ever."""
LEAST, MOST = -2.4, 4.5
_NO_EVIDENCE = 1e-9
"""What rounding leaves where finds were taken back: a flow is open as soon as anything speaks for it."""


class _Begun(msgspec.Struct, gc=False):
    """What all rates between two lessons share, and those that were asked for: traffic repeats itself."""

    shrink: float
    a: float
    b: float
    centre: float
    asked: dict[str, float]


class OutcomeRates:
    """Decayed counts of positive and negative labels by category; at most `capacity` categories are kept.

    When more come, the categories with the least decayed evidence go, a tenth at a time; ties go oldest first.
    """

    __slots__ = ("_base", "_begun", "_counts", "_day", "_evidence", "_growth", "_tau", "capacity", "most", "smoothing")

    def __init__(
        self, half_life_days: float, smoothing: float = 1.0, most: float = 50.0, capacity: int = 300_000
    ) -> None:
        self.smoothing = smoothing
        self.most = most
        self.capacity = capacity
        self._tau = half_life_days / _LOG_2
        self._counts: dict[str, list[float]] = {}
        # Evidence and its day, by flow; the latest touched last, the oldest found at once.
        self._evidence: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._base = [_PRIOR_POSITIVES, _PRIOR_NEGATIVES]
        self._day: float | None = None
        self._growth = 1.0
        self._begun: _Begun | None = None  # None after a lesson

    def __len__(self) -> int:
        return len(self._counts)

    def advance(self, day: float) -> None:
        """Age the counts to `day` (days since the epoch). Time that runs back ages nothing."""
        if self._day is None:
            self._day = day
            return
        if day <= self._day:
            return
        self._begun = None
        elapsed = min(day - self._day, 100.0 * self._tau)
        self._day = day
        growth = self._growth * exp(min(elapsed / self._tau, 600.0))
        if growth > _RENORMALISE_AT:
            self._rescale(growth)
            growth = 1.0
        self._growth = growth

    def learn(self, categories: list[str], label: int, weight: float = 1.0) -> None:
        """Count one outcome at every category of an item."""
        amount = weight * self._growth
        side = 0 if label else 1
        self._base[side] += amount
        self._begun = None
        counts = self._counts
        most = self.most * self._growth
        for category in categories:
            held = counts.get(category)
            if held is None:
                counts[category] = [amount, 0.0] if label else [0.0, amount]
                continue
            held[side] += amount
            total = held[0] + held[1]
            if total > most:
                kept = most / total
                held[0] *= kept
                held[1] *= kept
        if len(counts) > self.capacity:
            self._shed()
        if categories and categories[-1].startswith(FLOW):
            self._add(categories[-1], weight * (FOUND if label else CLEAR))

    @property
    def day(self) -> float:
        """The day that the counts stand at, in days since the epoch; 0 before the first."""
        return self._day or 0.0

    def unlearn(self, categories: list[str], label: int, weight: float, day: float) -> None:
        """Take back an outcome that was counted when the counts stood at `day`, aged as it has aged since.

        A category that was full gave up as much of its older outcomes for this one; they come back in their proportion.
        What was added to the evidence of a flow is taken back apart (`unlearn_flow`).
        """
        growth = self._growth * exp(-max(0.0, self.day - day) / self._tau)
        amount = weight * growth
        side = 0 if label else 1
        self._base[side] = max(0.0, self._base[side] - amount)
        self._begun = None
        full, nothing = self.most * growth * (1.0 - 1e-9), 1e-9 * self._growth
        for category in categories:
            held = self._counts.get(category)
            if held is None:
                continue
            total = held[0] + held[1]
            if total < full:
                held[side] = max(0.0, held[side] - amount)
            else:
                held[side] = max(0.0, held[side] - amount * self.most / (self.most + weight))
                left = held[0] + held[1]
                back = total / left if left > nothing else 1.0
                held[0] *= back
                held[1] *= back
            if held[0] + held[1] <= nothing:
                del self._counts[category]

    def unlearn_flow(self, flow: str, added: float, day: float) -> None:
        """Take back what an outcome added to the evidence of a flow when the rates stood at `day`.

        Evidence is bounded, so a find may have added less than it weighs: only whoever saw it before and after can say.
        """
        if flow in self._evidence:
            self._add(flow, -added * exp(-max(0.0, self.day - day) / FLOW_DAYS))

    def base(self) -> float:
        """The decayed share of positive labels, in (0, 1)."""
        positives, negatives = self._base
        shrink = 1.0 / self._growth
        return (positives * shrink + 0.01) / ((positives + negatives) * shrink + 0.1)

    def log_odds(self, categories: list[str]) -> list[float]:
        """The rates of `categories`, in order; exactly 0 for one that was never inspected."""
        return self.weighed(categories, [0.0] * len(categories), 0.0)[1]

    def weighed(self, categories: list[str], weights: list[float], total: float) -> tuple[float, list[float]]:
        """`total` and what the rates of `categories` add to it, each by its weight; and the rates, in order."""
        if not categories:
            return total, []
        asked, counts = (self._begun or self._begin()).asked, self._counts
        found = [0.0] * len(categories)
        for i, category in enumerate(categories[:-1]):
            if category in counts:
                rate = asked.get(category)
                if rate is None:
                    rate = self._rate(category)
                total += weights[i] * rate
                found[i] = rate
        last, rate = categories[-1], 0.0
        if last in self._evidence:
            rate = self.evidence(last)
        elif last in counts and not last.startswith(FLOW):
            rate = self._rate(last)
        found[-1] = rate
        return total + weights[-1] * rate, found

    def _rate(self, category: str) -> float:
        begun = self._begun or self._begin()
        positives, negatives = self._counts[category]
        odds = (positives * begun.shrink + begun.a) / (negatives * begun.shrink + begun.b)
        rate = begun.asked[category] = log(odds) - begun.centre
        return rate

    def _begin(self) -> _Begun:
        shrink, base = 1.0 / self._growth, self.base()
        a, b = self.smoothing * base, self.smoothing * (1.0 - base)
        self._begun = _Begun(shrink, a, b, log(a / b), {})
        return self._begun

    def evidence(self, flow: str) -> float:
        """What speaks for a flow having turned, in log-odds; exactly 0 for one that was never inspected."""
        held = self._evidence.get(flow)
        if held is None:
            return 0.0
        since = self.day - held[1]
        return held[0] * exp(-since / FLOW_DAYS) if since > 0.0 else held[0]

    def _add(self, flow: str, evidence: float) -> None:
        total = min(max(self.evidence(flow) + evidence, LEAST), MOST)
        if abs(total) < _NO_EVIDENCE:
            total = 0.0
        self._evidence.pop(flow, None)
        self._evidence[flow] = (total, self.day)
        if len(self._evidence) > self.capacity:
            del self._evidence[next(iter(self._evidence))]

    def counts(self, category: str) -> tuple[float, float]:
        """Decayed (positives, negatives) of one category."""
        held = self._counts.get(category)
        if held is None:
            return 0.0, 0.0
        shrink = 1.0 / self._growth
        return held[0] * shrink, held[1] * shrink

    def _rescale(self, growth: float) -> None:
        shrink = 1.0 / growth
        for held in self._counts.values():
            held[0] *= shrink
            held[1] *= shrink
        self._base[0] *= shrink
        self._base[1] *= shrink

    def _shed(self) -> None:
        counts = self._counts
        order = sorted(counts, key=lambda category: counts[category][0] + counts[category][1])  # stable: oldest first
        for category in order[: len(counts) - int(self.capacity * 0.9)]:
            del counts[category]
