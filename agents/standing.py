"""Which of several reports on one alert stands: a fold of them, in the order of their log.

The first result stands. Another one must correct the result that stands, and a withdrawal must name it; after a
withdrawal, or when the alert was passed on, the next result is taken. What is sent again says nothing new; what says
something else under an id that was taken is refused.
"""

from __future__ import annotations

from typing import NamedTuple

from agents import refusals
from schemas.inspections import InspectionCompleted, InspectionWithdrawn

Report = InspectionCompleted | InspectionWithdrawn
"""What a centre says about an alert."""


class Said(NamedTuple):
    """A report, as far as it decides what stands.

    `names` is the result that it corrects or withdraws, None when it names none; `outcome` is None for a withdrawal.
    """

    report_id: str
    names: str | None
    outcome: str | None

    @classmethod
    def by(cls, report: Report) -> Said:
        """What a report says."""
        if isinstance(report, InspectionWithdrawn):
            return cls(report.withdrawal_id, report.result_id, None)
        return cls(report.result_id, report.corrects, report.outcome)


class Standing:
    """What stands on one alert: `result_id` and `outcome` of a result, empty and None when there is none."""

    __slots__ = ("_said", "outcome", "result_id")

    def __init__(self) -> None:
        self.result_id = ""
        self.outcome: str | None = None
        self._said: dict[tuple[bool, str], Said] = {}  # by name: one who corrects without end slows nobody down

    @property
    def closed(self) -> bool:
        """Whether no other result is taken that does not correct this one."""
        return self.outcome is not None and self.outcome != "passed-on"

    @property
    def latest(self) -> str | None:
        """The id of the latest report that was taken."""
        return next(reversed(self._said))[1] if self._said else None

    def knows(self, said: Said) -> bool:
        """Whether a report was taken before."""
        return self._said.get(_name(said)) == said

    def refusal(self, said: Said) -> tuple[str, str, str] | None:
        """Why a report that is not known cannot be taken: reason, field and detail; None when it can.

        Results and withdrawals do not share their ids.
        """
        if _name(said) in self._said:
            field = "withdrawal_id" if said.outcome is None else "result_id"
            return refusals.ALREADY_RESOLVED, field, "another report on this alert was taken under this id"
        if said.names is not None and said.names != self.result_id:
            field = "result_id" if said.outcome is None else "corrects"
            return refusals.NOTHING_TO_CORRECT, field, "not the result that stands on this alert"
        if said.names is None and self.closed:
            detail = "the alert has a result, and this one does not correct it"
            return refusals.ALREADY_RESOLVED, "decision_id", detail
        return None

    def take(self, said: Said) -> None:
        """Let a report that is neither known nor refused stand."""
        self._said[_name(said)] = said
        self.result_id, self.outcome = ("" if said.outcome is None else said.report_id), said.outcome


def _name(said: Said) -> tuple[bool, str]:
    return said.outcome is None, said.report_id
