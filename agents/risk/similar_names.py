"""Names that are spelt almost like a name on a list, found without comparing with every name on it.

A name is compared only with listed names that share a block: a rare word, a pair of words, or the same beginning or
end. Spelling mistakes rarely hit all of these at once (tests/unit/test_similar_names.py measures how rarely). The
measure is the normalised Indel similarity of the folded names, computed by rapidfuzz.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from rapidfuzz.distance import Indel

_RARE: Final = 24
"""A word that at most this many listed names share is a block of its own; commoner words count in pairs."""
_EDGE: Final = 5
_WORDS: Final = 6


class NameIndex:
    """Folded names (`agents.risk.normalise.fold_name`) with the least similarity that each accepts."""

    def __init__(self) -> None:
        self._least: dict[str, float] = {}
        self._blocks: dict[str, dict[str, None]] = {}
        self._posted: dict[str, tuple[str, ...]] = {}
        self._lowest = 1.0

    def __len__(self) -> int:
        return len(self._least)

    def add(self, name: str, least: float) -> None:
        """List a name, or change the similarity that it asks for."""
        self._least[name] = least
        self._lowest = min(self._lowest, least)
        if name in self._posted:
            return
        words = name.split()[:_WORDS]
        keys = [word for word in words if len(self._blocks.get(word, ())) < _RARE]
        keys += _pairs_and_edges(name, words)
        self._posted[name] = tuple(dict.fromkeys(keys))
        for key in self._posted[name]:
            self._blocks.setdefault(key, {})[name] = None

    def discard(self, name: str) -> None:
        """Take a name off the list."""
        self._least.pop(name, None)
        for key in self._posted.pop(name, ()):
            block = self._blocks[key]
            del block[name]
            if not block:
                del self._blocks[key]

    def similar(self, name: str) -> list[tuple[str, float]]:
        """Listed names that are similar enough to `name` but not equal to it, with the similarity, best first."""
        if not self._least or len(name) < 4:
            return []
        words = name.split()[:_WORDS]
        blocks = self._blocks
        candidates: dict[str, None] = {}
        for key in (*words, *_pairs_and_edges(name, words)):
            if (block := blocks.get(key)) is not None:
                candidates |= block
        candidates.pop(name, None)
        found: list[tuple[str, float]] = []
        length, similarity = len(name), Indel.normalized_similarity
        # Lengths alone bound the similarity: of n and m letters at most 2 min(n, m) / (n + m) can be common.
        shortest = length * self._lowest / (2.0 - self._lowest)
        longest = length * (2.0 - self._lowest) / self._lowest
        for candidate in candidates:
            if shortest <= len(candidate) <= longest:
                least = self._least[candidate]
                if (score := similarity(name, candidate, score_cutoff=least)) >= least:
                    found.append((candidate, score))
        found.sort(key=lambda one: (-one[1], one[0]))
        return found


def _pairs_and_edges(name: str, words: list[str]) -> Iterator[str]:
    """Block keys that cannot be words: pairs of words with a `+`, the first and last letters with `^` and `$`."""
    for first, second in combinations(words, 2):
        yield f"{first}+{second}"
    joined = name.replace(" ", "")
    if len(joined) > _EDGE:
        yield "^" + joined[:_EDGE] + str(len(joined) // 3)
        yield "^" + joined[:_EDGE] + str((len(joined) + 1) // 3)
        yield "$" + joined[-_EDGE:] + str(len(joined) // 3)
        yield "$" + joined[-_EDGE:] + str((len(joined) + 1) // 3)
