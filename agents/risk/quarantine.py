"""Results that would move the models too far, too fast, from one place: held back, and reported.

A centre whose results are wrong (a broken scanner, a mistaken import, a bribed officer) must not teach the whole
border. Two guards, each by control point and in event time:

- *rate*: on one day, a control point teaches at most `burst` lessons, or `times` its own usual day if that is more;
- *burst*: a run of clear results where finds were expected, or of finds where none were. The surprise of a run is
  what it would take to believe it: the sum of -log(1 - 0.9 p) over clear ones (no score p is ever quite certain), of
  -log(p) over finds. Above `surprise`, results of that kind are held until the other kind is seen or
  the surprise, which halves every day, has faded: a border that really changed is learnt a day or two later.
"""

from __future__ import annotations

from math import log
from typing import Literal

Why = Literal["rate", "burst-of-clear", "burst-of-seizures"]


class Site:
    """What came from one control point lately."""

    __slots__ = ("clear", "day", "found", "held", "today", "usual")

    def __init__(self, day: int) -> None:
        self.day = day
        self.today = 0
        self.usual = 0.0
        self.clear = 0.0
        self.found = 0.0
        self.held = 0


class Quarantine:
    """Admits lessons or says why not. Bounded: one small record for each control point."""

    def __init__(self, burst: int = 50, times: float = 2.0, surprise: float = 4.0) -> None:
        self._burst = burst
        self._times = times
        self._surprise = surprise
        self.sites: dict[str, Site] = {}

    def admit(self, control_point: str, label: int, score: float, day: float) -> Why | None:
        """None when the lesson may be learnt. `score` is the probability that the model gave; `day` since the epoch."""
        whole = int(day)
        site = self.sites.get(control_point)
        if site is None:
            site = self.sites[control_point] = Site(whole)
        if whole > site.day:
            passed = min(whole - site.day, 60)
            site.usual = site.today if site.usual == 0.0 else 0.9 * site.usual + 0.1 * site.today
            site.usual *= 0.9 ** (passed - 1)
            site.clear *= 0.5**passed
            site.found *= 0.5**passed
            site.day, site.today = whole, 0
        site.today += 1
        why: Why | None = None
        p = min(max(score, 0.001), 0.999)
        if label:
            site.clear = 0.0
            site.found += -log(p)
            if site.found > 2.0 * self._surprise:
                why = "burst-of-seizures"
        else:
            site.found = 0.0
            site.clear += -log(1.0 - 0.9 * p)
            if site.clear > self._surprise:
                why = "burst-of-clear"
        if site.today > max(self._burst, self._times * site.usual):
            why = "rate"
        if why is not None:
            site.held += 1
        return why

    def take_back(self, control_point: str, label: int, score: float, day: float, *, held: bool) -> None:
        """Take a lesson out again that came at `day` and was a mistake; `held` is whether it was held back.

        Its share of the day's count and of the surprise goes. A run of the other kind that it ended is not brought
        back, so a withdrawn result never makes the guard stricter than it was.
        """
        site = self.sites.get(control_point)
        if site is None:
            return
        days = site.day - int(day)
        if days == 0:
            site.today = max(0, site.today - 1)
        faded = 0.5 ** max(0, days)
        p = min(max(score, 0.001), 0.999)
        if label:
            site.found = max(0.0, site.found + log(p) * faded)
        else:
            site.clear = max(0.0, site.clear + log(1.0 - 0.9 * p) * faded)
        site.held -= held
