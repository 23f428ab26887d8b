"""How many seizures a selection would have made, from the outcomes of what another policy inspected.

Only inspected items have an outcome. The policy that ran inspected an item for certain when a layer other than
exploration selected it (inclusion probability 1), and otherwise with the recorded `exploration_rate`. The audit
draw is independent of the item, and everything else that decided is a function of the past, so a draw with rate e
speaks for 1/e items (Horvitz & Thompson 1952, JASA 47:663; for logged decisions Swaminathan & Joachims 2015, NIPS).

The candidate's items fall into strata whose sizes are known, so nothing is estimated that can be counted:

- `shared`: both policies select them for certain. Their outcomes are known, up to results that are missing.
- `new`: only the candidate does. Known of them is what the audit draw happened to inspect. Their rate is
  the self-normalised one (Hajek 1971), times their known number.
- `audit`: what the candidate's own draw adds, in expectation over the draw, split into the same two.

The 95% interval of a stratum's rate is that of Korn & Graubard (1998, Survey Methodology 24:193): Clopper-Pearson at
the effective number of draws (Kish 1965), with the finite-population correction. It stays valid with few draws, with
no seizure among them, and it is [0, 1] without any. Strata are put together by the squares of their distances to
the limits (Zou & Donner 2008, Statistics in Medicine 27:1693). Within a stratum, missing results are taken to be like
the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.adding import added

CONFIDENCE: Final = 0.95
_Z: Final = 1.959963984540054

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Items of a history, one place each.

    `certain`: the candidate selects it by a layer other than exploration; `chance`: probability of its own draw. Of
    the policy that ran: `sure` selected for certain, `rate` its draw's probability (0 where it decided nothing on the
    item), `drawn` selected by the draw alone. `inspected` and `seized` say what came of it.
    """

    certain: Flags
    chance: Numbers
    sure: Flags
    rate: Numbers
    drawn: Flags
    inspected: Flags
    seized: Flags

    def only(self, where: Flags) -> Sample:
        """The items for which `where` holds."""
        return Sample(*(getattr(self, name)[where] for name in self.__dataclass_fields__))


class Figure(msgspec.Struct, frozen=True):
    """An estimate with the limits of its 95% interval. Without a value where nothing tells what it might be; the rate
    among no items has none either, and limits that are both 0."""

    value: float | None
    low: float
    high: float

    def times(self, factor: float) -> Figure:
        """The same in other units."""
        value = None if self.value is None else self.value * factor
        return Figure(value, self.low * factor, self.high * factor)

    @property
    def of_nothing(self) -> bool:
        """Whether this is the rate among no items."""
        return self.value is None and self.low == self.high

    def said(self, form: str) -> str:
        """In words, each number in this format; a dash for the rate of nothing."""
        if self.of_nothing:
            return "-"
        value = "not known" if self.value is None else format(self.value, form)
        return f"{value} ({format(self.low, form)} to {format(self.high, form)})"


class Stratum(msgspec.Struct, frozen=True):
    """One group of the candidate's items. `effective` is how many equal draws `observed` are worth."""

    name: str
    items: float
    observed: int
    seizures: int
    effective: float
    rate: Figure


class Estimate(msgspec.Struct, frozen=True):
    """What a selection would have found. `known`: items certain for the candidate that were inspected."""

    selected: float
    known: int
    known_seizures: int
    unknown_share: float
    seizures: Figure
    seizure_rate: Figure
    horvitz_thompson: Figure
    self_normalised: Figure
    draws: int
    strata: tuple[Stratum, ...]


_ALL = 1.0 - 1e-9
"""From this fraction on everything is known; closer to 1 the beta quantiles are not numbers any more."""


def rate_interval(rate: float, effective: float, fraction: float = 0.0) -> tuple[float, float]:
    """Limits of a rate seen in `effective` draws, which are `fraction` of all there is to know. [0, 1] without any."""
    from scipy.special import betaincinv  # type: ignore[import-untyped]  # ships no types

    if fraction >= _ALL:
        return rate, rate
    if effective <= 0.0:
        return 0.0, 1.0
    n = effective / (1.0 - fraction)
    hits, tail = rate * n, (1.0 - CONFIDENCE) / 2
    low = 0.0 if hits <= 0.0 else float(betaincinv(hits, n - hits + 1.0, tail))
    high = 1.0 if hits >= n else float(betaincinv(hits + 1.0, n - hits, 1.0 - tail))
    return min(low, rate), max(high, rate)


def estimate(sample: Sample) -> Estimate:
    """The seizures of the candidate over its history, averaged over its own draw."""
    audit = np.where(sample.certain, 0.0, sample.chance)
    supported = sample.sure | (sample.rate > 0.0)
    looked = sample.inspected & (sample.sure | sample.drawn)
    weight = np.where(sample.sure, 1.0, np.divide(1.0, sample.rate, where=sample.rate > 0.0, out=np.zeros(len(audit))))
    by_chance = ~sample.sure & supported
    fallback = _rate(weight[looked & ~sample.sure], sample.seized[looked & ~sample.sure], None)
    strata = [
        _counted("shared", sample.certain & sample.sure, np.ones(len(audit)), sample, looked, weight, fallback),
        _counted("new", sample.certain & by_chance, np.ones(len(audit)), sample, looked, weight, fallback),
        _counted("audit, inspected anyway", ~sample.certain & sample.sure, audit, sample, looked, weight, fallback),
        _counted("audit", ~sample.certain & by_chance, audit, sample, looked, weight, fallback),
    ]
    beyond = float((sample.certain + audit)[~supported].sum())
    if beyond > 0.0:
        rate = strata[1].rate.value if strata[1].observed else fallback
        strata.append(Stratum("never decided", beyond, 0, 0, 0.0, Figure(rate, 0.0, 1.0)))
    selected = float(sample.certain.sum() + audit.sum())
    seizures = _together([stratum.rate.times(stratum.items) for stratum in strata], selected)
    known = sample.certain & sample.inspected
    return Estimate(
        selected=selected,
        known=int(known.sum()),
        known_seizures=int((known & sample.seized).sum()),
        unknown_share=1.0 - float(known.sum() + audit[looked].sum()) / selected if selected else 0.0,
        seizures=seizures,
        seizure_rate=seizures.times(1.0 / selected) if selected else Figure(None, 0.0, 0.0),
        horvitz_thompson=_weighted(sample, audit, weight, looked, selected, normalise=False),
        self_normalised=_weighted(sample, audit, weight, looked, selected, normalise=True),
        draws=int((looked & ~sample.sure & sample.certain).sum()),
        strata=tuple(stratum for stratum in strata if stratum.items > 0.0),
    )


def _rate(weights: Numbers, seized: Flags, otherwise: float | None) -> float | None:
    total = float(weights.sum())
    return float(weights[seized].sum()) / total if total else otherwise


def _counted(
    name: str, where: Flags, size: Numbers, sample: Sample, looked: Flags, weight: Numbers,
    fallback: float | None,
) -> Stratum:  # fmt: skip
    """A stratum of known size: `size` is what each of its items counts."""
    seen = where & looked
    weights, seized = (size * weight)[seen], sample.seized[seen]
    items = float(size[where].sum())
    squares = float((weights**2).sum())
    effective = float(weights.sum()) ** 2 / squares if squares else 0.0
    fraction = float(size[seen].sum()) / items if items else 1.0
    fraction = 1.0 if int(seen.sum()) == int(where.sum()) else fraction
    rate = _rate(weights, seized, fallback)
    low, high = rate_interval(rate or 0.0, effective, fraction)
    if items:  # what was seen stays as it was, whatever the rest turns out to be
        least = float(size[seen & sample.seized].sum()) / items
        most = 1.0 - float(size[seen & ~sample.seized].sum()) / items
        low, high = max(low, least), min(high, most)
        rate = None if rate is None else min(max(rate, low), high)
    return Stratum(name, items, int(seen.sum()), int(seized.sum()), effective, Figure(rate, low, high))


def _together(parts: list[Figure], most: float) -> Figure:
    values = [part.low if part.value is None else part.value for part in parts]  # of what is not known, the least
    total = min(most, added(values))  # sums of the same numbers in another order may differ in the last digit
    below = sqrt(added((value - part.low) ** 2 for value, part in zip(values, parts, strict=True)))
    above = sqrt(added((part.high - value) ** 2 for value, part in zip(values, parts, strict=True)))
    known = all(part.value is not None or part.low == part.high for part in parts)
    return Figure(total if known else None, max(0.0, total - below), min(most, total + above))


def _weighted(
    sample: Sample, audit: Numbers, weight: Numbers, looked: Flags, selected: float, *, normalise: bool
) -> Figure:
    """The seizure rate by inverse propensities alone, with the normal interval: what the strata are measured against.

    Results that are missing are made up for by those that came, apart for certain and for drawn inspections.
    """
    factor = np.ones(len(audit))
    for group in (sample.sure, sample.drawn):
        came = float((group & looked).sum())
        factor[group] = float(group.sum()) / came if came else 1.0
    share = (sample.certain + audit)[looked]
    inverse = (weight * factor)[looked]
    found = sample.seized[looked].astype(np.float64)
    base = float((share * inverse).sum()) if normalise else selected
    if base <= 0.0:
        return Figure(None, 0.0, 1.0)
    rate = float((share * inverse * found).sum()) / base
    error: Any = share * (found - rate) if normalise else share * found
    spread = sqrt(float((error**2 * inverse * (inverse - 1.0)).sum())) / base
    return Figure(rate, max(0.0, rate - _Z * spread), min(1.0, rate + _Z * spread))
