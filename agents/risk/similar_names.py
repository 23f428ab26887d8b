"""Names that are spelt almost like a name on a list, found without comparing with every name on it.

A name is compared only with listed names that share a block: a rare word, a pair of words, or the same beginning or
end. Spelling mistakes rarely hit all of these at once (tests/unit/test_risk_information.py measures how rarely). The
measure counts letters in common (Indel distance, computed by rapidfuzz).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from rapidfuzz.distance import Indel

_RARE: Final = 24
"""A word that at most this many listed names share is a block of its own; commoner words count in pairs."""
_EDGE: Final = 4
_WORDS: Final = 5


class NameIndex:
    """Folded names (`agents.risk.normalise`) with the least similarity that each accepts.

    What is found depends on the names that are listed, not on the order in which they came or on those that went.
    """

    def __init__(self) -> None:
        self._least: dict[str, float] = {}
        self._sharing: dict[str, set[str]] = {}  # the names that share a word
        self._blocks: dict[str, list[str]] = {}
        self._lowest = 1.0

    def __len__(self) -> int:
        return len(self._least)

    def add(self, name: str, least: float) -> None:
        """List a name, or change the similarity that it asks for."""
        is_new = name not in self._least
        self._least[name] = least
        self._lowest = min(self._lowest, least)
        if is_new:
            words = name.split()[:_WORDS]
            for word in words:
                self._sharing.setdefault(word, set()).add(name)
            for key in dict.fromkeys(_keys(words)):
                self._blocks.setdefault(key, []).append(name)

    def discard(self, name: str) -> None:
        """Take a name off the list."""
        if self._least.pop(name, None) is None:
            return
        words = name.split()[:_WORDS]
        for word in set(words):
            self._sharing[word].discard(name)
            if not self._sharing[word]:
                del self._sharing[word]
        for key in dict.fromkeys(_keys(words)):
            self._blocks[key].remove(name)
            if not self._blocks[key]:
                del self._blocks[key]

    def similar(self, name: str) -> list[tuple[str, float]]:
        """Listed names that are similar enough to `name` but not equal to it, with the similarity, best first."""
        if not self._least or len(name) < 4:
            return []
        words = name.split()[:_WORDS]
        candidates: dict[str, None] = {}
        for word in words:
            if (sharing := self._sharing.get(word)) is not None and len(sharing) <= _RARE:
                candidates.update(dict.fromkeys(sharing))
        for key in _keys(words):
            if (block := self._blocks.get(key)) is not None:
                candidates.update(dict.fromkeys(block))
        candidates.pop(name, None)
        found: list[tuple[str, float]] = []
        length, all_words = len(name), name.split()
        # Lengths alone bound the similarity: of n and m letters at most 2 min(n, m) / (n + m) can be common.
        shortest = length * self._lowest / (2.0 - self._lowest)
        longest = length * (2.0 - self._lowest) / self._lowest
        for candidate in candidates:
            if shortest <= len(candidate) <= longest:
                least = self._least[candidate]
                if (score := alike(name, all_words, candidate)) >= least:
                    found.append((candidate, score))
        found.sort(key=lambda one: (-one[1], one[0]))
        return found


def _keys(words: list[str]) -> Iterator[str]:
    """Block keys beside the words themselves, such that a slip in any one word leaves one of them alone.

    Of three words or more, the pairs. Of two, each with the beginning and with the end of the other. Of one, its
    beginning and its end. And of all, both ends together, which a wrong space does not change.
    """
    joined = "".join(words)
    yield f"^{joined[:_EDGE]}${joined[-_EDGE:]}"
    if len(words) > 2:
        for first, second in combinations(words, 2):
            yield f"{first}+{second}"
    elif len(words) == 2:
        first, second = words
        yield f"{first}>{second[:_EDGE]}"
        yield f"{first}<{second[-_EDGE:]}"
        yield f"{second}>{first[:_EDGE]}"
        yield f"{second}<{first[-_EDGE:]}"
    else:
        yield f"^{joined[:_EDGE]}"
        yield f"${joined[-_EDGE:]}"


def alike(name: str, words: list[str], other: str) -> float:
    """The similarity of two folded names, in [0, 1]: letters in common over all letters, whole words first.

    Words are in alphabetical order, and a slip in a first letter moves a word. So equal words are set aside wherever
    they stand, and only the rest is compared letter by letter.
    """
    rest = other.split()
    mine = []
    for word in words:
        if word in rest:
            rest.remove(word)
        else:
            mine.append(word)
    distance = Indel.distance(" ".join(mine), " ".join(rest))
    return 1.0 - distance / (len(name) + len(other))
