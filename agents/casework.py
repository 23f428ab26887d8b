"""Who works on which alert: a fold of the casework log in which the first claim stands.

Claims on one alert are on one partition, so every reader (a console, a centre's own system) folds them in the same
order and comes to the same answer, without asking a server.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from schemas.casework import AlertClaimed, ClaimGivenUp

_KEPT = 200_000


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Who holds an alert, from when and until when at the latest."""

    claim_id: str
    officer: str
    since: datetime
    until: datetime


class CaseBook:
    """The claims that stand, by decision id. Other events of the topic change nothing here."""

    def __init__(self, kept: int = _KEPT) -> None:
        """`kept` bounds memory: of more alerts than that, those whose claim is oldest are forgotten."""
        self._claims: dict[str, Claim] = {}
        self._kept = kept

    def __len__(self) -> int:
        return len(self._claims)

    def holder(self, decision_id: str, at: datetime) -> Claim | None:
        """The claim that stands on an alert at `at`, None when it is open."""
        claim = self._claims.get(decision_id)
        return claim if claim is not None and claim.until > at else None

    def fold(self, event: object) -> bool:
        """Fold one event of the log, in the order of its partition. Whether it took effect.

        A claim takes effect when the alert is open at `claimed_at` or held by the same officer already, who thereby
        prolongs it; giving up takes effect for the claim that stands.
        """
        if isinstance(event, AlertClaimed):
            return self._claim(event)
        if isinstance(event, ClaimGivenUp):
            return self._give_up(event)
        return False

    def close(self, decision_id: str) -> None:
        """Forget the claim on an alert that has its result."""
        self._claims.pop(decision_id, None)

    def _claim(self, event: AlertClaimed) -> bool:
        standing = self.holder(event.decision_id, event.claimed_at)
        if event.until <= event.claimed_at or (standing is not None and standing.officer != event.officer):
            return False
        claim_id, since = event.claim_id, event.claimed_at
        if standing is not None:
            claim_id, since = standing.claim_id, standing.since
        self._claims.pop(event.decision_id, None)  # so that the oldest stand first
        self._claims[event.decision_id] = Claim(claim_id, event.officer, since, event.until)
        if len(self._claims) > self._kept:
            del self._claims[next(iter(self._claims))]
        return True

    def _give_up(self, event: ClaimGivenUp) -> bool:
        standing = self._claims.get(event.decision_id)
        if standing is None or standing.officer != event.officer or standing.claim_id != event.claim_id:
            return False
        del self._claims[event.decision_id]
        return True
