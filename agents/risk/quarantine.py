"""Results that would move the models too far, too fast, from one place: held back, and reported.

A centre whose results are wrong (a broken scanner, a mistaken import, a bribed officer) must not teach the whole
border. Two guards, each by control point and in event time:

- *rate*: on one day, a control point teaches at most `burst` lessons, or `times` its own usual day if that is more;
- *burst*: a run of clear results where finds were expected, or of finds where none were. The surprise of a run is
  what it would take to believe it: the sum of -log(1 - 0.9 p) over clear ones (nothing is ever quite certain), of
  -log(p) over finds. Above `surprise`, results of that kind are held until the other kind is seen or
  the surprise, which halves every day, has faded: a border that really changed is learnt a day or two later.

The probability p is what scores like this one have meant so far, at all control points: the share of finds among the
lessons of the same twentieth of scores, drawn to the score itself by four imagined ones. Scores overestimate where a
model explores; taken at their word, they would hold many honest clear results and no finds (docs/adr/0016).
"""

from __future__ import annotations

from math import log
from typing import Literal

from agents.risk.standings import BINS, twentieth

Why = Literal["rate", "burst-of-clear", "burst-of-seizures"]
_IMAGINED = 4.0
_LATEST = 1000
"""Lessons after which what scores have meant counts half."""


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
    """Admits lessons or says why not. Bounded: one small record for each control point.

    Scores and outcomes are those of the lessons; a score is in [0, 1], `day` counts from the epoch.
    """

    def __init__(self, burst: int = 50, times: float = 2.0, surprise: float = 4.0) -> None:
        self._burst = burst
        self._times = times
        self._surprise = surprise
        self.sites: dict[str, Site] = {}
        self._taught = [0.0] * BINS
        self._finds = [0.0] * BINS
        self._lessons = 0

    def admit(self, control_point: str, label: int, score: float, day: float) -> Why | None:
        """None when the lesson may be learnt."""
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
        p = self._meant(score)
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
        else:
            self._note(score, label)
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
        if not held:
            i = twentieth(score)
            self._taught[i] = max(0.0, self._taught[i] - 1.0)
            self._finds[i] = max(0.0, self._finds[i] - label)
        p = self._meant(score)
        if label:
            site.found = max(0.0, site.found + log(p) * faded)
        else:
            site.clear = max(0.0, site.clear + log(1.0 - 0.9 * p) * faded)
        site.held -= held

    def _meant(self, score: float) -> float:
        """The share of finds to expect at a score, away from 0 and 1."""
        i = twentieth(score)
        p = (self._finds[i] + _IMAGINED * score) / (self._taught[i] + _IMAGINED)
        return min(max(p, 0.001), 0.999)

    def _note(self, score: float, label: int) -> None:
        i = twentieth(score)
        self._taught[i] += 1.0
        self._finds[i] += label
        self._lessons += 1
        if self._lessons == _LATEST:
            self._lessons //= 2
            self._taught = [held * 0.5 for held in self._taught]
            self._finds = [held * 0.5 for held in self._finds]
