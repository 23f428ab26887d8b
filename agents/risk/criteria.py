"""The criteria that every worker holds, folded from their log, ready to be asked about an item.

The latest record of a criterion wins, whatever its version: the topic is compacted, and a worker that starts tomorrow
sees only that one. That versions rise is checked when a criterion is published.

What the latest records changed is kept for two days: a worker that folds a day again asks what was in force then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import timedelta

from agents.epoch import epoch_ms
from agents.risk.criteria_compiler import MANY, CompiledCriteria
from agents.risk.criteria_fields import fields_of
from agents.risk.criteria_language import Condition, CriterionRefusedError, read_condition
from schemas.items import ItemScreened, Monitored, Stream
from schemas.knowledge import CriterionPublished

_FOREVER = 1 << 62
_KEPT_MS = timedelta(days=2) // timedelta(milliseconds=1)


class Criterion:
    """A criterion in the book: as published, and as read for each of its streams."""

    __slots__ = ("conditions", "event", "from_ms", "until_ms")

    def __init__(self, event: CriterionPublished) -> None:
        """Raises `CriterionRefusedError`."""
        self.event = event
        self.from_ms = epoch_ms(event.valid_from)
        self.until_ms = _FOREVER if event.valid_until is None else epoch_ms(event.valid_until)
        if self.until_ms <= self.from_ms:
            raise CriterionRefusedError("valid_until is not after valid_from: it would never be in force")
        if event.action == "boost" and event.weight == 0.0:
            raise CriterionRefusedError("a boost needs a weight other than 0")
        self.conditions: dict[Stream, Condition] = {}
        for stream in dict.fromkeys(event.streams):
            try:
                self.conditions[stream] = read_condition(event.condition, fields_of(stream))
            except CriterionRefusedError as why:
                raise CriterionRefusedError(f"{why.message} (stream {stream})", why.line, why.column) from None


def check_criterion(event: CriterionPublished) -> None:
    """Whether a criterion can be used. Raises `CriterionRefusedError` with the place of the error."""
    Criterion(event)


class CriteriaBook:
    """All criteria that are not withdrawn. `version` is the offset after the last folded record."""

    def __init__(self) -> None:
        self.version = 0
        self.refused: dict[str, str] = {}
        """Criteria in the log that cannot be used (published by other means than the command), and why."""
        self._criteria: dict[str, Criterion] = {}
        self._changed_ms: list[int] = []  # when each change was sent, rising
        self._changes: list[tuple[str, Criterion | None]] = []  # which criterion, and what it was before
        self._compiled: dict[Stream, tuple[CompiledCriteria, list[Criterion]]] = {}
        self._earlier: dict[Stream, tuple[int, tuple[CompiledCriteria, list[Criterion]]]] = {}
        self._latest: dict[tuple[Stream, int], CompiledCriteria] = {}  # what the next takes over from

    def __len__(self) -> int:
        return len(self._criteria)

    @property
    def criteria(self) -> tuple[CriterionPublished, ...]:
        """The criteria as published, by id; those out of their validity dates are among them."""
        return tuple(self._criteria[criterion_id].event for criterion_id in sorted(self._criteria))

    def fold(self, offset: int, key: str | None, event: object | None, sent_ms: int = 0) -> None:
        """Fold the record of criteria at `offset`, sent at `sent_ms`. None (a tombstone) and `withdrawn` end the
        criterion. What was sent at 0 is taken for in force since ever.
        """
        self.version = offset + 1
        if isinstance(event, CriterionPublished):
            self._note(event.criterion_id, sent_ms)
            self._remove(event.criterion_id)
            if not event.withdrawn:
                try:
                    self._criteria[event.criterion_id] = Criterion(event)
                except CriterionRefusedError as why:
                    self.refused[event.criterion_id] = str(why)
        elif event is None and key is not None:
            self._note(key, sent_ms)
            self._remove(key)

    def _note(self, criterion_id: str, sent_ms: int) -> None:
        if sent_ms <= 0:
            return
        latest = max(sent_ms, self._changed_ms[-1]) if self._changed_ms else sent_ms
        self._changed_ms.append(latest)
        self._changes.append((criterion_id, self._criteria.get(criterion_id)))
        if old := bisect_left(self._changed_ms, latest - _KEPT_MS):
            del self._changed_ms[:old], self._changes[:old]

    def _remove(self, criterion_id: str) -> None:
        self._criteria.pop(criterion_id, None)
        self.refused.pop(criterion_id, None)
        self._compiled.clear()
        self._earlier.clear()

    def evaluate(
        self, item: ItemScreened, seen: Monitored, anomaly: float, at_ms: int, as_of_ms: int | None = None
    ) -> list[CriterionPublished]:
        """The criteria that fire on an item at its event time, by id: of those that stand, or stood at `as_of_ms`."""
        undone = 0 if as_of_ms is None else len(self._changed_ms) - bisect_right(self._changed_ms, as_of_ms)
        if not self._criteria and not undone:
            return []
        stream = item.stream
        compiled = self._as_they_stood(stream, undone) if undone else self._compiled.get(stream)
        if compiled is None:
            compiled = self._compiled[stream] = self._compile(stream, 0)
        evaluator, held = compiled
        if not held or (item.traveller if stream == "passengers" else item.cargo) is None:
            return []
        fired = evaluator.evaluate(item, seen, anomaly)
        if not fired:
            return []
        return [one.event for one in [held[index] for index in fired] if one.from_ms <= at_ms < one.until_ms]

    def _as_they_stood(self, stream: Stream, undone: int) -> tuple[CompiledCriteria, list[Criterion]]:
        """Before the latest `undone` changes. One is kept for each stream: a day is folded in its order."""
        held = self._earlier.get(stream)
        if held is None or held[0] != undone:
            held = self._earlier[stream] = (undone, self._compile(stream, undone))
        return held[1]

    def _compile(self, stream: Stream, undone: int) -> tuple[CompiledCriteria, list[Criterion]]:
        """The criteria of a stream, without the latest `undone` changes."""
        latest = self._changes[len(self._changes) - undone :]
        standing: dict[str, Criterion | None] = {**self._criteria, **dict(reversed(latest))}
        held = [one for _, one in sorted(standing.items()) if one is not None and stream in one.conditions]
        joined = 1 if undone else MANY  # what is folded again meets another set after a few items
        conditions = [one.conditions[stream] for one in held]
        compiled = CompiledCriteria(conditions, joined=joined, before=self._latest.get((stream, joined)))
        self._latest[stream, joined] = compiled
        return compiled, held
