"""How far each upstream partition has been folded, so that a record that comes again has no second effect.

Every producer between the steps emits in upstream order without gaps, a zombie's and its successor's alike, so the
highest (offset, index) seen of an upstream partition is enough: what is at or below it came before.
"""

from __future__ import annotations

from schemas.marks import Upstream


class HighWater:
    """The highest (offset, index) folded, for each upstream (topic, partition)."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: dict[tuple[str, int], list[int]] = {}  # moved on where they are: every item moves three

    def is_redelivery(self, upstream: Upstream) -> bool:
        """Whether this record, or a later one of its upstream partition, has been folded already."""
        mark = self._marks.get((upstream.topic, upstream.partition))
        return mark is not None and upstream.offset <= mark[0] and [upstream.offset, upstream.index] <= mark

    def advance(self, upstream: Upstream) -> bool:
        """Note the record as folded. False, and nothing noted, when it is a redelivery."""
        place, offset, index = (upstream.topic, upstream.partition), upstream.offset, upstream.index
        mark = self._marks.get(place)
        if mark is None:
            self._marks[place] = [offset, index]
            return True
        if offset <= mark[0] and [offset, index] <= mark:
            return False
        mark[0], mark[1] = offset, index
        return True

    def __len__(self) -> int:
        return len(self._marks)
