"""How unusual an item is among the recent items of its kind, for what no label covers yet.

An item is described by a few pairs of coarse facts. Each pair has a surprise: how rarely, of late, the second came
with the first. The product of the surprises is ranked among those of recent items, so the score is the share of
recent traffic that is less unusual, whatever the kind of traffic.

Counts are kept by buckets of event time and forgotten bucket by bucket, counted back from the watermark. Half of the
horizon is for the counts, half for the ranks (a rank compares with scores, and scores need the counts before them), so
that a state rebuilt from the horizon scores like one that never stopped. docs/adr/0007-anomaly-score.md has the
comparison with half-space trees.
"""

from __future__ import annotations

from math import log2
from typing import Final

from agents.risk.pairs import pairs_of
from schemas.items import ItemScreened

_BUCKETS: Final = 12
"""Buckets of each half of the horizon."""
_FEW: Final = 200
"""While fewer items than this have been ranked, nothing is called very unusual."""
_STEP: Final = 4
_RANKS: Final = 256
_COARSE: Final = 16


class KindOfTraffic:
    """Counts and ranks of one stream. The lists hold what is visible; `by_bucket` what to take back later."""

    __slots__ = ("coarse", "counts", "counts_by_bucket", "ranked", "ranks", "ranks_by_bucket")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.counts_by_bucket: dict[int, dict[str, int]] = {}
        self.ranks = [0] * _RANKS
        self.coarse = [0] * (_RANKS // _COARSE)
        self.ranked = 0
        self.ranks_by_bucket: dict[int, list[int]] = {}

    def counts_of(self, bucket: int) -> dict[str, int]:
        """The counts that are taken back with a bucket."""
        counts = self.counts_by_bucket.get(bucket)
        if counts is None:
            counts = self.counts_by_bucket[bucket] = {}
            self.ranks_by_bucket[bucket] = []
        return counts

    def forget(self, before: int) -> None:
        """Take back the buckets before `before`."""
        for bucket in [b for b in self.counts_by_bucket if b < before]:
            counts = self.counts
            for key, count in self.counts_by_bucket.pop(bucket).items():
                left = counts[key] - count
                if left:
                    counts[key] = left
                else:
                    del counts[key]
        for bucket in [b for b in self.ranks_by_bucket if b < before]:
            for rank in self.ranks_by_bucket.pop(bucket):
                self.ranks[rank] -= 1
                self.coarse[rank // _COARSE] -= 1
                self.ranked -= 1


class Anomaly:
    """The scores of one partition, for each stream."""

    def __init__(self, horizon_ms: int) -> None:
        self._bucket_ms = max(1, horizon_ms // (2 * _BUCKETS))
        self._kinds: dict[str, KindOfTraffic] = {}
        self._oldest = self._forgets_ms = -(1 << 62)

    def advance(self, watermark_ms: int) -> None:
        """Forget the buckets that began more than half a horizon before the watermark."""
        if watermark_ms > self._forgets_ms:
            self._oldest = -((_BUCKETS * self._bucket_ms - watermark_ms) // self._bucket_ms)
            self._forgets_ms = (self._oldest + _BUCKETS) * self._bucket_ms
            for kind in self._kinds.values():
                kind.forget(self._oldest)

    def score(self, item: ItemScreened, at_ms: int) -> float:
        """The share, in [0, 1], of recent items of its stream that are less unusual; then count it in."""
        kind = self._kinds.get(item.stream)
        if kind is None:
            kind = self._kinds[item.stream] = KindOfTraffic()
        counts, ranks = kind.counts, kind.ranks
        get = counts.get
        bucket = at_ms // self._bucket_ms
        mine = kind.counts_of(bucket) if bucket >= self._oldest else None
        surprise = 1.0
        for context, cells in pairs_of(item):
            often = get(context, 0)
            if mine is not None:
                counts[context] = often + 1
                mine[context] = mine.get(context, 0) + 1
            for cell in cells:
                seen = get(cell, 0)
                surprise *= (often + 2) / (seen + 1)
                if mine is not None:
                    counts[cell] = seen + 1
                    mine[cell] = mine.get(cell, 0) + 1
        rank = int(_STEP * log2(surprise) + 0.5) if surprise > 1.0 else 0
        if rank >= _RANKS:
            rank = _RANKS - 1
        coarse = rank // _COARSE
        below = sum(kind.coarse[:coarse]) + sum(ranks[coarse * _COARSE : rank]) + 0.5 * ranks[rank]
        score = below / (kind.ranked if kind.ranked > _FEW else _FEW)
        if mine is not None:
            kind.ranks_by_bucket[bucket].append(rank)
            ranks[rank] += 1
            kind.coarse[coarse] += 1
            kind.ranked += 1
        return score

    def entries(self) -> int:
        """How many counts are kept."""
        return sum(len(kind.counts) for kind in self._kinds.values())
