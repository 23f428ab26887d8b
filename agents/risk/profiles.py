"""What the record knows of a subject: inspections and what they found, folded from the log of learnt outcomes.

One copy in every worker, all equal at equal `version`. Memory is bounded: a subject is forgotten when nothing was
learnt of it for `forget_after` of event time, the longest untouched first when there are more than `capacity`.
A result that is corrected later is taken back exactly: what followed it is folded again without it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final

import msgspec

from schemas.inspections import InspectionOutcome, OutcomeLearned
from schemas.items import PriorRecord

NOTHING_KNOWN: Final = PriorRecord()
_INSPECTED: Final[frozenset[InspectionOutcome]] = frozenset(("clear", "irregularity", "seizure"))
_CATEGORIES_KEPT: Final = 6
_SWEEP_EVERY: Final = 1024


class Lesson(msgspec.Struct, frozen=True, gc=False):
    """One learnt outcome that may yet be corrected. `before` is each subject's record without it."""

    subjects: tuple[str, ...]
    before: tuple[PriorRecord, ...]
    inspected_at: datetime
    outcome: InspectionOutcome
    categories: tuple[str, ...]


class Profiles:
    """Prior records by subject (consignee, shipper or travel document, all pseudonyms)."""

    def __init__(
        self,
        *,
        capacity: int = 500_000,
        forget_after: timedelta = timedelta(days=730),
        correctable: int = 50_000,
    ) -> None:
        """`correctable` is how many of the latest lessons are kept so that a correction can undo them."""
        self.version = 0
        self._capacity = capacity
        self._forget_after = forget_after
        self._correctable = correctable
        self._records: dict[str, PriorRecord] = {}
        self._lessons: dict[str, Lesson] = {}
        self._now: datetime | None = None
        self._since_sweep = 0

    def __len__(self) -> int:
        return len(self._records)

    def prior(self, subject: str) -> PriorRecord:
        """The record of a subject; an empty one when nothing is known. Shared and frozen: it costs a lookup."""
        return self._records.get(subject, NOTHING_KNOWN)

    def fold(self, offset: int, key: str | None, event: object | None) -> None:
        """Fold the record of labelled-examples at `offset`. Events about models change nothing here.

        A decision that was learnt already is learnt again only by an outcome that corrects it.
        """
        self.version = offset + 1
        if not isinstance(event, OutcomeLearned):
            return
        if event.corrects is not None:
            self._take_back(event.decision_id)
        if event.decision_id not in self._lessons:
            self._learn(event)
        if self._now is None or event.lodged_at > self._now:
            self._now = event.lodged_at
        self._since_sweep += 1
        if self._since_sweep >= _SWEEP_EVERY:
            self._since_sweep = 0
            self._forget(self._now)

    def _learn(self, event: OutcomeLearned) -> None:
        subjects: tuple[str, ...] = (event.subject,)
        if event.counterpart is not None and event.counterpart != event.subject:
            subjects = (event.subject, event.counterpart)
        before = tuple([self._records.get(subject, NOTHING_KNOWN) for subject in subjects])
        lesson = Lesson(subjects, before, event.inspected_at, event.outcome, event.categories)
        self._lessons[event.decision_id] = lesson
        for subject, record in zip(subjects, before, strict=True):
            self._keep(subject, learnt(record, lesson))

    def _take_back(self, decision_id: str) -> None:
        """Fold what followed a lesson on its subjects again, without it.

        One that is no longer among the latest `correctable` cannot be taken back: the correction adds to it.
        """
        wrong = self._lessons.get(decision_id)
        if wrong is None:
            return
        records = dict(zip(wrong.subjects, wrong.before, strict=True))
        # Most corrections are of a lesson of today: it is looked for from the end.
        later = list(takewhile(lambda other_id: other_id != decision_id, reversed(self._lessons)))
        changed: dict[str, Lesson] = {}
        for other_id in reversed(later):  # in the order of the log
            lesson = self._lessons[other_id]
            if not records.keys().isdisjoint(lesson.subjects):
                before = tuple([records.get(s, b) for s, b in zip(lesson.subjects, lesson.before, strict=True)])
                changed[other_id] = lesson = msgspec.structs.replace(lesson, before=before)
                for subject, record in zip(lesson.subjects, before, strict=True):
                    if subject in records:
                        records[subject] = learnt(record, lesson)
        self._lessons.update(changed)
        del self._lessons[decision_id]
        for subject, record in records.items():
            self._keep(subject, record)

    def _keep(self, subject: str, record: PriorRecord) -> None:
        self._records.pop(subject, None)  # so that the longest untouched stand first
        if record.inspections:
            self._records[subject] = record

    def _forget(self, now: datetime) -> None:
        """Drop lessons over `correctable`, subjects over `capacity`, and subjects untouched for `forget_after`."""
        for decision_id in list(islice(self._lessons, max(0, len(self._lessons) - self._correctable))):
            del self._lessons[decision_id]
        gone = list(islice(self._records, max(0, len(self._records) - self._capacity)))
        horizon = now - self._forget_after
        for subject, record in islice(self._records.items(), len(gone), None):
            if record.last_inspected_at is not None and record.last_inspected_at >= horizon:
                break
            gone.append(subject)
        for subject in gone:
            del self._records[subject]


def learnt(record: PriorRecord, lesson: Lesson) -> PriorRecord:
    """The record with one lesson more. What was not inspected, or passed on, teaches nothing."""
    if lesson.outcome not in _INSPECTED:
        return record
    at = lesson.inspected_at
    seized = lesson.outcome == "seizure"
    found = lesson.outcome != "clear"
    categories = record.categories
    if found and lesson.categories:
        categories = tuple(dict.fromkeys(lesson.categories + categories))[:_CATEGORIES_KEPT]
    return PriorRecord(
        inspections=record.inspections + 1,
        seizures=record.seizures + seized,
        irregularities=record.irregularities + (found and not seized),
        last_inspected_at=at if record.last_inspected_at is None else max(at, record.last_inspected_at),
        last_seized_at=(at if record.last_seized_at is None else max(at, record.last_seized_at))
        if seized
        else record.last_seized_at,
        categories=categories,
    )
