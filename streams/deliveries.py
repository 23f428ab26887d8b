"""Which batches are in hand, and how far each partition may be committed.

An offset may be committed when its batch and every batch delivered before it are done, in the order of delivery. What
was delivered before a rebalance is forgotten: it will be delivered again, and a late ack for it must move nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from faust.types import TP


@dataclass(slots=True)
class _Partition:
    waiting: dict[int, int] = field(default_factory=dict)  # bytes by next offset, in the order of delivery
    done: set[int] = field(default_factory=set)
    follows: int | None = None


class Deliveries:
    """The batches handed on and not committed, by partition; a batch is named by its next offset."""

    def __init__(self) -> None:
        self._partitions: dict[TP, _Partition] = defaultdict(_Partition)
        self._in_hand: dict[str, int] = defaultdict(int)
        self.committable: dict[TP, int] = {}

    def clear(self) -> None:
        """Forget everything: the partitions have been assigned anew."""
        self._partitions.clear()
        self._in_hand.clear()
        self.committable.clear()

    def in_hand(self, topic: str) -> int:
        """Bytes of the batches of a topic that are delivered and not done."""
        return self._in_hand[topic]

    def read(self, tp: TP) -> int | None:
        """The offset after the last delivered batch; None when none was."""
        return self._partitions[tp].follows if tp in self._partitions else None

    def deliver(self, tp: TP, next_offset: int, size: int) -> int | None:
        """Note a batch of `size` bytes as delivered; returns the offset after the one before it, None for the first."""
        partition = self._partitions[tp]
        before, partition.follows = partition.follows, next_offset
        partition.waiting[next_offset] = size
        self._in_hand[tp.topic] += size
        return before

    def skip(self, tp: TP, offset: int) -> None:
        """Note that there is nothing before this offset that was not delivered: done, when all before it is."""
        self._partitions[tp].waiting[offset] = 0
        self.finish(tp, offset)

    def finish(self, tp: TP, next_offset: int) -> None:
        """Note a delivered batch as done; `committable` moves over all that are done without a gap."""
        partition = self._partitions[tp]
        if next_offset not in partition.waiting or next_offset in partition.done:
            return
        partition.done.add(next_offset)
        self._in_hand[tp.topic] -= partition.waiting[next_offset]
        while (first := next(iter(partition.waiting), None)) in partition.done:
            del partition.waiting[first]
            partition.done.discard(first)
            self.committable[tp] = first
