"""Who works on which alert: a fold of the casework log in which the first claim stands.

Claims on one alert are on one partition, so every reader (a console, a centre's own system) folds them in the same
order and comes to the same answer, without asking a server.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

import msgspec

from schemas.casework import AlertClaimed, ClaimGivenUp

_KEPT = 200_000
LONGEST: Final = timedelta(days=1)
"""A claim for longer has no effect: nobody may keep an alert from the others for good."""
_AHEAD: Final = timedelta(minutes=15)
"""How far clocks may differ: a claim that is dated later is not there yet."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Who holds an alert, from when and until when at the latest."""

    claim_id: str
    officer: str
    since: datetime
    until: datetime

    def holds(self, at: datetime) -> bool:
        """Whether it stands at a time."""
        return self.since - at <= _AHEAD and self.until > at


class _Turns:
    """Casework on one alert in the order of its log, cut into turns by the times at which results ended claims.

    A claim belongs to the turn that it was made in, and is judged among the claims of that turn only; the last turn's
    is the one that stands. So it does not matter whether a result or the claims around it are read first.
    """

    __slots__ = ("_latest", "effects", "ends", "log", "standing")

    def __init__(self) -> None:
        self._latest: datetime | None = None  # when the latest claim was made
        self.log: list[AlertClaimed | ClaimGivenUp] = []
        self.effects: list[bool] = []
        self.ends: list[datetime] = []
        self.standing: dict[int, Claim] = {}

    def add(self, event: AlertClaimed | ClaimGivenUp) -> bool:
        effect = self._judge(event)
        self.log.append(event)
        self.effects.append(effect)
        return effect

    def end(self, at: datetime) -> None:
        turn = bisect_left(self.ends, at)
        if turn < len(self.ends) and self.ends[turn] == at:
            return
        is_last = turn == len(self.ends) and (self._latest is None or self._latest <= at)
        self.ends.insert(turn, at)
        if not is_last:  # else every claim stays in its turn: whoever corrects without end slows nobody down
            self.standing.clear()
            self.effects = [self._judge(event) for event in self.log]

    def _judge(self, event: AlertClaimed | ClaimGivenUp) -> bool:
        return self._claim(event) if isinstance(event, AlertClaimed) else self._give_up(event)

    def _claim(self, event: AlertClaimed) -> bool:
        self._latest = event.claimed_at if self._latest is None else max(self._latest, event.claimed_at)
        turn = bisect_left(self.ends, event.claimed_at)  # a result ends what was claimed at its own time, too
        standing = self.standing.get(turn)
        if standing is not None and not standing.holds(event.claimed_at):
            standing = None
        lasts = event.until - event.claimed_at
        if not timedelta(0) < lasts <= LONGEST or (standing is not None and standing.officer != event.officer):
            return False
        claim_id, since = event.claim_id, event.claimed_at
        if standing is not None:
            claim_id, since = standing.claim_id, standing.since
        self.standing[turn] = Claim(claim_id, event.officer, since, event.until)
        return True

    def _give_up(self, event: ClaimGivenUp) -> bool:
        for turn, standing in self.standing.items():
            if (standing.officer, standing.claim_id) == (event.officer, event.claim_id):
                del self.standing[turn]
                return True
        return False


class CaseBook:
    """The claims that stand, by decision id. Other events of the topic change nothing here.

    Results are on another topic, so readers meet them before or after the claims around them. They all come to the
    same answer, because a result ends claims by when they were made, and not by when it is read.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        """`kept` bounds memory: of more alerts than that, those that nothing was said of for longest are forgotten."""
        self._alerts: OrderedDict[str, _Turns] = OrderedDict()
        self._kept = kept

    def __len__(self) -> int:
        return len(self._alerts)

    def holder(self, decision_id: str, at: datetime) -> Claim | None:
        """The claim that stands on an alert at `at`, None when it is open."""
        turns = self._alerts.get(decision_id)
        claim = turns.standing.get(len(turns.ends)) if turns is not None else None
        return claim if claim is not None and claim.holds(at) else None

    def fold(self, event: object) -> bool:
        """Fold one event of the log, in the order of its partition. Whether it took effect.

        A claim takes effect when the alert is open at `claimed_at` or held by the same officer already, who thereby
        prolongs it; giving up takes effect for the claim that stands. A claim from before the last result that ended
        claims makes nobody the holder.
        """
        if not isinstance(event, AlertClaimed | ClaimGivenUp):
            return False
        return self._turns_of(event.decision_id).add(event)

    def end(self, decision_id: str, at: datetime) -> None:
        """A result was sent at `at`: claims made until then are over, later ones are not, whichever were read first."""
        self._turns_of(decision_id).end(at)

    def ended(self, decision_id: str) -> datetime | None:
        """When the last result was sent that ended claims: one that is to stand is made after it."""
        turns = self._alerts.get(decision_id)
        return turns.ends[-1] if turns is not None and turns.ends else None

    def effective(self, decision_id: str) -> set[tuple[type, str]]:
        """The casework on an alert that took effect when it was made: its types and claim ids."""
        turns = self._alerts.get(decision_id)
        if turns is None:
            return set()
        return {(type(event), event.claim_id) for event, effect in zip(turns.log, turns.effects, strict=True) if effect}

    def _turns_of(self, decision_id: str) -> _Turns:
        turns = self._alerts.pop(decision_id, None) or _Turns()
        self._alerts[decision_id] = turns  # so that the oldest stand first
        if len(self._alerts) > self._kept:
            del self._alerts[next(iter(self._alerts))]
        return turns
