"""Does targeting bear on some nationalities more than finds among them explain? It reports, and never decides.

Only the audit sample can say: travellers drawn uniformly by chance, whoever they are. Among those, by nationality
group: how many were found with something, and what the model would have scored them. Where scores are high and finds
are not, the model is unfair to the group, by whatever proxy. Groups below `least` travellers are reported together,
so that no report is about a few people.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import msgspec

from agents.adding import added

OTHERS = "others"
Z95 = 1.959963984540054
"""The normal quantile of a two-sided 95% interval."""


class Audited(msgspec.Struct, frozen=True):
    """One traveller of the audit sample whose inspection has come back."""

    group: str
    score: float
    also_targeted: bool
    found: bool


class GroupReport(msgspec.Struct, frozen=True, kw_only=True):
    """One group. `low` and `high` bound the true share of finds (Wilson 1927, 95%).

    `targeted` is the share that another layer than chance chose too. `overscored` says that the mean score is above
    everything that the finds can explain.
    """

    group: str
    travellers: int
    finds: int
    find_rate: float
    low: float
    high: float
    mean_score: float
    targeted: float
    overscored: bool


def fairness(sample: Iterable[Audited], least: int = 30) -> tuple[GroupReport, ...]:
    """A report for each group of at least `least` travellers, largest first, and one for all the others."""
    by_group: dict[str, list[Audited]] = {}
    for one in sample:
        by_group.setdefault(one.group, []).append(one)
    small = [one for held in by_group.values() if len(held) < least for one in held]
    large = {group: held for group, held in by_group.items() if len(held) >= least}
    if len(small) >= least:
        large[OTHERS] = small
    reports = [_report(group, held) for group, held in large.items()]
    return tuple(sorted(reports, key=lambda report: (-report.travellers, report.group)))


def _report(group: str, held: list[Audited]) -> GroupReport:
    n, finds = len(held), sum(one.found for one in held)
    low, high = wilson(finds, n)
    mean_score = added(one.score for one in held) / n
    return GroupReport(
        group=group,
        travellers=n,
        finds=finds,
        find_rate=finds / n,
        low=low,
        high=high,
        mean_score=mean_score,
        targeted=sum(one.also_targeted for one in held) / n,
        overscored=mean_score > high,
    )


def wilson(finds: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share, (0, 1) without trials. Raises ValueError unless 0 <= finds <= n."""
    if not 0 <= finds <= n:
        raise ValueError("finds must be between 0 and n")
    if n == 0:
        return 0.0, 1.0
    share, spread = finds / n, Z95 * Z95 / n
    centre = share + spread / 2.0
    half = Z95 * sqrt(share * (1.0 - share) / n + spread / (4.0 * n))
    low = 0.0 if finds == 0 else max(0.0, (centre - half) / (1.0 + spread))
    high = 1.0 if finds == n else min(1.0, (centre + half) / (1.0 + spread))
    return low, high
