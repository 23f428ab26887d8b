"""What is really inside: the ledger that inspectors and benchmarks read, and that never travels on a topic."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from schemas.items import Stream


class Fate(NamedTuple):
    """The truth about one item.

    `probability` is that of being illicit given all that was drawn to make the item, so ranking by it is the best
    that any selection could do (`load.oracle`). `scheme_id` and `kind` name the scheme that made it likely, if any,
    whether or not this item is illicit. `severity` is 0 for licit items, else 1 to 3.
    """

    item_id: str
    stream: Stream
    control_point: str
    lodged_at: datetime
    probability: float
    illicit: bool
    scheme_id: str | None = None
    kind: str | None = None
    category: str | None = None
    severity: int = 0


class Truth:
    """Fates by (topic, lodgement id, index) and by item id.

    With `keep`, only that many latest lodgements are remembered: a demonstration may run for days.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._by_item: dict[str, Fate] = {}
        self._manifests: dict[tuple[str, str], tuple[str, ...]] = {}
        self._order: deque[tuple[str, str]] = deque()

    def add(self, topic: str, lodgement_id: str, fates: Sequence[Fate]) -> None:
        """Record the fates of one lodgement's items, in the order of their index."""
        by_item = self._by_item
        for fate in fates:
            by_item[fate.item_id] = fate
        if topic == "manifests":
            self._manifests[topic, lodgement_id] = tuple([fate.item_id for fate in fates])
        if self._keep is not None:
            self._order.append((topic, lodgement_id))
            while len(self._order) > self._keep:
                self._forget(*self._order.popleft())

    def of(self, topic: str, lodgement_id: str, index: int = 0) -> Fate:
        """The fate of one item of a lodgement. Raises `KeyError` for one that was never lodged, or is forgotten."""
        if topic == "manifests":
            return self._by_item[self._manifests[topic, lodgement_id][index]]
        return self._by_item[f"{topic}/{lodgement_id}"]

    def of_item(self, item_id: str) -> Fate:
        """The fate of `item_id`. Raises `KeyError` for one that was never lodged, or is forgotten."""
        return self._by_item[item_id]

    def knows(self, item_id: str) -> bool:
        """Whether `item_id` was lodged (and is not forgotten)."""
        return item_id in self._by_item

    def _forget(self, topic: str, lodgement_id: str) -> None:
        if topic == "manifests":
            for item_id in self._manifests.pop((topic, lodgement_id), ()):
                self._by_item.pop(item_id, None)
        else:
            self._by_item.pop(f"{topic}/{lodgement_id}", None)

    def __len__(self) -> int:
        return len(self._by_item)

    def __iter__(self) -> Iterator[Fate]:
        return iter(self._by_item.values())
