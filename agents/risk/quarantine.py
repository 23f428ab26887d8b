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
from typing import Literal, NamedTuple

from agents.risk.standings import BINS, twentieth

Why = Literal["rate", "burst-of-clear", "burst-of-seizures"]
KEPT = 10_000
"""Latest lessons that can be taken back. Older ones are as good as forgotten in what is counted here."""
_IMAGINED = 4.0
_LATEST = 1000
"""Lessons after which what scores have meant counts half."""


class Site:
    """What came from one control point lately."""

    __slots__ = ("clear", "day", "found", "held", "label", "run", "today", "usual")

    def __init__(self, day: int) -> None:
        self.label = -1  # of the run that lasts
        self.run = 0  # its number
        self.day = day
        self.today = 0
        self.usual = 0.0
        self.clear = 0.0
        self.found = 0.0
        self.held = 0


class Added(NamedTuple):
    """What a lesson added: to the count of which day, what surprise to which run, and after how many halvings."""

    day: int
    run: int
    surprise: float
    halvings: int


Told = tuple[str, int, float, float, bool]
"""What a lesson is known by: control point, label, score, day, whether it was held back."""


class Quarantine:
    """Admits lessons or says why not. Bounded: one small record for each control point, and the latest lessons.

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
        self._halvings = 0
        self._added: dict[Told, list[Added]] = {}
        self._kept = 0

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
        if label != site.label:
            site.label = label
            site.run += 1
        why: Why | None = None
        p = self._meant(score)
        if label:
            surprise = -log(p)
            site.clear = 0.0
            site.found += surprise
            if site.found > 2.0 * self._surprise:
                why = "burst-of-seizures"
        else:
            surprise = -log(1.0 - 0.9 * p)
            site.found = 0.0
            site.clear += surprise
            if site.clear > self._surprise:
                why = "burst-of-clear"
        if site.today > max(self._burst, self._times * site.usual):
            why = "rate"
        added = Added(site.day, site.run, surprise, self._halvings)
        self._keep(_told(control_point, label, score, day, why is not None), added)
        if why is not None:
            site.held += 1
        else:
            self._note(score, label)
        return why

    def take_back(self, control_point: str, label: int, score: float, day: float, *, held: bool) -> None:
        """Take a lesson out again that came at `day` and was a mistake; `held` is whether it was held back.

        What is left of what it added goes: to the count of the day on which it came in, to a run that lasts, to what
        scores have meant. A run of the other kind that it ended is not brought back, so a withdrawn result never makes
        the guard stricter than it was.
        """
        site = self.sites.get(control_point)
        if site is None:
            return
        site.held -= held
        added = self._pop(_told(control_point, label, score, day, held))
        if added is None:
            return
        if added.day == site.day:
            site.today -= 1
        if added.run == site.run:
            surprise = added.surprise * 0.5 ** (site.day - added.day)
            if label:
                site.found = max(0.0, site.found - surprise)
            else:
                site.clear = max(0.0, site.clear - surprise)
        if not held:
            i, left = twentieth(score), 0.5 ** (self._halvings - added.halvings)
            self._taught[i] = max(0.0, self._taught[i] - left)
            self._finds[i] = max(0.0, self._finds[i] - left * label)

    def _keep(self, told: Told, added: Added) -> None:
        self._added.setdefault(told, []).append(added)
        self._kept += 1
        if self._kept > KEPT:
            self._pop(next(iter(self._added)), 0)

    def _pop(self, told: Told, place: int = -1) -> Added | None:
        """Of lessons that are told alike, the latest or the one at `place`."""
        alike = self._added.get(told)
        if alike is None:
            return None
        added = alike.pop(place)
        self._kept -= 1
        if not alike:
            del self._added[told]
        return added

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
            self._halvings += 1
            self._taught = [held * 0.5 for held in self._taught]
            self._finds = [held * 0.5 for held in self._finds]


def _told(control_point: str, label: int, score: float, day: float, held: bool) -> Told:
    return control_point, label, min(max(score, 0.0), 1.0), day, held
