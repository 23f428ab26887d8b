"""Which records came before: by upstream mark where a topic has them, as every consumer of it decides.

The marks of a partition are kept in the metadata of its last chunk, so a restarted archive goes on with them. Those of
letters that were sent again are only the latest: each is a partition of its own, and they would never be fewer.
Topics without an upstream (lodgements, monitoring, dead letters) are looked at by `ce_id` when they are asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.marks import Upstream
from streams.deadletter import SUFFIX

BY_UPSTREAM: Final = ("screened", "filtered", "decisions", "alerts", "labelled-examples")
"""Topics whose producer emits in upstream order, so that the highest upstream tells what came before."""

LETTERS: Final = 100
"""So many marks of letters are kept: what follows from one comes twice soon or not at all."""


def upstream_of(topic: str, event: Any) -> Upstream | None:
    """What a record follows from, None where that is not known."""
    if topic not in BY_UPSTREAM:
        return None
    found = event.decision.upstream if topic == "alerts" else getattr(event, "upstream", None)
    return found if isinstance(found, Upstream) else None


class Marks:
    """The highest upstream of each partition that records of ONE partition of a topic followed from."""

    def __init__(self, topic: str, kept: Mapping[str, list[int]] | None = None) -> None:
        self._topic = topic
        self._marks: dict[str, tuple[int, int]] = {place: (at[0], at[1]) for place, at in (kept or {}).items()}

    def is_first(self, event: Any) -> bool:
        """Whether a record comes for the first time; it is noted."""
        upstream = upstream_of(self._topic, event)
        if upstream is None:
            return True
        place, here = f"{upstream.topic}/{upstream.partition}", (upstream.offset, upstream.index)
        mark = self._marks.get(place)
        if mark is not None and here <= mark:
            return False
        self._marks[place] = here
        return True

    def kept(self) -> dict[str, list[int]]:
        """The marks as they are written down: of letters the latest, in the order in which they came."""
        letters = [place for place in self._marks if _of_letters(place)][-LETTERS:]
        places = sorted(place for place in self._marks if not _of_letters(place))
        return {place: list(self._marks[place]) for place in (*places, *letters)}


def _of_letters(place: str) -> bool:
    return place.partition("/")[0].endswith(SUFFIX)
