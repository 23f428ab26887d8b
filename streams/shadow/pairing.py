"""Pairs live items with what was decided on them, whichever comes first, and says which may be decided next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from agents.step import Arrival
from schemas.decisions import SelectionDecided
from schemas.items import ItemFiltered
from streams.simulate.taken import Taken

_BATCH = 500


class Pairing:
    """One partition of `filtered` and of `decisions`, each in its own order."""

    def __init__(self) -> None:
        self._items: deque[Arrival[ItemFiltered]] = deque()
        self._decisions: deque[SelectionDecided] = deque()
        self._version = 0
        self.ready: deque[Taken] = deque()

    def __len__(self) -> int:
        return len(self._items) + len(self.ready)

    def waiting(self, topic: str) -> int:
        """How many records of a topic wait: for the other topic, or for what workers knew."""
        return len(self.ready) + len(self._items if topic == "filtered" else self._decisions)

    def add_item(self, arrival: Arrival[ItemFiltered]) -> None:
        """Take the next item."""
        self._items.append(arrival)
        self._pair()

    def add_decision(self, decision: SelectionDecided) -> None:
        """Take the next decision."""
        self._decisions.append(decision)
        self._pair()

    def _pair(self) -> None:
        while self._items and self._decisions:
            arrival, decision = self._items[0], self._decisions[0]
            if arrival.offset <= decision.upstream.offset:
                self._items.popleft()
                found = decision if arrival.offset == decision.upstream.offset else None
                self._version = self._version if found is None else found.model_version
                self.ready.append(Taken(arrival, found, self._version))
            if arrival.offset >= decision.upstream.offset:
                self._decisions.popleft()


def batches(pairs: Mapping[int, Pairing], known: Callable[[Taken], bool]) -> Iterator[list[Taken]]:
    """What is ready and was decided with what is `known`, in batches of one partition that are decided alike.

    The order is that of `streams.simulate.taken`: by model version, then by event time.
    """
    while True:
        heads = [one.ready[0] for one in pairs.values() if one.ready and known(one.ready[0])]
        if not heads:
            return
        first = min(heads, key=lambda one: one.turn)
        ready, batch = pairs[first.arrival.partition].ready, list[Taken]()
        while ready and len(batch) < _BATCH and ready[0].is_like(first):
            batch.append(ready.popleft())
        yield batch
